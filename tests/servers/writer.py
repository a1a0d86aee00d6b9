"""A chat server that writes a sentence of its own for every seed, or one for each part that a schema names."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.chat_server import FaultyProxy, completion

_WHO = ("The cat", "A dog", "My aunt", "The train", "Our school", "The old river", "A woman from Norway", "The book")
_DOES = ("looked at", "wrote about", "boils", "would like", "sat behind", "rose above", "sings of", "reads")
_WHAT = ("the rain", "two cups of coffee", "the quiet mat", "one hundred degrees", "Madrid in March", "a blue plum")
_WHEN = ("at nine o'clock", "on Sundays", "by three percent", "before dinner", "for years", "without a word")


def sentence(seed: int) -> str:
    """A sentence that no other seed gives."""
    draw = random.Random(seed)
    return f"{' '.join(draw.choice(words) for words in (_WHO, _DOES, _WHAT, _WHEN))}, said number {seed % 9973}."


def write(request: dict[str, Any]) -> tuple[int, bytes]:
    """The answer to a request."""
    seed = request["seed"]
    if "response_format" not in request:
        return 200, completion(sentence(seed))
    parts = request["response_format"]["json_schema"]["schema"]["required"]
    return 200, completion(json.dumps({part: sentence(seed + place) for place, part in enumerate(parts)}))


@pytest.fixture
def writer() -> Iterator[FaultyProxy]:
    """The server."""
    proxy = FaultyProxy(reply=write)
    yield proxy
    proxy.close()
