"""The pre-query template alone: the model writes what a user would say (Magpie, arXiv 2406.08464)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.synthesis.drafts import Wish
from fac_datasets.synthesis.methods.base import Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class Magpie(Method):
    """Gives the model its chat template up to where a user's words begin, and takes what it writes there.

    It aims at nothing: what it writes is measured for all features that are missing.
    """

    name = "magpie"
    turn = 60
    asks = True

    def lacks(self, asker: Asker) -> str:
        """See `Method.lacks`."""
        if not asker.generator.can_open_turn:
            return f"{asker.generator.name} does not take a chat template alone; a local model that has one does"
        if asker.kind.can_be_opened:
            return ""
        return f"samples of the kind {asker.kind.name!r} are more than a user's words; prompted writes them"

    def shape(self, wish: Wish, pursuit: Pursuit, asker: Asker) -> Wish:
        """See `Method.shape`."""
        return wish._replace(is_open=True)
