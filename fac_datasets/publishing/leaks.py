"""Synthetic rows that repeat the anchor: what is trained on them would be measured on what it has seen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fac_datasets.synthesis.filters import runs_of_words, words_of

NEARLY = 0.8
"""Share of a text's runs of words that stand in one anchor row, from which on it counts as nearly verbatim."""


class Leak(NamedTuple):
    """A text that an anchor row holds, or nearly."""

    row: int
    """Of the texts."""
    anchor_row: int
    share: float
    """Of its runs of five words that the anchor row has; 1 where it stands there word by word."""


def find_leaks(texts: Sequence[str], anchor: Iterable[str], nearly: float = NEARLY) -> list[Leak]:
    """Texts that stand in an anchor row, verbatim or nearly so.

    Case, punctuation and spaces make no difference. A text of fewer than five words must be the whole anchor row.

    Args:
        texts: synthetic ones.
        anchor: texts of the anchor, one at a time.
        nearly: share of a text's runs of five words that an anchor row must have.

    Returns:
        For each such text the anchor row that has most of it, by row.

    Example:
        >>> find_leaks(["Boil the rice in salted water."], ["First, boil the rice in salted water; then wait."])
        [Leak(row=0, anchor_row=0, share=1.0)]
    """
    owners: dict[tuple[str, ...], list[int]] = defaultdict(list)
    n_runs: list[int] = []
    for row, text in enumerate(texts):
        runs = _runs(words_of(text))
        n_runs.append(len(runs))
        for run in runs:
            owners[run].append(row)
    worst: dict[int, Leak] = {}
    for anchor_row, text in enumerate(anchor):
        shared = Counter(row for run in _runs(words_of(text)) for row in owners.get(run, ()))
        for row, count in shared.items():
            share = count / n_runs[row]
            if share >= nearly and (row not in worst or share > worst[row].share):
                worst[row] = Leak(row, anchor_row, share)
    return [worst[row] for row in sorted(worst)]


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    """All runs of five words; of fewer words the one run that they are."""
    return set(runs_of_words(words)) or ({tuple(words)} if words else set())
