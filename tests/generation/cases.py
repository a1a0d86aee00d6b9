"""Requests that the tests of generators share."""

from __future__ import annotations

from fac_datasets.generation import Request
from tests.servers.chat_server import chat_server as chat_server
from tests.servers.chat_server import llama_server as llama_server

TOKEN = "sk-very-secret"


def requests(n: int) -> list[Request]:
    return [Request((("system", "You are brief."), ("user", f"Name the number {i}.")), seed=i) for i in range(n)]
