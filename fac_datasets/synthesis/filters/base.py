"""What a filter of synthetic samples is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar


class Filter(ABC):
    """Rejects samples for one reason."""

    reason: ClassVar[str]
    """What is recorded of a sample that it rejects."""
    turn: ClassVar[int]
    """Filters look at a sample in rising turn; the first that rejects it gives the reason. Cheap ones come first."""

    def add(self, words: Sequence[str]) -> None:  # noqa: B027
        """Take note of a text that is known or was accepted; most filters need not.

        Args:
            words: of the text; see `fac_datasets.synthesis.words.words_of`.
        """

    @abstractmethod
    def rejects(self, text: str, words: Sequence[str]) -> bool:
        """Whether a sample must not be accepted.

        Args:
            text: of the sample.
            words: of the text.
        """
