"""Samples that copy a known text: the seed, the anchor, an example, or an earlier sample."""

from __future__ import annotations

from collections.abc import Sequence

from fac_datasets.synthesis.filters.base import Filter
from fac_datasets.synthesis.words import runs_of_words

MAX_COPIED = 0.5
"""A sample with a larger share of its runs of words in known texts is a copy."""


class Copy(Filter):
    """Rejects samples whose words are a known text's, or whose runs of five words mostly stand in known texts."""

    reason = "copy"
    turn = 30

    def __init__(self) -> None:
        self._texts: set[tuple[str, ...]] = set()
        self._runs: set[tuple[str, ...]] = set()

    def add(self, words: Sequence[str]) -> None:
        """See `Filter.add`."""
        self._texts.add(tuple(words))
        self._runs.update(runs_of_words(words))

    def rejects(self, text: str, words: Sequence[str]) -> bool:
        """See `Filter.rejects`."""
        if tuple(words) in self._texts:
            return True
        runs = runs_of_words(words)
        return bool(runs) and sum(run in self._runs for run in runs) > MAX_COPIED * len(runs)
