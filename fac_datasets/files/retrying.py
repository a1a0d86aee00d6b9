"""When to ask a server again, and how long to wait before."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""Statuses that another try may get past."""

LONGEST_WAIT = 600.0
"""Seconds that a server may ask to wait; what asks for more is taken as down."""


def growing_wait(attempt: int) -> float:
    """Seconds before another try, twice as many each time, up to a minute; spread, so that clients do not come at once.

    Args:
        attempt: tries so far, less one.
    """
    return min(60.0, 2.0**attempt) * random.uniform(0.5, 1.0)


def wait_after(status: int, retry_after: str | None, attempt: int) -> float | None:
    """Seconds until another try after an answer that is an error; None where none would help.

    Args:
        status: of the answer.
        retry_after: its header `Retry-After`, which takes the place of the growing wait.
        attempt: tries so far, less one.
    """
    if status not in PASSING:
        return None
    asked = seconds_asked(retry_after)
    return None if asked > LONGEST_WAIT else asked or growing_wait(attempt)


def seconds_asked(header: str | None) -> float:
    """Seconds that a Retry-After header names, as a number or a date; 0 without one.

    Example:
        >>> seconds_asked("3"), seconds_asked("soon")
        (3.0, 0.0)
    """
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    # A date without zone is meant in that of the protocol.
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
