"""What a way of generating is: from a target and what was tried for it to one more answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from fac_datasets.generation.base import Completion, Steering
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class Draft(NamedTuple):
    """An answer that a way of generating wrote, not judged yet."""

    answer: Completion
    """Its text, and whether the generator ended it itself."""
    keys: tuple[str, ...]
    """Of all requests behind it in the journal, of continuations that were dropped too."""
    prompt_digest: str
    """Of the prompt that it answers."""
    decoded_tokens: int
    """Of all these requests."""
    prompt_tokens: int
    """The same of their prompts."""
    steering: Steering | None = None
    """What was added while decoding."""
    is_opening: bool = False
    """Whether it is the first part alone, to which the others are still to be asked for."""


class Method(ABC):
    """One way of generating; another is another file in this folder."""

    name: ClassVar[str]
    """What the provenance calls it; names are joined by `+` where several work together."""
    turn: ClassVar[int]
    """Cheap ways have a lower turn than dear ones."""

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """Why it cannot be used for this target now; empty where it can."""
        return ""

    @abstractmethod
    async def draft(self, pursuit: Pursuit, asker: Asker, seed: int) -> Draft:
        """Write one answer.

        Args:
            pursuit: the target, and what was tried for it.
            asker: asks the generator and measures texts, together with the drafts of other targets.
            seed: of the sampling; the same seed and the same tries give the same answer.
        """
