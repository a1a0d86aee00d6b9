"""The best try so far, changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.methods.base import Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class Edited(Method):
    """Asks to change the strongest try so far, so that it is more like the rows that activate the feature."""

    name = "edited"
    turn = 30
    asks = True

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """See `Method.cannot`."""
        if pursuit.strongest is not None:
            return ""
        return "it changes what another way wrote; name one before it, as in 'prompted,edited'"

    def shape(self, wish: Wish, pursuit: Pursuit, asker: Asker) -> Wish:
        """See `Method.shape`."""
        return wish if pursuit.strongest is None else wish._replace(change=pursuit.strongest.sample)
