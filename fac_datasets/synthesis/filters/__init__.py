"""What a synthetic sample must not be, a file each: next to nothing, a repetition, a copy."""

from __future__ import annotations

from collections.abc import Iterable

from fac_datasets.files.variants import subclasses_in
from fac_datasets.synthesis.filters.base import Filter
from fac_datasets.synthesis.words import words_of


class Filters:
    """Every filter of this folder, in turn.

    Args:
        known: texts that a sample must not copy: the seed, the anchor and the examples.

    Example:
        >>> filters = Filters(["the cat sat on the mat"])
        >>> filters.reject("The cat sat on the mat!"), filters.reject("a dog ran after the ball")
        ('copy', None)
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._filters = sorted((kind() for kind in subclasses_in(__name__, Filter)), key=lambda one: one.turn)
        for text in known:
            self.add(text)

    def add(self, text: str) -> None:
        """Make a text known, so that later samples may not copy it."""
        words = words_of(text)
        for one in self._filters:
            one.add(words)

    def reject(self, text: str) -> str | None:
        """Why a sample is rejected, as the first filter that does says; None where it passes."""
        words = words_of(text)
        return next((one.reason for one in self._filters if one.rejects(text, words)), None)
