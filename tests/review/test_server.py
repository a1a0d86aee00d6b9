"""Connecting to a server, and everything that may be wrong with one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from fac_datasets.errors import MissingExtra, ReviewError
from fac_datasets.review.server import connect


@contextmanager
def answering(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    """A server on loopback with fixed answers by path; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers.get(self.path, (404, {"detail": "Not Found"}))
            body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


ME = {
    "id": "00000000-0000-0000-0000-000000000000",
    "username": "me",
    "first_name": "me",
    "role": "owner",
    "api_key": "key",
    "inserted_at": "2026-01-01T00:00:00",
    "updated_at": "2026-01-01T00:00:00",
}


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(url: str | None, key: str | None = "a-secret-key") -> None:
        for name, value in (("ARGILLA_API_URL", url), ("ARGILLA_API_KEY", key)):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return give


def test_no_server(credentials: Any) -> None:
    credentials("http://127.0.0.1:9")
    with pytest.raises(ReviewError, match=r"no Argilla server answers at http://127.0.0.1:9 .*review demo"):
        connect()


def test_no_key(credentials: Any) -> None:
    credentials("http://127.0.0.1:9", None)
    with pytest.raises(ReviewError, match=r"no API key .*; set ARGILLA_API_KEY to the one that the web UI shows"):
        connect()


@pytest.mark.parametrize(
    "answers",
    [{}, {"/api/v1/me": (200, "<html>")}, {"/api/v1/me": (200, ME), "/api/v1/version": (200, {"name": "x"})}],
    ids=["nothing of Argilla", "a page", "no version"],
)
def test_a_server_of_something_else(credentials: Any, answers: dict[str, tuple[int, Any]]) -> None:
    with answering(answers) as url:
        credentials(url)
        with pytest.raises(
            ReviewError, match=r"is no Argilla server, or one that is too old; check ARGILLA_API_URL, .* 2\.1 or later"
        ) as refused:
            connect()
    assert "a-secret-key" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "taken"),
    [("2.0.1", False), ("1.29.0", False), ("dev", False), ("2.1.0", True), ("2.9rc1", True), ("10.0", True)],
)
def test_a_server_that_is_too_old(credentials: Any, version: str, taken: bool) -> None:
    with answering({"/api/v1/me": (200, ME), "/api/v1/version": (200, {"version": version})}) as url:
        credentials(url)
        if taken:
            assert connect().api_url == url
        else:
            with pytest.raises(ReviewError, match=rf"is version {version}; review needs version 2\.1 or later"):
                connect()


def test_the_library_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argilla", None)
    with pytest.raises(MissingExtra, match=r"pip install 'fac-datasets\[review\]'"):
        connect()
