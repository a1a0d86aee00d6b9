"""Whether an option is a number that has a meaning; each measure says itself which it needs."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fac_datasets.errors import OptionError


def is_whole(value: Any, least: int, most: int = 2**63 - 1) -> bool:
    """Whether an option is a whole number in [least, most]; a truth value or a text is none.

    Example:
        >>> is_whole(3, 1), is_whole(True, 1), is_whole("3", 1), is_whole(3.0, 1)
        (True, False, False, False)
    """
    is_int = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return bool(is_int and least <= value <= most)


def is_number(value: Any) -> bool:
    """Whether an option is a finite number; a truth value or a text is none.

    Example:
        >>> is_number(0.5), is_number(float("nan")), is_number("0.5"), is_number(None)
        (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    number = value.item() if isinstance(value, np.generic) else value
    return bool(abs(number) <= sys.float_info.max)


def require_seed(seed: Any) -> None:
    """Raise OptionError unless it can seed the generators of all libraries in use."""
    if not is_whole(seed, 0, 2**32 - 2):
        raise OptionError(f"seed={seed!r} is no seed; choose a whole number of at least 0 and below 2^32 - 1")
