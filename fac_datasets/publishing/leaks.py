"""Synthetic rows that repeat the anchor: what is trained on them would be measured on what it has seen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fac_datasets.synthesis.words import runs_of_words, words_of

NEARLY = 0.8
"""Share of a text's runs of words that stand in another, from which on it counts as nearly verbatim."""

WORDS = 8
"""Words of an anchor row, at least, for a text that holds it to count; shorter ones are phrases that anybody writes."""


class Leak(NamedTuple):
    """A text that an anchor row holds, or that holds an anchor row, verbatim or nearly so."""

    row: int
    """Of the texts."""
    anchor_row: int
    share: float
    """Of the runs of five words of the shorter of the two that stand in the other; 1 where it stands there word by
    word."""


def find_leaks(texts: Sequence[str], anchor: Iterable[str], nearly: float = NEARLY) -> list[Leak]:
    """Texts that stand in an anchor row, or hold one, verbatim or nearly so.

    Case, punctuation and spaces make no difference. A text of fewer than five words must be the whole anchor row; an
    anchor row of fewer than eight words is looked for only as the whole text.

    Args:
        texts: synthetic ones.
        anchor: texts of the anchor, one at a time.
        nearly: share of the runs of five words that must stand in the other.

    Returns:
        For each such text the anchor row that it shares most with, by row.

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
        words = words_of(text)
        runs = _runs(words)
        for row, count in Counter(row for run in runs for row in owners.get(run, ())).items():
            share = count / (min(n_runs[row], len(runs)) if len(words) >= WORDS else n_runs[row])
            if share >= nearly and (row not in worst or share > worst[row].share):
                worst[row] = Leak(row, anchor_row, share)
    return [worst[row] for row in sorted(worst)]


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    """All runs of five words; of fewer words the one run that they are."""
    return set(runs_of_words(words)) or ({tuple(words)} if words else set())
