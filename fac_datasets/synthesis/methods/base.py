"""What a way of generating is: it changes what is asked for a target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from fac_datasets.synthesis.drafts import Wish

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class Method(ABC):
    """One way of generating; another is another file in this folder. Several may work together."""

    name: ClassVar[str]
    """What the provenance calls it."""
    turn: ClassVar[int]
    """Cheap ways have a lower turn than dear ones."""
    asks: ClassVar[bool] = False
    """Whether it says by itself what is asked for; others change what `prompted` asks for."""

    def lacks(self, asker: Asker) -> str:
        """What it lacks for every target, and what would help; empty where it lacks nothing."""
        return ""

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """Why it cannot be used for this target now, though it lacks nothing; empty where it can."""
        return ""

    @abstractmethod
    def shape(self, wish: Wish, pursuit: Pursuit, asker: Asker) -> Wish:
        """What is asked for, changed in this way.

        Args:
            wish: what other ways made of it.
            pursuit: the target, and what was tried for it.
            asker: says what the generator can do.
        """
