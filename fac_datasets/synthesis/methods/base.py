"""What a way of generating is: it changes what is asked for a target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from fac_datasets.generation.base import Completion, Steering
from fac_datasets.synthesis.samples import Sample

if TYPE_CHECKING:
    from fac_datasets.synthesis.asking import Asker
    from fac_datasets.synthesis.pursuit import Pursuit


class Wish(NamedTuple):
    """What is asked of a generator for a target; by default another sample like the examples."""

    change: Sample | None = None
    """A sample to be changed, in place of a new one."""
    must_hold: str = ""
    """Words that have to occur."""
    prefix: str = ""
    """Beginning of the answer."""
    steering: Steering | None = None
    """What is added while decoding."""
    is_guided: bool = False
    """Whether the answer is decoded in chunks, of which the SAE chooses."""
    is_open: bool = False
    """Whether the template alone is given, so that the model writes what a user says."""


class Draft(NamedTuple):
    """An answer that was written for a wish, not judged yet."""

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
    wish: Wish = Wish()


class Method(ABC):
    """One way of generating; another is another file in this folder. Several may work together."""

    name: ClassVar[str]
    """What the provenance calls it."""
    turn: ClassVar[int]
    """Cheap ways have a lower turn than dear ones."""
    asks: ClassVar[bool] = False
    """Whether it says by itself what is asked for; others change what `prompted` asks for."""

    def cannot(self, pursuit: Pursuit, asker: Asker) -> str:
        """Why it cannot be used for this target now; empty where it can."""
        return ""

    @abstractmethod
    def shape(self, wish: Wish, pursuit: Pursuit, asker: Asker) -> Wish:
        """What is asked for, changed in this way.

        Args:
            wish: what other ways made of it.
            pursuit: the target, and what was tried for it.
            asker: says what the generator can do.
        """
