"""A target on its way: what was tried for it and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fac_datasets.synthesis.targets import Target

PHRASE_WORDS = 4
"""Words of a phrase that ends where a feature peaks, at most."""


class Try(NamedTuple):
    """One sample that was tried for a feature."""

    method: str
    sample: Any
    """What was written, as the kind of data reads it."""
    activation: float
    """Of the feature, measured in the sample by the unsteered backbone."""
    start: int
    """First character of the token where it peaks, within the part that it peaks in."""
    end: int
    """Character behind that token."""
    part: str
    """The part that it peaks in."""
    strength: float = 0.0
    """Of the steering; 0 where there was none."""


@dataclass
class Pursuit:
    """A target on its way."""

    target: Target
    threshold: float
    """Above which the feature is active."""
    examples: list[Any]
    """Rows of the anchor that activate it, as samples, the strongest last."""
    phrases: list[str]
    """Short spans in which it fires, the strongest first."""
    tries: list[Try] = field(default_factory=list)
    """Samples so far that passed the filters."""
    attempts: dict[str, int] = field(default_factory=dict)
    """Drafts by way of generating, of whatever outcome."""
    misses: dict[str, int] = field(default_factory=dict)
    """Those of them that did not end in an accepted sample."""
    accepted: int = 0

    @property
    def feature(self) -> int:
        """The feature aimed at."""
        return self.target.feature

    @property
    def n_attempts(self) -> int:
        """Drafts of all ways together."""
        return sum(self.attempts.values())

    def count(self, method: str) -> int:
        """Drafts of one way."""
        return self.attempts.get(method, 0)

    @property
    def strongest(self) -> Try | None:
        """The try in which the feature is most active; None where it is active in none."""
        best = max(self.tries, key=lambda one: one.activation, default=None)
        return best if best is not None and best.activation > 0 else None

    @property
    def contrastive_pair(self) -> tuple[Try, Try] | None:
        """The strongest and the weakest try; None where no two differ, as a pair of equal ones tells nothing."""
        if not self.tries:
            return None
        strongest = max(self.tries, key=lambda one: one.activation)
        weakest = min(self.tries, key=lambda one: one.activation)
        return (strongest, weakest) if strongest.activation > weakest.activation else None


def phrase_at(text: str, start: int, end: int) -> str:
    """The few words of a text that end with the token where a feature peaks.

    Example:
        >>> phrase_at("I would like a cup of tea, please.", 15, 18)
        'I would like a cup'
    """
    begin = start
    for _ in range(PHRASE_WORDS):
        begin = text.rfind(" ", 0, begin)
        if begin <= 0:
            begin = -1
            break
    stop = end
    # A token may be a part of a word.
    while stop < len(text) and text[stop].isalnum() and text[stop - 1].isalnum():
        stop += 1
    return text[begin + 1 : stop].strip()
