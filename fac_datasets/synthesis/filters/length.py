"""Samples of next to no words."""

from __future__ import annotations

from fac_datasets.synthesis.filters.base import Filter, Sample

MIN_WORDS = 3
"""A shorter sample is rejected."""


class TooShort(Filter):
    """Rejects samples of fewer than three words."""

    reason = "too short"
    turn = 10

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        return len(sample.words) < MIN_WORDS
