"""Prompts that tell what is missing: examples, the feature's name and phrase, and the best and worst try so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.synthesis.methods.base import Draft, Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class Prompted(Method):
    """Asks for a sample like the rows that activate the feature.

    Once two tries differ in their measured activation, the strongest and the weakest are shown as the good and the bad
    example (arXiv 2602.10388, section 4).
    """

    name = "prompted"
    turn = 10

    async def draft(self, pursuit: Pursuit, asker: Asker, seed: int) -> Draft:
        """See `Method.draft`."""
        return await asker.write(asker.prompt(pursuit), seed)
