"""Lets something happen between two requests of a client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argilla
    import httpx

WRITE = r"PUT .*/records/bulk"
"""A request that sends records."""

READ = r"GET .*/datasets/[^/]+/records"
"""A request for records that are there."""


@contextmanager
def meanwhile(
    client: argilla.Argilla, request: str, event: Callable[[], Any], *, number: int = 1, after: bool = False
) -> Iterator[None]:
    """Let an event happen once: just before, or after, one of the requests that match.

    Args:
        client: whose requests.
        request: pattern of method and path.
        event: may make requests with this client too.
        number: of that request among them, from 1.
        after: the server has answered, and the client has not read the answer yet.
    """
    seen = 0

    def hook(message: Any) -> None:
        nonlocal seen
        sent: httpx.Request = message.request if after else message
        if re.fullmatch(request, f"{sent.method} {sent.url.path}"):
            seen += 1
            if seen == number:
                event()

    hooks = client.http_client.event_hooks["response" if after else "request"]
    hooks.append(hook)
    try:
        yield
    finally:
        hooks.remove(hook)
    assert seen >= number, f"there were {seen} requests like {request!r}"
