"""Prompts that tell what is missing: examples, the feature's name, and the best and the worst try so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.methods.base import Method

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
    asks = True

    def shape(self, wish: Wish, pursuit: Pursuit, asker: Asker) -> Wish:
        """See `Method.shape`."""
        return wish
