"""`auto`: which way of generating a target is tried with next, learned from what the others came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fac_datasets.synthesis.drafts import Draft
from fac_datasets.synthesis.methods import Way

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit

PRIOR_TRIES = 4
"""A way of which nothing is known counts as if it had hit in half of so many tries."""

MISS = 0.75
"""Each miss for a feature takes a quarter of what is expected of the same way for it."""


class Chooser:
    """Expects of each way what it came to so far, in accepted samples a decoded token, and takes the best.

    At the start all ways are expected to hit alike and to cost what their turn says, so that cheap ones come first.
    What writes badly loses by itself: a broken or repetitive sample is no hit, however strongly the feature fires in
    it. The choice depends on recorded outcomes alone, so that a run that goes on chooses as one that was never stopped.

    Args:
        ways: to choose from, cheap ones first.
    """

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = ways
        self._hits: dict[str, int] = defaultdict(int)
        self._tries: dict[str, int] = defaultdict(int)
        self._tokens: dict[str, int] = defaultdict(int)
        self._pending: dict[str, int] = defaultdict(int)

    def next(self, pursuit: Pursuit, asker: Asker) -> Way | None:
        """The way that a target is tried with next; None where there is none.

        Until it is recorded what came of it, it counts as a miss: of targets that are written for together only a few
        try what nothing is known of.
        """
        possible = [way for way in self._ways if not way.cannot(pursuit, asker)]
        best = max(possible, key=lambda way: (self._worth(way, pursuit), -way.turn), default=None)
        if best is not None:
            self._pending[best.name] += 1
        return best

    def untried(self, pursuits: Sequence[Pursuit], asker: Asker) -> list[str]:
        """Ways that some target could be tried with and none was."""
        return [
            way.name
            for way in self._ways
            if not self._tries.get(way.name) and not all(way.cannot(one, asker) for one in pursuits)
        ]

    def record(self, way: str, draft: Draft, *, accepted: bool) -> None:
        """Take note of what a draft came to."""
        self._pending[way] = max(0, self._pending[way] - 1)
        self._tries[way] += 1
        self._hits[way] += accepted
        self._tokens[way] += draft.decoded_tokens

    def _worth(self, way: Way, pursuit: Pursuit) -> float:
        """Accepted samples expected of a decoded token."""
        tries = self._tries[way.name]
        rate = (self._hits[way.name] + PRIOR_TRIES / 2) / (tries + self._pending[way.name] + PRIOR_TRIES)
        # Before anything is known a way costs as many tokens as its turn says of its dearness.
        tokens = (self._tokens[way.name] + way.turn * PRIOR_TRIES) / (tries + PRIOR_TRIES)
        return rate * MISS ** pursuit.misses.get(way.name, 0) / tokens
