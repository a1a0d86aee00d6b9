"""A journal of what a generator answered, so that nothing is asked twice, and limits of what may be asked."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

if sys.platform != "win32":
    import fcntl

from fac_datasets.errors import LimitReached, OptionError, OutputError
from fac_datasets.generation.answers import whole_characters
from fac_datasets.generation.base import Completion, Outcome, Request, TextGenerator, estimated_tokens

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
    """What a run may ask for, besides what its journal holds already, unless `limit_together` counts that too.

    Tries that a server failed are not counted, for it does not say what they cost.

    Raises:
        OptionError: a limit or a price is negative, or the cost is limited without any price.
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
        for name, value in (("max_calls", self.max_calls), ("max_tokens", self.max_tokens)):
            if value is not None and value < 0:
                raise OptionError(f"{name}={value} is too small; the least is 0")
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

    Raises:
        OutputError: the file cannot be written, another process writes it, or a line other than a cut-off last one is
            damaged.
    """

    def __init__(
        self, path: str | Path | None = None, limits: Limits | None = None, *, read_only: bool = False
    ) -> None:
        self.completions: dict[str, Completion] = {}
        self.limits = limits or Limits()
        self.spent = Spent(dollars=self.limits.dollars(0, 0))
        """Since the journal was opened."""
        self._limited_with: Sequence[Journal] = ()
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
        new = list(self._new(keys).values())
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
                raise LimitReached(
                    f"stopped after {self._counted()} by {self.limits}; {len(left):,} requests are left: {rest}. Run "
                    f"again with higher limits to go on"
                )
        return [(key, self.completions[key]) for key in keys]

    def decoded_tokens(self) -> int:
        """Tokens that all answers together took."""
        return sum(completion.n_tokens for completion in self.completions.values())

    def prompt_tokens(self) -> int:
        """Tokens of the prompts of all answers together."""
        return sum(completion.prompt_tokens for completion in self.completions.values())

    def close(self) -> None:
        """Write what is left and close the file."""
        try:
            self._flush()
        finally:
            stream, self._stream = self._stream, None
            if stream is not None:
                # What could not be written was told of, and cannot be written here either.
                with suppress(OSError):
                    stream.close()

    def _new(self, keys: Sequence[str]) -> dict[str, int]:
        """Place of each different request that is not in the journal."""
        return {key: place for place, key in reversed(list(enumerate(keys))) if key not in self.completions}

    def _keep(self, key: str, completion: Completion) -> None:
        """Count an answer and write it down."""
        # Half a surrogate pair is a string to Python and to JSON, and to nothing that comes later.
        completion = _whole(completion)
        self.completions[key] = completion
        self.spent = self._more(self.spent, 1, completion.prompt_tokens, completion.n_tokens)
        # What a server failed to answer is not asked for again in this run, but in the next one.
        if completion.outcome is not Outcome.ERROR:
            self._append({"sample": key, **completion._asdict()})
            self._flush()

    def _more(self, spent: Spent, calls: int, prompt_tokens: int, decoded_tokens: int) -> Spent:
        """What is spent with these."""
        read, decoded = spent.prompt_tokens + prompt_tokens, spent.decoded_tokens + decoded_tokens
        return Spent(spent.calls + calls, read, decoded, self.limits.dollars(read, decoded))

    def _counted(self) -> Spent:
        """What counts against the limits."""
        if not self._limited_with:
            return self.spent
        calls = sum(len(each.completions) for each in self._limited_with)
        read = sum(each.prompt_tokens() for each in self._limited_with)
        decoded = sum(each.decoded_tokens() for each in self._limited_with)
        return Spent(calls, read, decoded, self.limits.dollars(read, decoded))

    def _allowed(self, prompt_tokens: Sequence[int], max_new_tokens: int) -> int:
        """How many requests of these prompts may be asked even if each takes all tokens that it can."""
        counted = self._counted()
        for asked in range(len(prompt_tokens)):
            spent = self._more(counted, asked + 1, sum(prompt_tokens[: asked + 1]), max_new_tokens * (asked + 1))
            if not self.limits.allow(spent):
                return asked
        return len(prompt_tokens)

    def _open(self, path: Path, read_only: bool) -> None:
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = path.open("ab")
                _hold_alone(self._stream)
            content = path.read_bytes() if path.exists() else b""
            # A kill can cut the last line off; any other damage is not ours to guess about.
            whole = content[: content.rfind(b"\n") + 1]
            self._read_all(path, whole)
            # Only where it must be, or what another process writes meanwhile would be lost.
            if self._stream is not None and len(whole) < len(content):
                self._stream.truncate(len(whole))
        except OSError as error:
            if self._stream is not None:
                self._stream.close()
            if isinstance(error, OutputError):
                raise
            verb = "read" if read_only else "written"
            raise OutputError(f"the journal {path} cannot be {verb}: {error}") from error

    def _read_all(self, path: Path, content: bytes) -> None:
        for number, line in enumerate(content.split(b"\n")[:-1]):
            try:
                self._read(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise OutputError(
                    f"line {number + 1} of {path} is damaged ({error}); take this line out of the file, and the same "
                    f"command goes on, which asks again only for what the line held"
                ) from error

    def _read(self, entry: dict[str, Any]) -> None:
        key = entry.pop("sample")
        completion = _whole(Completion(**entry))
        if not isinstance(completion.outcome, Outcome) or completion.n_tokens < 0 or completion.prompt_tokens < 0:
            raise ValueError(f"{entry} is no answer")
        self.completions[key] = completion

    def _append(self, entry: dict[str, Any]) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(json.dumps(entry).encode() + b"\n")
        except OSError as error:
            raise _unwritable(self._stream, error) from error

    def _flush(self) -> None:
        if self._stream is None:
            return
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            removed = not os.fstat(self._stream.fileno()).st_nlink
        except OSError as error:
            raise _unwritable(self._stream, error) from error
        if removed:
            raise OutputError(
                f"the journal {self._stream.name} was removed while it was written, so that answers would be lost; the "
                f"same command begins a new one"
            )


def limit_together(journals: Sequence[Journal]) -> None:
    """Hold journals to their limits together, what they hold already included.

    So one run spends no more than it may, however many journals it keeps and however often it is killed.
    """
    for journal in journals:
        journal._limited_with = journals


def _hold_alone(stream: IO[bytes]) -> None:
    """Lock a file for this process, until it is closed.

    Raises:
        OutputError: another one holds it.
    """
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"another process writes the journal {stream.name}; wait for it, or choose another place"
        ) from error
    except OSError:
        # Some network file systems know no locks.
        return


def _unwritable(stream: IO[bytes], error: OSError) -> OutputError:
    return OutputError(f"the journal {stream.name} cannot be written: {error}; make room, and the same command goes on")


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
