"""What the library logs of its progress, said to whoever waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_said(say: Callable[[str], None]) -> Iterator[None]:
    """While open, what the library logs of its progress is said too.

    Example:
        >>> with progress_said(print):
        ...     logging.getLogger("fac_datasets.synthesis").info("round 1")
        round 1
    """
    logger = logging.getLogger("fac_datasets")
    handler, level = logging.Handler(), logger.level
    handler.emit = lambda record: say(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
