"""What `make argilla` does on a machine where it cannot install: it says why, and the other tests go on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from tests.servers.argilla import server


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The script and what it reads, beside a Python whose pip finds no index."""
    for name in (".ci/argilla", "tests/servers/argilla/requirements.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/sh\ncase "$*" in *pip*install*) echo "no index" >&2; exit 1;; esac\nmkdir -p .venv-argilla\n'
    )
    python.chmod(0o755)
    return tmp_path


def test_a_server_that_cannot_be_installed_stops_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = repository / "bin/chromium"
    browser.parent.mkdir()
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    environment = {"PATH": f"{browser.parent}:{os.environ['PATH']}"}
    done = subprocess.run([repository / ".ci/argilla"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "no index" in done.stderr and "its tests are skipped" in done.stderr
    monkeypatch.setattr(server, "ENVIRONMENT", repository / ".venv-argilla")
    assert "pip could not install it" in str(server.why_unavailable())


def test_a_browser_that_cannot_be_installed_stops_nothing(repository: Path) -> None:
    tools = repository / "bin"
    tools.mkdir()
    # No browser is found among these, and apt-get has no network.
    for tool in ("dirname", "cat", "cksum", "rm", "mkdir"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    for name, content in (("id", "echo 0"), ("apt-get", "exit 100")):
        (tools / name).write_text(f"#!/bin/sh\n{content}\n")
        (tools / name).chmod(0o755)
    command = ["/bin/sh", str(repository / ".ci/argilla")]
    done = subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "apt-get could not install Chromium: the tests in Argilla's web UI are skipped" in done.stderr
