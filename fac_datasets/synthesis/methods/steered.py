"""Decoding with the feature's direction added to the residual stream, as strongly as measurement says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.generation.base import Steering
from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.methods.base import Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit, Try
    from fac_datasets.synthesis.sample_journal import Verdict

STRENGTHS = (0.3, 0.5, 0.7)
"""Of the residual vector's norm, from mild to strong. The first that fires is kept for the feature; stronger ones write
worse."""

NO_EFFECT = "steering has no effect on what is written"
"""Of a feature whose activation no strength raised; some features read the stream and do not write."""


class Steered(Method):
    """Adds the feature's decoder direction behind the SAE's layer while decoding; each feature its own strength.

    Strengths are tried from the mildest. What is written is measured without steering, like all else.
    """

    name = "steered"
    turn = 50

    def lacks(self, asker: Asker) -> str:
        """See `Method.lacks`."""
        if asker.can_steer:
            return ""
        space = asker.extractor.feature_space
        if space.layer == 0:
            return "the SAE reads the embeddings, behind no decoder block; one of a later layer can be steered with"
        return (
            f"{asker.generator.name} does not run the SAE's own backbone {space.backbone}; leave out --model and "
            f"--endpoint, or generator=LocalGenerator() of that backbone"
        )

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """See `Method.cannot`."""
        return NO_EFFECT if has_no_effect(pursuit.tries) else ""

    def shape(self, wish: Wish, pursuit: Pursuit, asker: Asker) -> Wish:
        """See `Method.shape`."""
        direction = asker.extractor.sae.decoder[pursuit.feature].detach().cpu().numpy().astype(np.float32)
        layer = asker.extractor.feature_space.layer
        return wish._replace(steering=Steering(layer, direction / np.linalg.norm(direction), next_strength(pursuit)))


def next_strength(pursuit: Pursuit) -> float:
    """The strength of the next try: the one that fired before, or the next one up, and then the strongest again."""
    steered = [one for one in pursuit.tries if one.strength]
    fired = [one.strength for one in steered if one.activation > pursuit.threshold]
    if fired:
        return min(fired)
    return STRENGTHS[min(len(steered), len(STRENGTHS) - 1)]


def has_no_effect(tries: Iterable[Try | Verdict]) -> bool:
    """Whether every strength was tried for a feature and none raised its activation above what unsteered tries have."""
    steered, unsteered = list[float](), list[float]()
    for one in tries:
        (steered if one.strength else unsteered).append(one.activation)
    return len(steered) >= len(STRENGTHS) and max(steered) <= max(unsteered, default=0.0)


def effects(verdicts: Iterable[Verdict]) -> dict[int, bool]:
    """Of each feature that was steered, whether steering may have an effect: it had one, or not all was tried yet."""
    tries: dict[int, list[Verdict]] = {}
    for one in verdicts:
        if one.fired is not None:
            tries.setdefault(one.feature, []).append(one)
    return {
        feature: not has_no_effect(several)
        for feature, several in tries.items()
        if any(one.strength for one in several)
    }
