"""`auto`: which way of generating a target is tried with next, learned from what the others came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fac_datasets.synthesis.methods.base import Draft, Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit

PRIOR_TRIES = 4
"""A way of which nothing is known counts as if it had hit in half of so many tries."""

MISS = 0.5
"""Each miss for a feature halves what is expected of the same way for it."""


class Chooser:
    """Expects of each way what it came to so far, in accepted samples a decoded token, and takes the best.

    At the start all ways are expected to hit alike and to cost what their turn says, so that cheap ones come first.
    What writes badly loses by itself: a broken or repetitive sample is no hit, however strongly the feature fires in
    it. The choice depends on recorded outcomes alone, so that a run that goes on chooses as one that was never stopped.

    Args:
        methods: the ways to choose from, cheap ones first.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = methods
        self._hits: dict[str, int] = defaultdict(int)
        self._tries: dict[str, int] = defaultdict(int)
        self._tokens: dict[str, int] = defaultdict(int)

    def next(self, pursuit: Pursuit, asker: Asker) -> Method | None:
        """The way that a target is tried with next; None where there is none."""
        possible = [method for method in self._methods if not method.cannot(pursuit, asker)]
        return max(possible, key=lambda method: (self._worth(method, pursuit), -method.turn), default=None)

    def record(self, method: str, draft: Draft, accepted: bool) -> None:
        """Take note of what a draft came to."""
        self._tries[method] += 1
        self._hits[method] += accepted
        self._tokens[method] += draft.decoded_tokens

    def hits(self) -> dict[str, tuple[int, int, int]]:
        """Accepted samples, drafts and decoded tokens of each way that was used."""
        return {name: (self._hits[name], tries, self._tokens[name]) for name, tries in self._tries.items()}

    def _worth(self, method: Method, pursuit: Pursuit) -> float:
        """Accepted samples expected of a decoded token."""
        tries = self._tries[method.name]
        rate = (self._hits[method.name] + PRIOR_TRIES / 2) / (tries + PRIOR_TRIES)
        # Before anything is known a way costs as many tokens as its turn says of its dearness.
        tokens = (self._tokens[method.name] + method.turn * PRIOR_TRIES) / (tries + PRIOR_TRIES)
        return rate * MISS ** pursuit.misses.get(method.name, 0) / tokens
