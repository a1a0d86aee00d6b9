"""Samples that copy known texts: the seed, the anchor, an example, or an earlier sample."""

from __future__ import annotations

from collections.abc import Sequence

from fac_datasets.synthesis.copying import CopyIndex
from fac_datasets.synthesis.filters.base import Filter, Sample
from fac_datasets.synthesis.words import runs_of_words

MAX_COPIED = 0.5
"""A sample with a larger share of its runs of five words in known texts is pieced together from them."""


class Copy(Filter):
    """Rejects copies of a known text, and samples that are pieced together from several.

    What a leak check would refuse to publish (`fac_datasets.publishing.leaks`) is never accepted, since both ask
    `fac_datasets.synthesis.copying`.
    """

    reason = "copy"
    turn = 30

    def __init__(self) -> None:
        self._texts = CopyIndex()
        self._runs: set[tuple[str, ...]] = set()

    def add(self, words: Sequence[str]) -> None:
        """See `Filter.add`."""
        self._texts.add(words)
        self._runs.update(runs_of_words(words))

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        if any(self._texts.matches(sample.words)):
            return True
        runs = runs_of_words(sample.words)
        return bool(runs) and sum(run in self._runs for run in runs) > MAX_COPIED * len(runs)
