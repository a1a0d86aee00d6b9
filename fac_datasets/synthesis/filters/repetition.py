"""Samples that repeat themselves."""

from __future__ import annotations

import itertools

from fac_datasets.synthesis.filters.base import Filter, Sample

MIN_DISTINCT_BIGRAMS = 0.6
"""A sample whose distinct bigrams are a smaller share of its bigrams repeats itself."""


class Repetition(Filter):
    """Rejects samples that go round in circles, as small models do."""

    reason = "repetitive"
    turn = 20

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        bigrams = list(itertools.pairwise(sample.words))
        return len(set(bigrams)) < MIN_DISTINCT_BIGRAMS * len(bigrams)
