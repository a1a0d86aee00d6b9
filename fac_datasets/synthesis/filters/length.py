"""Samples of next to no words."""

from __future__ import annotations

from collections.abc import Sequence

from fac_datasets.synthesis.filters.base import Filter

MIN_WORDS = 3
"""A shorter sample is rejected."""


class TooShort(Filter):
    """Rejects samples of fewer than three words."""

    reason = "too short"
    turn = 10

    def rejects(self, text: str, words: Sequence[str]) -> bool:
        """See `Filter.rejects`."""
        return len(words) < MIN_WORDS
