"""What was pushed to the double is read by the real client through a mirror of the Hub that others wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest

from tests.hub_double import Hub

pytestmark = pytest.mark.slow

READ = """
import json, sys, datasets
name, config, streaming = json.loads(sys.argv[1])
loaded = datasets.load_dataset(name, config, streaming=streaming, token=False)
json.dump({split: list(rows) for split, rows in loaded.items()}, open(sys.argv[2], "w"))
"""


def read(hub: Hub, olah: str, home: Path, name: str, config: str, streaming: bool = False) -> dict[str, Any]:
    """Rows of each split, read in another process with empty caches."""
    environment = {name: value for name, value in hub.environment().items() if not name.endswith("_CACHE")}
    environment |= {"HF_ENDPOINT": olah, "HF_HOME": str(home), "HF_TOKEN_PATH": str(home / "token")}
    command = [sys.executable, "-c", READ, json.dumps([name, config, streaming]), str(home / "rows.json")]
    subprocess.run(command, env=environment, check=True, timeout=300)
    rows: dict[str, Any] = json.loads((home / "rows.json").read_text())
    return rows


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("config", ["chat", "talk"])
def test_a_pushed_dataset_comes_back(
    hub: Hub, olah: str, rows: datasets.Dataset, tmp_path: Path, config: str, streaming: bool
) -> None:
    datasets.DatasetDict({"train": rows, "test": rows.select([1])}).push_to_hub("me/talk", "chat")
    datasets.DatasetDict({"train": rows.select([0]), "test": rows}).push_to_hub("me/talk", "talk")
    expected = {
        "chat": {"train": rows.to_list(), "test": rows.to_list()[1:]},
        "talk": {"train": rows.to_list()[:1], "test": rows.to_list()},
    }
    assert read(hub, olah, tmp_path, "me/talk", config, streaming) == expected[config]


def test_what_was_pushed_since_is_read_by_the_name_of_before(
    hub: Hub, olah: str, rows: datasets.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows.push_to_hub("me/old", "chat")
    assert read(hub, olah, tmp_path_factory.mktemp("first"), "me/old", "chat") == {"train": rows.to_list()}
    hub.rename("datasets/me/old", "datasets/me/new")
    rows.select([1]).push_to_hub("me/new", "chat")
    assert read(hub, olah, tmp_path_factory.mktemp("second"), "me/old", "chat") == {"train": rows.to_list()[1:]}
