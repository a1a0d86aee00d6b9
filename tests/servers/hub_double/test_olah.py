"""What was pushed to the double is read by the real client through a mirror of the Hub that others wrote."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from tests.servers.hub_double import Hub
from tests.servers.hub_double.olah import read_through

pytestmark = pytest.mark.slow


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
    assert read_through(olah, hub, tmp_path, "me/talk", config, streaming) == expected[config]


def test_what_was_pushed_since_is_read_by_the_name_of_before(
    hub: Hub, olah: str, rows: datasets.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows.push_to_hub("me/old", "chat")
    assert read_through(olah, hub, tmp_path_factory.mktemp("first"), "me/old", "chat") == {"train": rows.to_list()}
    hub.rename("datasets/me/old", "datasets/me/new")
    rows.select([1]).push_to_hub("me/new", "chat")
    assert read_through(olah, hub, tmp_path_factory.mktemp("second"), "me/old", "chat") == {"train": rows.to_list()[1:]}
