"""Samples that repeat what the prompt asked for, as small models do with its measured scores and its orders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from fac_datasets.synthesis.filters.base import Demands, Filter, Sample
from fac_datasets.synthesis.words import runs_of_words, words_of


class Echo(Filter):
    """Rejects samples that share five words in a row with the fixed words of the prompt, unless known texts do.

    Args:
        wording: texts of the prompt, without examples, names and phrases.
    """

    reason = "echo of the prompt"
    turn = 17

    def __init__(self, wording: Iterable[str]) -> None:
        self._runs = {run for text in wording for run in runs_of_words(words_of(text))}

    @classmethod
    def for_run(cls, demands: Demands) -> Self | None:
        """See `Filter.for_run`."""
        return cls(demands.wording) if demands.wording else None

    def add(self, words: Sequence[str]) -> None:
        """See `Filter.add`."""
        self._runs.difference_update(runs_of_words(words))

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        return not self._runs.isdisjoint(runs_of_words(sample.words))
