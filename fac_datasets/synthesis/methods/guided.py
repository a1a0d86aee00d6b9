"""Decoding in chunks of a few tokens, of which the SAE chooses among several continuations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.synthesis.measuring import NOT_ACTIVE
from fac_datasets.synthesis.methods.base import Draft, Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit

CHUNK_TOKENS = 12
"""Tokens of a continuation."""

CONTINUATIONS = 4
"""Continuations that one is chosen from."""


class Guided(Method):
    """Chooses, chunk by chunk, the continuation in which the feature is most active among the fluent ones.

    Fluent is the half of the continuations that the unsteered backbone finds likelier. From the chunk in which the
    feature is active the answer is written to its end in one go, since nothing is left to choose.
    """

    name = "guided"
    turn = 40

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """See `Method.cannot`."""
        if asker.likelihoods is None:
            return "nothing says how likely a text is"
        return "" if asker.generator.can_prefill else f"{asker.generator.name} cannot go on from a beginning"

    async def draft(self, pursuit: Pursuit, asker: Asker, seed: int) -> Draft:
        """See `Method.draft`."""
        messages = asker.prompt(pursuit)
        seeds = np.random.SeedSequence(seed)
        written, left = "", asker.max_new_tokens
        parts: list[Draft] = []
        while left > 0:
            several = await asker.write_several(
                messages,
                [int(child.generate_state(1)[0]) for child in seeds.spawn(CONTINUATIONS)],
                prefix=written,
                max_new_tokens=min(CHUNK_TOKENS, left),
            )
            parts += several
            texts = [one.answer.text for one in several]
            activations = [found.get(pursuit.feature, NOT_ACTIVE).activation for found in await asker.measure(texts)]
            likelihoods = await asker.negative_log_likelihoods(texts)
            fluent = np.argsort(likelihoods, kind="stable")[: (CONTINUATIONS + 1) // 2]
            best = max(fluent.tolist(), key=activations.__getitem__)
            written, left = texts[best], left - CHUNK_TOKENS
            if several[best].answer.finished:
                return together(parts, several[best])
            if activations[best] > pursuit.threshold and left > 0:
                rest = await asker.write(messages, seed, prefix=written, max_new_tokens=left)
                return together([*parts, rest], rest)
        return together(parts, several[best])


def together(parts: list[Draft], last: Draft) -> Draft:
    """The draft that ended the text, with the cost of all that led to it."""
    return last._replace(
        keys=tuple(key for part in parts for key in part.keys),
        decoded_tokens=sum(part.decoded_tokens for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
    )
