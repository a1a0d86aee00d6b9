"""Listens to what a generator is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fac_datasets.generation import Request, TextGenerator


@contextmanager
def asked_of(generator: TextGenerator) -> Iterator[list[Request]]:
    """The requests that reach a generator while this is open."""
    requests: list[Request] = []
    complete = generator.complete

    def listening(given: list[Request], **options: Any) -> Any:
        requests.extend(given)
        return complete(given, **options)

    generator.complete = listening  # type: ignore[method-assign, assignment]
    try:
        yield requests
    finally:
        del generator.complete
