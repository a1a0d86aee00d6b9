"""The best try so far, changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.synthesis.methods.base import Draft, Method

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class Edited(Method):
    """Asks to change the strongest try so far, so that it is more like the rows that activate the feature."""

    name = "edited"
    turn = 30

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """See `Method.cannot`."""
        return "" if pursuit.strongest is not None else "nothing was tried yet that could be changed"

    async def draft(self, pursuit: Pursuit, asker: Asker, seed: int) -> Draft:
        """See `Method.draft`."""
        assert pursuit.strongest is not None
        return await asker.write(asker.prompt(pursuit, change=pursuit.strongest.sample), seed)
