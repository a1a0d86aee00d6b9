"""A journal of what a generator answered, so that nothing is asked twice, and limits of what may be asked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from fac_datasets.errors import LimitReached, OptionError, OutputError
from fac_datasets.generation.answers import whole_characters
from fac_datasets.generation.base import Completion, Outcome, Request, TextGenerator, estimated_tokens

_NOT_ASKED = Completion("", 0, False, problem=Outcome.NOT_ASKED)

_TEMPLATE_TOKENS = 8
"""What a chat template adds to a message, and before the answer."""


class Plan(NamedTuple):
    """What requests would cost, without those that the journal holds."""

    calls: int
    """Requests that would be made."""
    prompt_tokens: int
    """Their prompts, estimated from characters."""
    max_new_tokens: int
    """Tokens that would be decoded at most."""
    dollars: float | None = None
    """What they would cost at most; None where no price is known."""

    def times(self, number: int) -> Plan:
        """The same so many times."""
        dollars = None if self.dollars is None else self.dollars * number
        return Plan(self.calls * number, self.prompt_tokens * number, self.max_new_tokens * number, dollars)

    def __str__(self) -> str:
        """In words, for a dry run."""
        cost = "" if self.dollars is None else f", which cost {_in_words(self.dollars)} at most"
        return (
            f"{self.calls:,} calls with about {self.prompt_tokens:,} tokens of prompts, and at most "
            f"{self.max_new_tokens:,} tokens of answers{cost}"
        )


class Spent(NamedTuple):
    """What was asked for."""

    calls: int = 0
    """Requests that were answered or refused."""
    prompt_tokens: int = 0
    """Tokens of their prompts."""
    decoded_tokens: int = 0
    """Tokens of their answers."""
    dollars: float | None = None
    """What they cost; None where no price is known."""

    def __str__(self) -> str:
        """In words."""
        cost = "" if self.dollars is None else f" for {_in_words(self.dollars)}"
        return f"{self.calls:,} calls and {self.prompt_tokens + self.decoded_tokens:,} tokens{cost}"


@dataclass(frozen=True)
class Limits:
    """What a run may ask for, besides what its journal holds already.

    Tries that a server failed are not counted, for it does not say what they cost.

    Raises:
        OptionError: a price is negative, or the cost is limited without any.
    """

    max_calls: int | None = None
    """Requests that are answered or refused."""
    max_tokens: int | None = None
    """Of prompts and answers together."""
    max_cost: float | None = None
    """Dollars."""
    price_in: float | None = None
    """Dollars a million tokens of prompts."""
    price_out: float | None = None
    """Dollars a million tokens of answers, reasoning included."""

    def __post_init__(self) -> None:
        """Refuse limits without meaning."""
        if min(self.price_in or 0.0, self.price_out or 0.0, self.max_cost or 0.0) < 0:
            raise OptionError(
                f"max_cost={self.max_cost}, price_in={self.price_in}, price_out={self.price_out}: dollars are not "
                f"negative"
            )
        if self.max_cost is not None and not self.priced:
            raise OptionError(
                f"max_cost={self.max_cost} needs prices: give price_in, price_out or both, in dollars a million tokens"
            )

    @property
    def priced(self) -> bool:
        """Whether a price is known."""
        return self.price_in is not None or self.price_out is not None

    def dollars(self, prompt_tokens: int, decoded_tokens: int) -> float | None:
        """What tokens cost; None where no price is known."""
        if not self.priced:
            return None
        return (prompt_tokens * (self.price_in or 0.0) + decoded_tokens * (self.price_out or 0.0)) / 1e6

    def allow(self, spent: Spent) -> bool:
        """Whether so much may be spent."""
        tokens = spent.prompt_tokens + spent.decoded_tokens
        return (
            (self.max_calls is None or spent.calls <= self.max_calls)
            and (self.max_tokens is None or tokens <= self.max_tokens)
            and (self.max_cost is None or (spent.dollars or 0.0) <= self.max_cost)
        )

    def __str__(self) -> str:
        """Those that are set, as options name them."""
        names = {"max_calls": self.max_calls, "max_tokens": self.max_tokens, "max_cost": self.max_cost}
        return ", ".join(f"{name}={value}" for name, value in names.items() if value is not None) or "no limits"


class Journal:
    """Completions by request, in memory and on disk.

    Args:
        path: a JSON-lines file that is read when present and appended to; None keeps the journal in memory.
        limits: of what may be asked for from now on.
        read_only: leave the file as it is; what is answered is kept in memory.
        takes_part: where a limit is reached, give what there is, with `Outcome.NOT_ASKED` for the rest, in place of an
            error; `limit_reached` then tells of it.

    Raises:
        OutputError: the file cannot be written, or a line other than a cut-off last one is damaged.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        limits: Limits | None = None,
        *,
        read_only: bool = False,
        takes_part: bool = False,
    ) -> None:
        self.completions: dict[str, Completion] = {}
        self.limits = limits or Limits()
        self.limit_reached: LimitReached | None = None
        """Says what was spent when nothing more was asked; None until then."""
        self._takes_part = takes_part
        self.spent = Spent(dollars=self.limits.dollars(0, 0))
        """Since the journal was opened."""
        self._stream: IO[bytes] | None = None
        if path is not None:
            self._open(Path(path), read_only)

    def plan(
        self, generator: TextGenerator, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Plan:
        """What these requests would cost."""
        new = self._new(_keys(requests, generator, max_new_tokens, temperature))
        read, decoded = sum(_prompt_tokens(requests[i]) for i in new.values()), max_new_tokens * len(new)
        return Plan(len(new), read, decoded, self.limits.dollars(read, decoded))

    def find(
        self, generator: TextGenerator, request: Request, *, max_new_tokens: int, temperature: float
    ) -> Completion | None:
        """What was answered to a request; None where it was not asked."""
        return self.completions.get(_key(request, generator.key, max_new_tokens, temperature))

    def generate(
        self, generator: TextGenerator, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> list[tuple[str, Completion]]:
        """Key and completion of each request; only requests that are not in the journal reach the generator.

        Raises:
            LimitReached: a limit is reached; what was answered until then is kept.
        """
        keys = _keys(requests, generator, max_new_tokens, temperature)
        # Once a limit is reached nothing more is asked, for later questions may hang on answers that are not there.
        new = [] if self.limit_reached and self._takes_part else list(self._new(keys).values())
        for start in range(0, len(new), generator.batch_size):
            batch = new[start : start + generator.batch_size]
            allowed = self._allowed([_prompt_tokens(requests[i]) for i in batch], max_new_tokens)
            asked = [requests[i] for i in batch[:allowed]]
            answers = generator.complete(asked, max_new_tokens=max_new_tokens, temperature=temperature)
            for place, completion in answers if asked else ():
                self._keep(keys[batch[place]], completion)
            if allowed < len(batch):
                left = [requests[i] for i in new[start + allowed :]]
                rest = self.plan(generator, left, max_new_tokens=max_new_tokens, temperature=temperature)
                self.limit_reached = LimitReached(
                    f"stopped after {self.spent} by {self.limits}; {len(left):,} requests are left: {rest}. Run again "
                    f"with higher limits to go on"
                )
                if not self._takes_part:
                    raise self.limit_reached
                break
        return [(key, self.completions.get(key, _NOT_ASKED)) for key in keys]

    def decoded_tokens(self) -> int:
        """Tokens that all answers together took."""
        return sum(completion.n_tokens for completion in self.completions.values())

    def prompt_tokens(self) -> int:
        """Tokens of the prompts of all answers together."""
        return sum(completion.prompt_tokens for completion in self.completions.values())

    def close(self) -> None:
        """Write what is left and close the file."""
        self._flush()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _new(self, keys: Sequence[str]) -> dict[str, int]:
        """Place of each different request that is not in the journal."""
        return {key: place for place, key in reversed(list(enumerate(keys))) if key not in self.completions}

    def _keep(self, key: str, completion: Completion) -> None:
        """Count an answer and write it down."""
        # Half a surrogate pair is a string to Python and to JSON, and to nothing that comes later.
        completion = _whole(completion)
        self.completions[key] = completion
        self.spent = self._more(1, completion.prompt_tokens, completion.n_tokens)
        # What a server failed to answer is not asked for again in this run, but in the next one.
        if completion.outcome is not Outcome.ERROR:
            self._append({"sample": key, **completion._asdict()})
            self._flush()

    def _more(self, calls: int, prompt_tokens: int, decoded_tokens: int) -> Spent:
        """What is spent with these."""
        read, decoded = self.spent.prompt_tokens + prompt_tokens, self.spent.decoded_tokens + decoded_tokens
        return Spent(self.spent.calls + calls, read, decoded, self.limits.dollars(read, decoded))

    def _allowed(self, prompt_tokens: Sequence[int], max_new_tokens: int) -> int:
        """How many requests of these prompts may be asked even if each takes all tokens that it can."""
        for asked in range(len(prompt_tokens)):
            spent = self._more(asked + 1, sum(prompt_tokens[: asked + 1]), max_new_tokens * (asked + 1))
            if not self.limits.allow(spent):
                return asked
        return len(prompt_tokens)

    def _open(self, path: Path, read_only: bool) -> None:
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise OutputError(f"the journal {path} cannot be read: {error}") from error
        # A kill can cut the last line off; any other damage is not ours to guess about.
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.split(b"\n")[:-1]):
            try:
                self._read(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise OutputError(
                    f"line {number + 1} of {path} is damaged ({error}); remove the file to start anew"
                ) from error
        if read_only:
            return
        try:
            self._stream = path.open("ab")
            # Only where it must be, or what another process writes meanwhile would be lost.
            if len(whole) < len(content):
                self._stream.truncate(len(whole))
        except OSError as error:
            raise OutputError(f"the journal {path} cannot be written: {error}") from error

    def _read(self, entry: dict[str, Any]) -> None:
        key = entry.pop("sample")
        self.completions[key] = _whole(Completion(**entry))

    def _append(self, entry: dict[str, Any]) -> None:
        if self._stream is not None:
            self._stream.write(json.dumps(entry).encode() + b"\n")

    def _flush(self) -> None:
        if self._stream is None:
            return
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise OutputError(
                f"the journal {self._stream.name} cannot be written: {error}; make room, and the same command goes on"
            ) from error


def _in_words(dollars: float) -> str:
    return f"{dollars:,.2f} dollars" if dollars >= 1 else f"{dollars:.4f} dollars"


def _whole(completion: Completion) -> Completion:
    return completion._replace(text=whole_characters(completion.text), refusal=whole_characters(completion.refusal))


def _prompt_tokens(request: Request) -> int:
    texts = sum(estimated_tokens(content) for _, content in request.messages) + estimated_tokens(request.prefix)
    return texts + _TEMPLATE_TOKENS * (1 + len(request.messages))


def _keys(requests: Sequence[Request], generator: TextGenerator, max_new_tokens: int, temperature: float) -> list[str]:
    return [_key(request, generator.key, max_new_tokens, temperature) for request in requests]


def _key(request: Request, generator: str, max_new_tokens: int, temperature: float) -> str:
    steering = request.steering
    direction = hashlib.sha256(steering.direction.tobytes()).hexdigest() if steering else None
    # A schema says nothing that the prompt does not, and what was answered without one need not be asked for again.
    parts = [
        request.messages,
        request.seed,
        [steering.layer, steering.strength, direction] if steering else None,
        generator,
        max_new_tokens,
        temperature,
        *([request.prefix] if request.prefix else []),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
