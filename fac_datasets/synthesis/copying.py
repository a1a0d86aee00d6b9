"""Whether one text is a copy of another: verbatim, nearly so, in another order, or in part.

Two measures find one what the other misses. Words of a text that lie in a run of three which the other has too: clauses
in another order keep their runs. And the longest common subsequence: words that are replaced or put in break the runs
around them, but not the order; it counts only where half of the words lie in runs, since the commonest words stand in
order in any two texts.

What the shared words are measured against depends on the words of the shorter text. From 14 on these alone, so that a
row is found wherever it stands in a longer text. From 10 to 13 those of both texts: a row with a word put in every four
is found, and so is one that makes up three quarters of the other text; one that stands in a text yet longer is not,
since nothing tells it from a phrase such as "I'm sorry, but I can't help with that request." Below 10 those of the
longer text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fac_datasets.synthesis.words import runs_of_words, words_of

SHARED_RUN = 3
"""Words that must follow each other in both texts to count as shared."""

NEARLY = 0.85
"""Share of the words from which on a text is a copy: one word in eight may be replaced, and two in eleven, such as who
does what in a story that is asked for, may not."""

_LIKELY = 0.5
"""Share of the words in common runs from which on the order is looked at: a word that is put in every four, or replaced
in eight, leaves as many."""

SHORTEST = 8
"""Where neither text has as many words, one is a copy only where it is the same."""

SENTENCE_WORDS = 10
"""A text of fewer words is a copy only of one of nearly its own length."""

ROW_WORDS = 14
"""A text of fewer words that is but a part of another is a phrase that anybody writes ("don't" counts as two)."""


class Match(NamedTuple):
    """A text that another is a copy of."""

    place: int
    """Of the text, in the order in which texts were added."""
    share: float
    """Of the words, of one text or of both, that stand in the other too, in runs or in order."""


def copied(text: str, source: str) -> bool:
    """Whether a text is a copy of a source, or the source of it, or either holds the other.

    One that is held must have 14 words to be told from a phrase that anybody writes, or make up three quarters of the
    other and have 10. Case, punctuation, invisible characters and letters that only look alike make no difference.

    Example:
        >>> copied("First boil the rice in plenty of salted water.", "Boil the rice in plenty of salted water. Wait.")
        True
        >>> copied("How are you doing today?", "How are you doing today my friend?")
        False
    """
    return shared(words_of(text), words_of(source)) >= NEARLY


def shared(words: Sequence[str], other: Sequence[str]) -> float:
    """Share of the words that stand in both texts; below 0.85 neither is a copy of the other.

    Args:
        words: of a text; see `words_of`.
        other: words of another text.
    """
    index = CopyIndex()
    index.add(other)
    return max((match.share for match in index.matches(words, at_least=0.0)), default=0.0)


class CopyIndex:
    """Texts in which copies are looked for in time that does not grow with their number.

    Example:
        >>> index = CopyIndex()
        >>> index.add(words_of("Boil the rice in plenty of salted water for nine minutes, then let it stand."))
        >>> words = words_of("Now boil the rice in plenty of salted water for nine minutes, then let it stand.")
        >>> list(index.matches(words))
        [Match(place=0, share=1.0)]
    """

    def __init__(self) -> None:
        self._texts: list[tuple[str, ...]] = []
        self._same: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._places: dict[tuple[str, ...], list[tuple[int, list[int]]]] = defaultdict(list)
        """Of each run the texts that have it, and where it starts there."""

    def add(self, words: Sequence[str]) -> None:
        """Add a text; those that are added are counted from 0."""
        place, text = len(self._texts), tuple(words)
        self._texts.append(text)
        self._same[text].append(place)
        for run, starts in _starts(words).items():
            self._places[run].append((place, starts))

    def matches(self, words: Sequence[str], *, at_least: float = NEARLY) -> Iterator[Match]:
        """The texts that one with these words is a copy of, or that are copies of it, in their order.

        Args:
            words: see `words_of`.
            at_least: share from which on a text counts.
        """
        here: dict[int, list[int]] = defaultdict(list)
        there: dict[int, list[int]] = defaultdict(list)
        for run, starts in _starts(words).items():
            for place, starts_there in self._places.get(run, ()):
                here[place] += starts
                there[place] += starts_there
        shares = dict.fromkeys(self._same.get(tuple(words), ()) if words else (), 1.0)
        for place in here.keys() - shares.keys():
            shares[place] = _share(words, self._texts[place], here[place], there[place])
        yield from (Match(place, shares[place]) for place in sorted(shares) if shares[place] >= at_least)


def _share(words: Sequence[str], other: Sequence[str], starts: list[int], starts_there: list[int]) -> float:
    """How much of two different texts is shared, told where the runs that both have start in each."""
    if len(words) > len(other):
        words, other, starts, starts_there = other, words, starts_there, starts
    shorter, longer = len(words), len(other)
    if longer < SHORTEST:
        return 0.0
    both = (shorter + longer) / 2 if shorter >= SENTENCE_WORDS else longer
    covered, covered_there = _covered(starts), _covered(starts_there)
    # Of two texts of one length the one that is covered more.
    most = max(covered, covered_there) if shorter == longer else covered
    share = 0.0
    if shorter >= SENTENCE_WORDS:
        share = (covered + covered_there) / 2 / both
    if shorter >= ROW_WORDS:
        share = max(share, most / shorter)
    if most >= _LIKELY * shorter:
        if shorter >= NEARLY * both:
            share = max(share, _in_order(words, other) / both)
        if longer > shorter >= ROW_WORDS:
            share = max(share, _in_order(words, _around(other, starts_there, shorter)) / shorter)
    return share


def _around(words: Sequence[str], starts: list[int], held: int) -> Sequence[str]:
    """The words of a text among which all runs of one of `held` words lie; none where others lie between in plenty.

    In the whole of a long text the commonest words would stand in any order.
    """
    begin, end = min(starts), max(starts) + SHARED_RUN
    if held < NEARLY * (held + end - begin) / 2:
        return ()
    return words[max(0, begin - SHARED_RUN) : end + SHARED_RUN]


def _starts(words: Sequence[str]) -> dict[tuple[str, ...], list[int]]:
    """The different runs of a text, and where each starts."""
    starts: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for start, run in enumerate(runs_of_words(words, SHARED_RUN)):
        starts[run].append(start)
    return starts


def _covered(starts: list[int]) -> int:
    """Words that lie in runs which start there."""
    covered, end = 0, 0
    for start in sorted(starts):
        covered += start + SHARED_RUN - max(start, end)
        end = start + SHARED_RUN
    return covered


def _in_order(words: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, a bit a word (Hyyro 2004, "Bit-parallel LCS-length computation")."""
    places: dict[str, int] = defaultdict(int)
    for place, word in enumerate(words):
        places[word] |= 1 << place
    whole = (1 << len(words)) - 1
    row = whole
    for word in other:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & whole
    return len(words) - row.bit_count()
