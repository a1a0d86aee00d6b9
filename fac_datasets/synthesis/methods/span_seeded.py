"""Answers that start from, or have to hold, a short span in which the feature fires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.methods.base import Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class SpanSeeded(Method):
    """Lets the answer begin with a phrase in which the feature fires; another phrase with each attempt.

    A generator that cannot go on from the beginning of an answer is told that the phrase has to occur.
    """

    name = "span_seeded"
    turn = 20

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """See `Method.cannot`."""
        return "" if pursuit.phrases else "the feature table has no words of its spans; make it with feature_table"

    def shape(self, wish: Wish, pursuit: Pursuit, asker: Asker) -> Wish:
        """See `Method.shape`."""
        phrase = pursuit.phrases[(pursuit.n_attempts - 1) % len(pursuit.phrases)]
        if not asker.generator.can_prefill:
            return wish._replace(must_hold=phrase)
        return wish._replace(prefix=asker.kind.begin(phrase))
