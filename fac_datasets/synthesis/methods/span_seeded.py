"""Answers that start from, or have to hold, a short span in which the feature fires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.synthesis.methods.base import Draft, Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class SpanSeeded(Method):
    """Lets the answer begin with a phrase in which the feature fires; another phrase with each try.

    A generator that cannot go on from the beginning of an answer is told that the phrase has to occur.
    """

    name = "span_seeded"
    turn = 20

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """See `Method.cannot`."""
        return "" if pursuit.phrases else "the feature table has no span of it"

    async def draft(self, pursuit: Pursuit, asker: Asker, seed: int) -> Draft:
        """See `Method.draft`."""
        phrase = pursuit.phrases[pursuit.attempts.get(self.name, 0) % len(pursuit.phrases)]
        if not asker.generator.can_prefill:
            return await asker.write(asker.prompt(pursuit, must_hold=phrase), seed)
        return await asker.write(asker.prompt(pursuit), seed, prefix=asker.kind.begin(phrase))
