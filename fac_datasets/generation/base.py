"""What every text generator offers."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Steering:
    """A direction added to the residual stream while decoding."""

    layer: int
    """Decoder blocks before the residual stream it is added to."""
    direction: NDArray[Any]
    """Unit vector, [d_model]."""
    strength: float
    """Length of what is added, as a share of the residual vector's own norm."""


@dataclass(frozen=True)
class Request:
    """One text to generate."""

    messages: tuple[tuple[str, str], ...]
    """Role and content of each message of the prompt."""
    seed: int
    """Of the sampling; the same request gives the same text."""
    steering: Steering | None = None

    @property
    def prompt_digest(self) -> str:
        """First 16 hex digits of the sha256 over the messages."""
        return hashlib.sha256(json.dumps(self.messages).encode()).hexdigest()[:16]


class Completion(NamedTuple):
    """One generated text."""

    text: str
    n_tokens: int
    """Tokens decoded, with the end token."""
    finished: bool
    """Whether the model ended the text itself, instead of the token limit."""
    prompt_tokens: int = 0
    """Tokens of the prompt."""
    refusal: str = ""
    """Why a server will not answer this request, however often it is asked; empty where it did."""


def estimated_tokens(text: str) -> int:
    """Tokens of a text, rather over- than underestimated: a token for three bytes, which of Chinese is a character.

    Example:
        >>> estimated_tokens("a cup of tea"), estimated_tokens("一杯茶")
        (4, 3)
    """
    return len(text.encode(errors="replace")) // 3


class TextGenerator(ABC):
    """Generates texts for prompts."""

    name: str
    """What generated the texts, for provenance; never a local path."""
    batch_size: int = 32
    """Requests that are best sent together."""
    can_steer: bool = False
    """Whether requests may carry a steering."""

    @property
    def key(self) -> str:
        """What tells its texts from those of others, for journals: the name, with all else that changes a text."""
        return self.name

    @abstractmethod
    def complete(
        self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Iterator[tuple[int, Completion]]:
        """Generate one text a request and give each with its request's place, as they come.

        Args:
            requests: prompts with seeds.
            max_new_tokens: tokens to decode at most.
            temperature: of the sampling; 0 takes the likeliest token.
        """

    def generate(self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float) -> list[Completion]:
        """Generate one text a request, in their order; see `complete`."""
        found = dict(self.complete(requests, max_new_tokens=max_new_tokens, temperature=temperature))
        return [found[place] for place in range(len(requests))]
