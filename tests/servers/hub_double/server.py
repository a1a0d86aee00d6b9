"""The running double."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.hub_double.accounts import WRITE_TOKEN, Accounts
from tests.servers.hub_double.faults import Cut, Event, Fault
from tests.servers.hub_double.messages import Refusal, Request, Response, json_response
from tests.servers.hub_double.repositories import Blob, Repository, is_large
from tests.servers.hub_double.routes import PATTERNS

CLIENT_FOLDERS = {
    "HF_HOME": "",
    "HF_HUB_CACHE": "hub",
    "HF_ASSETS_CACHE": "assets",
    "HF_XET_CACHE": "xet",
    "HF_TOKEN_PATH": "token",
    "HF_DATASETS_CACHE": "datasets",
    "HF_MODULES_CACHE": "modules",
    "HF_EVALUATE_CACHE": "evaluate",
}
"""Where the clients keep their files, below `HF_HOME`."""


class Hub:
    """What the double holds, what it was asked, and what is to happen."""

    def __init__(self, home: Path) -> None:
        """Prepare an empty Hub for clients whose `HF_HOME` is `home`."""
        self.home = home
        self.repositories: dict[str, Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.accounts = Accounts()
        self.page_size = 1000
        self.log: list[str] = []
        self._earlier_names: dict[str, str] = {}
        self._faults: list[Fault] = []
        self._events: list[Event] = []
        self._lock = threading.RLock()
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Connection, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def fail(
        self,
        match: str,
        *,
        status: int = 503,
        times: float = 1,
        skip: int = 0,
        headers: Mapping[str, str] | None = None,
        cut: Cut | None = None,
    ) -> None:
        """Let requests fail.

        Args:
            match: expression found in `METHOD /path`, as in the log.
            status: of the answer they get instead.
            times: how many fail; `math.inf` for all.
            skip: how many pass first; of two faults that are due at once, the later one waits for the next request.
            headers: of that answer.
            cut: close the connection instead: `before` the request does anything, in the `middle` of its body (of the
                answer's if it has none), or `after` it took effect but before any answer; or leave it open in
                `silence`, or answer with a `page`, as a proxy does that lets nothing through.
        """
        with self._lock:
            self._faults.append(Fault(match, skip, times, status, headers or {}, cut))

    def before(self, match: str, action: Callable[[], object], *, skip: int = 0) -> None:
        """Let something happen once, right before a request that matches is handled, but for the first `skip` such.

        The action may use this object and the clients; what it asks of the double is logged and counted too.
        """
        with self._lock:
            self._events.append(Event(match, skip, 1, action))

    def recover(self) -> None:
        """Forget the faults and events that are left."""
        with self._lock:
            self._faults.clear()
            self._events.clear()

    def requests(self, match: str = "") -> list[str]:
        """Requests so far that match, as `METHOD /path`."""
        with self._lock:
            return [line for line in self.log if re.search(match, line)]

    def seed(
        self, name: str, files: Mapping[str, bytes], *, private: bool | None = None, revision: str = "main"
    ) -> str:
        """Commit files on top of a branch, creating repository and branch where missing; the commit's id."""
        with self._lock:
            repository = self.repositories.setdefault(name, Repository(name))
            if private is not None:
                repository.visibility = "private" if private else "public"
            parent = repository.find(revision if revision in repository.branches else "main")
            blobs = {path: Blob(data, is_large(path, len(data), data[:512])) for path, data in files.items()}
            self.large_files |= {blob.sha256: blob.content for blob in blobs.values() if blob.lfs}
            return repository.append(revision, {**parent.files, **blobs}, "Seed", parent=parent.sha).sha

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """All files of a repository, `.gitattributes` too."""
        with self._lock:
            return {path: blob.content for path, blob in self.repositories[name].find(revision).files.items()}

    def rename(self, old: str, new: str) -> None:
        """Give a repository another name; requests that use an earlier one are redirected."""
        with self._lock:
            self.repositories[new] = self.repositories.pop(old)
            self.repositories[new].name = new
            names = {earlier: new if name == old else name for earlier, name in self._earlier_names.items()}
            self._earlier_names = {**names, old: new}

    def find(self, name: str) -> Repository | None:
        """The repository that has a name, or else had it."""
        return self.repositories.get(name) or self.repositories.get(self._earlier_names.get(name, ""))

    def environment(self, token: str = WRITE_TOKEN) -> dict[str, str]:
        """Environment of a subprocess that is to meet this double: that of this process, changed."""
        switches = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
        online = {f"HF_{library}_OFFLINE": "0" for library in ("HUB", "DATASETS", "EVALUATE")}
        direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        folders = {name: str(self.home / folder) for name, folder in CLIENT_FOLDERS.items()}
        return {**os.environ, **switches, **online, **direct, **folders, "HF_ENDPOINT": self.url, "HF_TOKEN": token}

    def receive(self, line: str) -> tuple[Fault | None, list[Event]]:
        """Log a request and say what befalls it, and what happens before."""
        with self._lock:
            self.log.append(line)
            faults = [fault for fault in self._faults if fault.due(line)]
            events = [event for event in self._events if event.due(line)]
            for trigger in (*faults[:1], *events):
                trigger.times -= 1
            return (faults[0] if faults else None), events

    def handle(self, method: str, target: str, headers: Message, body: bytes) -> Response:
        """Answer a request."""
        url = urlsplit(target)
        query = parse_qs(url.query)
        wanted = "GET" if method == "HEAD" else method
        try:
            for route_method, pattern, handler in PATTERNS:
                if route_method == wanted and (match := pattern.fullmatch(url.path)):
                    parts = {name: unquote(value) for name, value in match.groupdict().items()}
                    with self._lock:
                        return handler(Request(self, method, url.path, query, headers, body, parts))
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")
        except Refusal as refusal:
            return json_response({"error": str(refusal)}, refusal.status, refusal.headers)


class _Connection(BaseHTTPRequestHandler):
    """One connection of a client, over which requests come in turn."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def serve(self) -> None:
        """Answer one request, unless a fault strikes it."""
        fault, events = self.hub.receive(f"{self.command} {unquote(urlsplit(self.path).path)}")
        cut = fault.cut if fault else None
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read((size + 1) // 2 if cut == "middle" else size)
        for event in events:
            event.action()
        if cut == "before" or (cut == "middle" and body):
            self.close_connection = True
        elif cut == "silence":
            self.hub.closing.wait()
            self.close_connection = True
        elif cut == "page":
            self._send(Response(b"<html><body>Sign in to this network.</body></html>", content_type="text/html"))
        elif fault and not cut:
            self._send(json_response({"error": "injected fault"}, fault.status, fault.headers))
        else:
            response = self.hub.handle(self.command, self.path, self.headers, body)
            if cut == "after":
                self.close_connection = True
            else:
                self._send(response, half=cut == "middle")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

    def _send(self, response: Response, *, half: bool = False) -> None:
        """Send an answer, or one that breaks off."""
        self.send_response(response.status)
        headers = {"Content-Type": response.content_type, "Content-Length": str(len(response.body)), **response.headers}
        for name, value in headers.items():
            self.send_header(name, value.replace("\n", " "))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body[: len(response.body) // 2] if half else response.body)
        self.close_connection = self.close_connection or half

    def log_message(self, *_: Any) -> None:
        """Print nothing."""
