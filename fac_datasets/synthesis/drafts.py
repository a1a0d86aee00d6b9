"""What is asked of a generator for a target, and what it wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from fac_datasets.generation.base import Completion, Steering
from fac_datasets.synthesis.samples import Sample


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

    @property
    def key(self) -> str:
        """What it is kept under: the one request behind it, or all of them."""
        return self.keys[0] if len(self.keys) == 1 else hashlib.sha256("".join(self.keys).encode()).hexdigest()[:32]


def together(parts: Sequence[Draft], last: Draft) -> Draft:
    """The draft that ended a text, with the cost of all that led to it."""
    return last._replace(
        keys=tuple(key for part in parts for key in part.keys),
        decoded_tokens=sum(part.decoded_tokens for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
    )
