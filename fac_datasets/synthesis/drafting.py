"""Writing what is wished for: in one go, or guided, in chunks of which the SAE chooses.

Of several continuations the one goes on in which the feature is most active among the fluent ones: the half that the
unsteered backbone finds likelier. From the chunk in which the feature is active the answer is written to its end in one
go, since nothing is left to choose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.synthesis.drafts import Draft, Wish
from fac_datasets.synthesis.measuring import NOT_ACTIVE
from fac_datasets.synthesis.samples import no_text

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit

CHUNK_TOKENS = 12
"""Tokens of a continuation."""

CONTINUATIONS = 4
"""Continuations that one is chosen from."""


async def drafted(wish: Wish, pursuit: Pursuit, asker: Asker, seed: int) -> Draft:
    """One answer to a wish.

    Args:
        wish: what is asked for.
        pursuit: the target.
        asker: asks and measures, together with the drafts of other targets.
        seed: of the sampling; the same seed and the same tries give the same answer.
    """
    if wish.is_guided:
        return await _guided(wish, pursuit, asker, seed)
    (draft,) = await asker.write(asker.prompt(wish, pursuit), [seed], wish)
    return draft


async def _guided(wish: Wish, pursuit: Pursuit, asker: Asker, seed: int) -> Draft:
    """An answer in chunks, of which the target's feature chooses."""
    messages, seeds = asker.prompt(wish, pursuit), np.random.SeedSequence(seed)
    left, parts = asker.max_new_tokens, list[Draft]()
    while True:
        several = await asker.write(
            messages,
            [int(child.generate_state(1)[0]) for child in seeds.spawn(CONTINUATIONS)],
            wish,
            max_new_tokens=min(CHUNK_TOKENS, left),
        )
        parts += several
        left -= CHUNK_TOKENS
        several = [one for one in several if no_text(one.answer) is None] or several
        if no_text(several[0].answer):
            return _together(parts, several[0])
        texts = [one.answer.text for one in several]
        activations = [found.get(pursuit.feature, NOT_ACTIVE).activation for found in await asker.measure(texts)]
        likelihoods = await asker.negative_log_likelihoods(texts)
        fluent = np.argsort(likelihoods, kind="stable")[: (len(several) + 1) // 2]
        best = max(fluent.tolist(), key=activations.__getitem__)
        if several[best].answer.finished or left <= 0:
            return _together(parts, several[best])
        wish = wish._replace(prefix=texts[best])
        if activations[best] > pursuit.threshold:
            rest = await asker.write(messages, [seed], wish, max_new_tokens=left)
            return _together([*parts, *rest], rest[0])


def _together(parts: list[Draft], last: Draft) -> Draft:
    """The draft that ended the text, with the cost of all that led to it."""
    return last._replace(
        keys=tuple(key for part in parts for key in part.keys),
        decoded_tokens=sum(part.decoded_tokens for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
    )
