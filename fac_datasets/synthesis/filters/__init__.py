"""What a synthetic sample must not be, a file each: next to nothing, a repetition, a copy, and more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fac_datasets.files.variants import subclasses_in
from fac_datasets.synthesis.filters.base import Demands, Filter, Sample
from fac_datasets.synthesis.words import words_of


class Filters:
    """Every filter of this folder, in turn.

    Args:
        known: texts that a sample must not copy: the seed, the anchor and the examples.
        demands: what some filters look at only where it is asked for, such as the language.

    Example:
        >>> filters = Filters(["the cat sat on the mat"])
        >>> filters.reject("The cat sat on the mat!"), filters.reject("a dog ran after the ball")
        ('copy', None)
    """

    def __init__(self, known: Iterable[str], demands: Demands | None = None) -> None:
        made = (kind.for_run(demands or Demands()) for kind in subclasses_in(__name__, Filter))
        self._filters: list[Filter] = sorted((one for one in made if one is not None), key=lambda one: one.turn)
        for text in known:
            self.add(text)

    @property
    def reasons(self) -> list[str]:
        """Why a sample may be rejected, in the order in which it is looked at."""
        return [one.reason for one in self._filters]

    def add(self, text: str) -> None:
        """Make a text known, so that later samples may not copy it."""
        words = words_of(text)
        for one in self._filters:
            one.add(words)

    def prepare(self, texts: Sequence[str]) -> None:
        """Look at a batch at once with the filters that are dear one at a time; only at what the cheap ones pass.

        `reject` says the same without it, only later.
        """
        samples = [Sample(text, words_of(text)) for text in dict.fromkeys(texts)]
        for one in self._filters:
            one.prepare(samples)
            samples = [sample for sample in samples if not one.rejects(sample)]

    def reject(self, text: str, target_name: str = "", prompt: str | None = None) -> str | None:
        """Why a sample is rejected, as the first filter that does says; None where it passes.

        Args:
            text: of the sample, all its parts together.
            target_name: name of the feature that it was made for, where it has one.
            prompt: the part of the text that is no answer, where others are: an answer may well start with "Sure!".
        """
        sample = Sample(text, words_of(text), target_name, prompt)
        return next((one.reason for one in self._filters if one.rejects(sample)), None)
