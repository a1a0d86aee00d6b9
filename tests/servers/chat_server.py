"""A real OpenAI-compatible server on loopback (llama.cpp with the embedded model), and a proxy that adds faults."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.servers.llama import serve

JSON = {"Content-Type": "application/json"}


def completion(content: str) -> bytes:
    """The body of a chat completion, with no word of the tokens that it took."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    body = {"id": "0", "created": 0, "model": "m", "system_fingerprint": "", "object": "chat.completion"}
    return json.dumps({**body, "choices": [choice]}).encode()


@dataclass
class Fault:
    """What happens to a request instead of an answer."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    """Time until the answer."""
    cut: bool = False
    """The connection ends in the middle of the answer."""
    through: bool = False
    """The request reaches the server, and its answer the client."""
    drip: float = 0.0
    """Seconds between pieces of 20 bytes of the answer."""


Reply = Callable[[dict[str, Any]], tuple[int, bytes]]
"""Status and body of the answer to a request's body."""


def odd(message: dict[str, Any], finish_reason: str | None = "stop", **body: Any) -> bytes:
    """The body of a chat completion of any message."""
    return json.dumps({"choices": [{"message": message, "finish_reason": finish_reason}], **body}).encode()


def refusal(message: str, **more: Any) -> bytes:
    """The body of an error as OpenAI's protocol has it."""
    return json.dumps({"error": {"message": message, **more}}).encode()


class FaultyProxy:
    """Passes requests on, but for those that a fault was asked for.

    Args:
        upstream: address of the server.
        answer: of a prompt, in place of the server's.
        reply: the same of a whole request, for servers that answer oddly.
        owner: who owns the models that are listed.
    """

    def __init__(
        self,
        upstream: str = "",
        answer: Callable[[str], str] | None = None,
        reply: Reply | None = None,
        owner: str = "somebody",
    ) -> None:
        self.upstream, self.answer, self.reply, self.owner = urlsplit(upstream), answer, reply, owner
        self.faults: list[Fault] = []
        self.requests: list[tuple[float, dict[str, str], bytes]] = []
        """Time, headers and body of each request."""
        self.most_at_once = 0
        self._lock, self._now = threading.Lock(), 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def fail(self, fault: Fault, times: int = 1) -> None:
        """Let the next requests meet a fault."""
        self.faults += [fault] * times

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def _counted(self) -> Iterator[Fault | None]:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            fault = self.faults.pop(0) if self.faults else None
        try:
            yield fault
        finally:
            with self._lock:
                self._now -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                models = {"object": "list", "data": [{"id": "m", "owned_by": proxy.owner}]}
                self._answer(200, JSON, json.dumps(models).encode(), Fault())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                proxy.requests.append((time.monotonic(), dict(self.headers), body))
                with proxy._counted() as fault:
                    if fault is not None and not fault.through:
                        time.sleep(fault.seconds)
                        self._answer(fault.status, fault.headers, fault.body, fault)
                        return
                    status, headers, answer = self._pass_on(body)
                    if fault is not None:
                        time.sleep(fault.seconds)
                    self._answer(status, headers, answer, fault or Fault())

            def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
                if proxy.reply is not None:
                    status, content = proxy.reply(json.loads(body))
                    return status, JSON, content
                if proxy.answer is not None:
                    prompt = "\n".join(message["content"] for message in json.loads(body)["messages"])
                    return 200, JSON, completion(proxy.answer(prompt))
                connection = http.client.HTTPConnection(proxy.upstream.hostname or "", proxy.upstream.port, timeout=120)
                connection.request("POST", self.path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                content = response.read()
                connection.close()
                return response.status, JSON, content

            def _answer(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
                piece = 20 if fault.drip else max(1, len(body))
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body) + (100 if fault.cut else 0)))
                    self.end_headers()
                    for begin in range(0, len(body), piece):
                        self.wfile.write(body[begin : begin + piece])
                        self.wfile.flush()
                        time.sleep(fault.drip)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                if fault.cut:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def odd_server() -> Iterator[FaultyProxy]:
    """A server that answers as a test says."""
    proxy = FaultyProxy()
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of llama.cpp's server with the embedded model."""
    from fac_datasets.backbone.bundled import write_embedded_gguf

    return serve(write_embedded_gguf(tmp_path_factory.mktemp("gguf")), "smollm2")


@pytest.fixture
def chat_server(llama_server: str) -> Iterator[FaultyProxy]:
    """The server behind a proxy of the test's own."""
    proxy = FaultyProxy(llama_server)
    yield proxy
    proxy.close()
