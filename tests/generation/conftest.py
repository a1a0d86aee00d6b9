"""An endpoint on loopback."""

from __future__ import annotations

import pytest

from fac_datasets import (
    EndpointGenerator,
)
from tests.generation.cases import TOKEN
from tests.servers.chat_server import FaultyProxy
from tests.servers.chat_server import chat_server as chat_server
from tests.servers.chat_server import llama_server as llama_server


@pytest.fixture
def generator(chat_server: FaultyProxy) -> EndpointGenerator:
    return EndpointGenerator("smollm2", base_url=chat_server.address, token=TOKEN, concurrency=4, timeout=60)
