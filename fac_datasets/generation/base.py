"""What every text generator offers."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from fac_datasets.errors import OptionError

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
    """Role and content of each message of the prompt; none for the template alone, up to where a user's words begin;
    see `TextGenerator.can_open_turn`."""
    seed: int
    """Of the sampling; the same request gives the same text."""
    steering: Steering | None = None
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    """JSON schema of the answer, which the prompt describes too: a server that can holds the answer to it."""
    prefix: str = ""
    """Start of the answer, which the model continues; see `TextGenerator.can_prefill`."""

    @property
    def prompt_digest(self) -> str:
        """First 16 hex digits of the sha256 over the messages, and over the prefix where there is one."""
        asked = [self.messages, self.prefix] if self.prefix else self.messages
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


class Outcome(StrEnum):
    """What became of a request."""

    FINISHED = "finished"
    CUT = "cut off at the token limit"
    EMPTY = "empty"
    REASONING = "reasoning only"
    """The tokens, or the model's patience, were used up by reasoning, and no answer came."""
    DECLINED = "declined by the model"
    REFUSED = "refused by the server"
    """The server will not answer this request, however often it is asked."""
    FILTERED = "stopped by a content filter"
    ERROR = "an error in place of an answer"
    TEMPLATE = "template tokens in the text"
    DAMAGED = "damaged characters in the text"
    NOT_ASKED = "not asked, since a limit was reached"


def counts_in_words(outcomes: Counter[Any]) -> str:
    """How often each thing came, the frequent ones first.

    Example:
        >>> counts_in_words(Counter(["copy", "verified", "verified"]))
        '2 verified, 1 copy'
    """
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())


class Completion(NamedTuple):
    """One generated text, or what came in its place."""

    text: str
    """With the request's prefix."""
    n_tokens: int
    """Tokens decoded, with the end token."""
    finished: bool
    """Whether the model ended the text itself, instead of the token limit."""
    prompt_tokens: int = 0
    """Tokens of the prompt."""
    refusal: str = ""
    """What server or model say about why there is no answer; empty where there is one."""
    problem: str = ""
    """The outcome, where text and end do not tell it."""

    @property
    def outcome(self) -> Outcome:
        """What became of the request, as far as the generator knows; `answers.answer_of` looks into the text too."""
        if self.problem or self.refusal:
            return Outcome(self.problem or Outcome.REFUSED)
        if not self.text.strip():
            return Outcome.EMPTY
        return Outcome.FINISHED if self.finished else Outcome.CUT


BYTES_A_TOKEN = 3
"""Of a text whose tokens are estimated."""


def estimated_tokens(text: str) -> int:
    """Tokens of a text, rather over- than underestimated: a token for three bytes, which of Chinese is a character.

    Example:
        >>> estimated_tokens("a cup of tea"), estimated_tokens("一杯茶")
        (4, 3)
    """
    return len(text.encode(errors="replace")) // BYTES_A_TOKEN


def require_top_p(top_p: float | None) -> float | None:
    """A share of probability that tokens are sampled from.

    Raises:
        OptionError: it is none.
    """
    if top_p is not None and not 0 < top_p <= 1:
        raise OptionError(f"top_p={top_p} is no share of probability; give a number above 0, up to 1")
    return top_p


class TextGenerator(ABC):
    """Generates texts for prompts."""

    name: str
    """What generated the texts, for provenance; never a local path."""
    batch_size: int = 32
    """Requests that are best sent together."""
    can_steer: bool = False
    """Whether requests may carry a steering."""
    takes_schema: bool = False
    """Whether requests may carry a JSON schema that answers are held to, as far as a server takes one."""

    @property
    def can_prefill(self) -> bool:
        """Whether requests may carry a prefix."""
        return False

    @property
    def can_open_turn(self) -> bool:
        """Whether requests may be without messages, so that the model writes what a user says."""
        return False

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
