"""Writing what is wished for: in one go, or guided, in chunks of which the SAE chooses, and part by part where need be.

An answer that lacks parts is gone on with from what is whole of it, behind the header of the next part, where the
generator can: small models lose the thread of a form of several parts, but write each of them.

Of several continuations the one goes on in which the feature is most active among the fluent ones: the half that the
unsteered backbone finds likelier. From the chunk in which the feature is active the answer is written to its end in one
go, since nothing is left to choose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.synthesis.drafts import Draft, Wish, together
from fac_datasets.synthesis.measuring import NOT_ACTIVE
from fac_datasets.synthesis.samples import no_text

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit
    from fac_datasets.synthesis.samples import Sample

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
    messages = asker.prompt(wish, pursuit)
    if wish.is_guided:
        draft = await _guided(wish, messages, pursuit, asker, seed)
        return await _completed(draft, messages, pursuit.like, asker, seed)
    return await answered(wish, messages, pursuit.like, asker, seed)


async def answered(wish: Wish, messages: tuple[tuple[str, str], ...], like: Sample, asker: Asker, seed: int) -> Draft:
    """One answer to messages, with all parts of the row that it is asked to be like, where the generator writes them.

    Args:
        wish: what is asked for.
        messages: that ask for it.
        like: the row.
        asker: asks.
        seed: of the sampling.
    """
    (draft,) = await asker.write(messages, [seed], wish, like)
    return await _completed(draft, messages, like, asker, seed)


async def _completed(
    draft: Draft, messages: tuple[tuple[str, str], ...], like: Sample, asker: Asker, seed: int
) -> Draft:
    """A draft, gone on with as long as it lacks a part and gets further."""
    begun, last = "", draft
    while not draft.wish.is_open and asker.generator.can_prefill:
        more = asker.kind.lacking(last.answer.text, last.answer.finished, like)
        if last.answer.problem or len(more) <= len(begun):
            break
        begun = more
        (last,) = await asker.write(messages, [seed], draft.wish._replace(prefix=begun), like)
        draft = together([draft, last], draft._replace(answer=last.answer))
    return draft


async def _guided(
    wish: Wish, messages: tuple[tuple[str, str], ...], pursuit: Pursuit, asker: Asker, seed: int
) -> Draft:
    """An answer in chunks, of which the target's feature chooses."""
    seeds = np.random.SeedSequence(seed)
    left, parts = asker.max_new_tokens, list[Draft]()
    while True:
        several = await asker.write(
            messages,
            [int(child.generate_state(1)[0]) for child in seeds.spawn(CONTINUATIONS)],
            wish,
            pursuit.like,
            max_new_tokens=min(CHUNK_TOKENS, left),
        )
        parts += several
        left -= CHUNK_TOKENS
        several = [one for one in several if no_text(one.answer) is None] or several
        if no_text(several[0].answer):
            return together(parts, several[0])
        texts = [one.answer.text for one in several]
        activations = [found.get(pursuit.feature, NOT_ACTIVE).activation for found in await asker.measure(texts)]
        likelihoods = await asker.negative_log_likelihoods(texts)
        fluent = np.argsort(likelihoods, kind="stable")[: (len(several) + 1) // 2]
        best = max(fluent.tolist(), key=activations.__getitem__)
        if several[best].answer.finished or left <= 0:
            return together(parts, several[best])
        wish = wish._replace(prefix=texts[best])
        if activations[best] > pursuit.threshold:
            rest = await asker.write(messages, [seed], wish, pursuit.like, max_new_tokens=left)
            return together([*parts, *rest], rest[0])
