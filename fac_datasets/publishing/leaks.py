"""Synthetic rows that repeat the anchor: what is trained on them would be measured on what it has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fac_datasets.synthesis.copying import CopyIndex
from fac_datasets.synthesis.words import words_of


class Leak(NamedTuple):
    """A text that an anchor row holds, or that holds an anchor row, verbatim or nearly so."""

    row: int
    """Of the texts."""
    anchor_row: int
    share: float
    """Of the words that stand in both; see `fac_datasets.synthesis.copying`."""


def find_leaks(texts: Sequence[str], anchor: Iterable[str]) -> list[Leak]:
    """Texts that are copies of an anchor row, or of a part of one, or that hold one; see `copied`.

    Args:
        texts: synthetic ones.
        anchor: texts of the anchor, one at a time.

    Returns:
        For each such text the anchor row that it shares most with, by row.

    Example:
        >>> find_leaks(["Boil the rice in well salted water for nine minutes, then let it stand."], [
        ...     "First, boil the rice in well salted water for nine minutes; then let it stand under a lid."])
        [Leak(row=0, anchor_row=0, share=1.0)]
    """
    index = CopyIndex()
    for text in texts:
        index.add(words_of(text))
    worst: dict[int, Leak] = {}
    for anchor_row, text in enumerate(anchor):
        for row, share in index.matches(words_of(text)):
            if row not in worst or share > worst[row].share:
                worst[row] = Leak(row, anchor_row, share)
    return [worst[row] for row in sorted(worst)]
