"""What a synthetic sample must not be: a copy, a repetition, or next to nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

MIN_WORDS = 3
"""A shorter sample is rejected."""

MIN_DISTINCT_BIGRAMS = 0.6
"""A sample whose distinct bigrams are a smaller share of its bigrams repeats itself."""

COPIED_WORDS = 5
"""Runs of this many words are compared with the known texts."""

MAX_COPIED = 0.5
"""A sample with a larger share of such runs in known texts is a copy."""


class Filters:
    """Rejects samples that repeat known texts, each other, or themselves.

    Args:
        known: texts that a sample must not copy: the seed, the anchor and the examples.

    Example:
        >>> filters = Filters(["the cat sat on the mat"])
        >>> filters.reject("The cat sat on the mat!"), filters.reject("a dog ran after the ball")
        ('copy', None)
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._runs: set[tuple[str, ...]] = set()
        self._texts: set[tuple[str, ...]] = set()
        for text in known:
            self.add(text)

    def add(self, text: str) -> None:
        """Make a text known, so that later samples may not copy it."""
        words = words_of(text)
        self._texts.add(tuple(words))
        self._runs.update(runs_of_words(words))

    def reject(self, text: str) -> str | None:
        """Why a sample is rejected: `"too short"`, `"repetitive"` or `"copy"`; None where it passes."""
        words = words_of(text)
        if len(words) < MIN_WORDS:
            return "too short"
        bigrams = list(itertools.pairwise(words))
        if len(set(bigrams)) < MIN_DISTINCT_BIGRAMS * len(bigrams):
            return "repetitive"
        if tuple(words) in self._texts:
            return "copy"
        runs = runs_of_words(words)
        if runs and sum(run in self._runs for run in runs) > MAX_COPIED * len(runs):
            return "copy"
        return None


# Chinese and Japanese put no spaces between words, so each of their characters counts as one.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case; of Chinese and Japanese the characters."""
    return _WORD.findall(text.lower())


def runs_of_words(words: list[str]) -> list[tuple[str, ...]]:
    """All runs of `COPIED_WORDS` words, in their order."""
    return [tuple(words[i : i + COPIED_WORDS]) for i in range(len(words) - COPIED_WORDS + 1)]
