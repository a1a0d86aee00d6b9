"""A target on its way: what is shown for it, what was tried for it, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.targets import Target


class Try(NamedTuple):
    """One sample that was tried for a feature."""

    sample: Sample
    activation: float
    """Of the feature, measured in the sample by the unsteered backbone."""
    part: str
    """The part of the sample that the feature peaks in; empty where it is active in none."""
    start: int
    """First character of the token where it peaks, in that part."""
    end: int
    """Character behind that token."""
    strength: float = 0.0
    """Of the steering; 0 where there was none."""


@dataclass
class Pursuit:
    """A target on its way."""

    target: Target
    like: Sample
    """The row in whose manner a sample is to be: the sample gets its label and its system prompt."""
    examples: tuple[Sample, ...]
    """Rows that are shown, the best last, next to the answer."""
    phrases: tuple[str, ...]
    """Short spans in which the feature fires, the strongest first."""
    tries: list[Try] = field(default_factory=list)
    """Samples so far that passed the filters."""
    attempts: dict[str, int] = field(default_factory=dict)
    """Drafts of each way of generating, of whatever outcome."""
    misses: dict[str, int] = field(default_factory=dict)
    """Those of them that were not accepted."""
    accepted: int = 0
    real: Try | None = None
    """The row of the anchor in which the feature is most active, as it was measured there; None where none is known."""

    @property
    def feature(self) -> int:
        """The feature aimed at."""
        return self.target.feature

    @property
    def threshold(self) -> float:
        """What its activation has to exceed."""
        return self.target.threshold

    @property
    def n_attempts(self) -> int:
        """Drafts of all ways together."""
        return sum(self.attempts.values())

    @property
    def strongest(self) -> Try | None:
        """The try in which the feature is most active; None where it is active in none."""
        best = max(self.tries, key=lambda one: one.activation, default=None)
        return best if best is not None and best.activation > 0 else None

    @property
    def contrastive_pair(self) -> tuple[Try, Try] | None:
        """The strongest and the weakest try; None where no two differ, as equal ones tell nothing.

        Where the feature is active in no try, the strong one is a real row of the anchor.
        """
        strongest = self.strongest or self.real
        if strongest is None or not self.tries:
            return None
        weakest = min(self.tries, key=lambda one: one.activation)
        return (strongest, weakest) if strongest.activation > weakest.activation else None

    def begin(self, method: str) -> int:
        """Count a draft of a way of generating; its number among those of all ways, from 1."""
        self.attempts[method] = self.attempts.get(method, 0) + 1
        return self.n_attempts

    def miss(self, method: str) -> None:
        """Count a draft that was not accepted."""
        self.misses[method] = self.misses.get(method, 0) + 1
