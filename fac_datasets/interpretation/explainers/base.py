"""What an explainer of features is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from fac_datasets.generation.base import TextGenerator
    from fac_datasets.generation.journal import Journal

CANNOT_TELL = "cannot tell"
"""Stands in `fits` where there is no name because the spans have nothing in common."""

Span = Mapping[str, Any]


class Explanation(NamedTuple):
    """What an explainer says of a feature."""

    name: str | None
    """The name; None where there is none."""
    problem: str | None = None
    """Why there is none: `"cannot tell"`, `"unparsable"` or `"refused"`."""


class Explainer(ABC):
    """Finds names for features from their spans."""

    name: str
    """What gave the names, for the column `explainer`."""
    asks: ClassVar[bool] = False
    """Whether it asks a text generator."""

    @classmethod
    def made(cls, generator: TextGenerator | None, journal: Journal, answer_tokens: int) -> Explainer:
        """One for a command; an explainer that asks takes the generator, the journal that keeps its answers, and the
        tokens that each may have."""
        return cls()

    @abstractmethod
    def explain(self, spans: Sequence[Sequence[Span]]) -> list[Explanation]:
        """A name for each feature.

        Args:
            spans: of each feature, the strongest first; `text`, `start` and `end` of the peak in it, `activation`.
        """
