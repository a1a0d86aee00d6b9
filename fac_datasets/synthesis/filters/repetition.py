"""Samples that repeat themselves."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from fac_datasets.synthesis.filters.base import Filter, Sample

MIN_DISTINCT_BIGRAMS = 0.6
"""A sample whose distinct bigrams are a smaller share of its bigrams repeats itself."""

LOOP_TIMES, LOOP_WORDS = 4, 8
"""A sample in which words follow themselves so often, and are so many with that, is caught in a loop, be the rest as it
may; people say "no, no, no, no", and models "and so on and so on and so on and so on"."""

LOOP_LONGEST = 16
"""Words of a loop."""

_ONE_CHARACTER = re.compile(r"([^\W\d_]|[!?])\1{15}")
"""Letters, and marks that are no ruler, blank or table."""


class Repetition(Filter):
    """Rejects samples that go round in circles, as small models do, in all of the text or somewhere in it."""

    reason = "repetitive"
    turn = 20

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        bigrams = list(itertools.pairwise(sample.words))
        return (
            len(set(bigrams)) < MIN_DISTINCT_BIGRAMS * len(bigrams)
            or _has_loop(sample.words)
            or _ONE_CHARACTER.search(sample.text) is not None
        )


def _has_loop(words: Sequence[str]) -> bool:
    """Whether words follow themselves, and these again, without others between them."""
    for length in range(1, LOOP_LONGEST + 1):
        needed = max(LOOP_TIMES * length, LOOP_WORDS) - length
        equal = 0
        for word, later in zip(words, words[length:], strict=False):
            equal = equal + 1 if word == later else 0
            if equal >= needed:
                return True
    return False
