"""Synthetic rows that repeat the anchor: what is trained on them would be measured on what it has seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fac_datasets.synthesis.copying import CopyIndex
from fac_datasets.synthesis.words import words_of

MIN_PART_WORDS = 8
"""Words of a part that is looked for by itself."""


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


def find_leaks_of_parts(rows: Sequence[Sequence[str]], anchor: Iterable[Sequence[str]]) -> list[Leak]:
    """Rows that hold a text of an anchor row, or hold a part that stands in one; see `find_leaks`.

    Of rows of several parts, such as a prompt and a response, each part is looked for that has enough words to be
    somebody's own; "Yes, please." stands in many.

    Args:
        rows: the parts of each synthetic row.
        anchor: the parts of each anchor row, one row at a time.

    Example:
        >>> question = "How long does rice have to boil in well salted water?"
        >>> find_leaks_of_parts([[question, "Nine minutes."]], [["Hi."], [question, "It depends."]])
        [Leak(row=0, anchor_row=1, share=1.0)]
    """
    flat = [(row, text) for row, parts in enumerate(rows) for text in _own_parts(parts)]
    anchor_rows: list[int] = []

    def anchor_texts() -> Iterator[str]:
        for number, parts in enumerate(anchor):
            for text in _own_parts(parts):
                anchor_rows.append(number)
                yield text

    worst: dict[int, Leak] = {}
    for leak in find_leaks([text for _, text in flat], anchor_texts()):
        row = flat[leak.row][0]
        if row not in worst or leak.share > worst[row].share:
            worst[row] = Leak(row, anchor_rows[leak.anchor_row], leak.share)
    return [worst[row] for row in sorted(worst)]


def _own_parts(parts: Sequence[str]) -> list[str]:
    """Parts to look for: the one text that a row is, or those of several that are long enough."""
    return list(parts) if len(parts) == 1 else [text for text in parts if len(words_of(text)) >= MIN_PART_WORDS]
