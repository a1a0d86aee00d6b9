"""olah, a mirror of the Hub that others wrote, as an independent reader of the double; `make olah` installs it.

It takes the double for the Hub as it is. What it does otherwise than the Hub:

- A list of the top folder is asked for with a slash behind the revision.
- It answers from memory for ten minutes, so without `--metadata-cache-ttl 0` it would not see what was pushed since.
- When it starts it asks for a file of `Salesforce/wikitext`; that this is not there it only logs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.repository import REPOSITORY
from tests.servers.hub_double.server import Hub
from tests.servers.ports import free_port, listens

ENVIRONMENT = REPOSITORY / ".venv-olah"
STARTING_SECONDS, STOPPING_SECONDS = 120.0, 20.0


@contextmanager
def running(hub: Hub, folder: Path) -> Iterator[str]:
    """A mirror of a double that keeps its files and its log in a folder; its address."""
    port, upstream, log = free_port(), hub.url.removeprefix("http://"), folder / "output.log"
    command = [str(ENVIRONMENT / "bin" / "olah-cli"), "--host", "127.0.0.1", "--port", str(port), "--hf-scheme", "http"]
    command += ["--hf-netloc", upstream, "--hf-lfs-netloc", upstream, "--metadata-cache-ttl", "0"]
    command += ["--repos-path", str(folder / "repos"), "--log-path", str(folder / "logs")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        end = time.monotonic() + STARTING_SECONDS
        while not listens(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"olah did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # pytest shows this where the test fails.
        print(log.read_text(errors="replace"))


@pytest.fixture
def olah(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running mirror of the double."""
    if not (ENVIRONMENT / ".installed").exists():
        pytest.skip("olah is not installed: run `make olah`")
    with running(hub, tmp_path_factory.mktemp("olah")) as address:
        yield address


READ = """
import json, sys, datasets
name, config, streaming = json.loads(sys.argv[1])
loaded = datasets.load_dataset(name, config, streaming=streaming, token=False)
json.dump({split: list(rows) for split, rows in loaded.items()}, open(sys.argv[2], "w"))
"""


def read_through(olah: str, hub: Hub, home: Path, name: str, config: str, streaming: bool = False) -> dict[str, Any]:
    """Rows of each split of a public dataset, read through a mirror by another process with empty caches."""
    environment = {name: value for name, value in hub.environment().items() if not name.endswith("_CACHE")}
    environment |= {"HF_ENDPOINT": olah, "HF_HOME": str(home), "HF_TOKEN_PATH": str(home / "token")}
    command = [sys.executable, "-c", READ, json.dumps([name, config, streaming]), str(home / "rows.json")]
    subprocess.run(command, env=environment, check=True, timeout=300)
    rows: dict[str, Any] = json.loads((home / "rows.json").read_text())
    return rows
