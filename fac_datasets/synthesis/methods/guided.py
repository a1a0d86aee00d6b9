"""Decoding in chunks of a few tokens, of which the SAE chooses among several continuations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.methods.base import Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class Guided(Method):
    """Chooses, chunk by chunk, the continuation in which the feature is most active among the fluent ones.

    See `fac_datasets.synthesis.drafting`.
    """

    name = "guided"
    turn = 40

    def lacks(self, asker: Asker) -> str:
        """See `Method.lacks`."""
        if asker.likelihoods is None:
            return "nothing says how likely a text is; give fluency= (--fluency), which fac-datasets run measures"
        if asker.generator.can_prefill:
            return ""
        return f"{asker.generator.name} cannot go on from the beginning of an answer; a local model can"

    def shape(self, wish: Wish, pursuit: Pursuit, asker: Asker) -> Wish:
        """See `Method.shape`."""
        return wish._replace(is_guided=True)
