"""What a filter of synthetic samples is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Sample(NamedTuple):
    """A sample as filters see it."""

    text: str
    words: Sequence[str]
    """Of the text; see `fac_datasets.synthesis.words.words_of`."""
    target_name: str = ""
    """Name of the feature that the sample was made for; empty where it has none."""
    prompt: str | None = None
    """The part of the text that is no answer, where another part is one."""


@dataclass(frozen=True)
class Demands:
    """What a run asks of its samples beside what all filters do."""

    language: str | None = None
    """Code of the language that samples are to be in, such as `"en"`."""
    nll: Callable[[Sequence[str]], NDArray[np.float64]] | None = None
    """Mean negative log-likelihood of each of some texts under the unsteered backbone, [n]."""
    highest_nll: float | None = None
    """What it may be at most."""
    wording: tuple[str, ...] = ()
    """Fixed texts of the prompts that ask for the samples."""


class Filter(ABC):
    """Rejects samples for one reason."""

    reason: ClassVar[str]
    """What is recorded of a sample that it rejects."""
    turn: ClassVar[int]
    """Filters look at a sample in rising turn; the first that rejects it gives the reason. Cheap ones come first."""

    @classmethod
    def for_run(cls, demands: Demands) -> Self | None:
        """The filter for a run; None where the run does not ask for it, which most filters need not be asked."""
        return cls()

    def add(self, words: Sequence[str]) -> None:  # noqa: B027
        """Take note of a text that is known or was accepted; most filters need not.

        Args:
            words: of the text; see `fac_datasets.synthesis.words.words_of`.
        """

    def prepare(self, samples: Sequence[Sample]) -> None:  # noqa: B027
        """Learn at once what `rejects` will need of each of these samples; for what is dear one at a time.

        `rejects` says the same whether it was called or not.
        """

    @abstractmethod
    def rejects(self, sample: Sample) -> bool:
        """Whether a sample must not be accepted."""
