"""A journal of what a generator answered, so that nothing is asked twice, and limits of what may be asked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from fac_datasets.errors import GenerationError, OutputError
from fac_datasets.generation.base import Completion, Request, TextGenerator, estimated_tokens

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


@dataclass(frozen=True)
class Limits:
    """What a run may ask for, besides what its journal holds already.

    Tries that a server failed are not counted, for it does not say what they cost.
    """

    max_calls: int | None = None
    """Requests that are answered or refused."""
    max_tokens: int | None = None
    """Of prompts and answers together."""


class Journal:
    """Completions by request, in memory and on disk.

    Args:
        path: a JSON-lines file that is read when present and appended to; None keeps the journal in memory.
        limits: of what may be asked for from now on.
        read_only: leave the file as it is; what is answered is kept in memory.

    Raises:
        OutputError: the file cannot be written, or a line other than a cut-off last one is damaged.
    """

    def __init__(
        self, path: str | Path | None = None, limits: Limits | None = None, *, read_only: bool = False
    ) -> None:
        self.completions: dict[str, Completion] = {}
        self.limits = limits or Limits()
        self._calls = self._tokens = 0
        self._stream: IO[bytes] | None = None
        if path is not None:
            self._open(Path(path), read_only)

    def plan(
        self, generator: TextGenerator, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Plan:
        """What these requests would cost."""
        new = self._new(_keys(requests, generator, max_new_tokens, temperature))
        return Plan(len(new), sum(_prompt_tokens(requests[i]) for i in new.values()), max_new_tokens * len(new))

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
            GenerationError: a limit is reached; what was answered until then is kept.
        """
        keys = _keys(requests, generator, max_new_tokens, temperature)
        new = list(self._new(keys).values())
        for start in range(0, len(new), generator.batch_size):
            batch = new[start : start + generator.batch_size]
            allowed = self._allowed([_prompt_tokens(requests[i]) + max_new_tokens for i in batch])
            asked = [requests[i] for i in batch[:allowed]]
            answers = generator.complete(asked, max_new_tokens=max_new_tokens, temperature=temperature)
            for place, completion in answers if asked else ():
                key = keys[batch[place]]
                self.completions[key] = completion
                self._calls += 1
                self._tokens += completion.n_tokens + completion.prompt_tokens
                self._append({"sample": key, **completion._asdict()})
                self._flush()
            if allowed < len(batch):
                raise GenerationError(
                    f"stopped after {self._calls:,} calls and {self._tokens:,} tokens by {self.limits}; "
                    f"{len(new) - start - allowed:,} requests are left. Run again with higher limits to go on"
                )
        return [(key, self.completions[key]) for key in keys]

    def decoded_tokens(self) -> int:
        """Tokens that all answers together took."""
        return sum(completion.n_tokens for completion in self.completions.values())

    def close(self) -> None:
        """Write what is left and close the file."""
        self._flush()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _new(self, keys: Sequence[str]) -> dict[str, int]:
        """Place of each different request that is not in the journal."""
        return {key: place for place, key in reversed(list(enumerate(keys))) if key not in self.completions}

    def _allowed(self, costs: Sequence[int]) -> int:
        """How many of these may be asked for even if each takes all tokens that it can."""
        allowed, tokens = 0, self._tokens
        for cost in costs:
            tokens += cost
            calls = self._calls + allowed + 1
            too_many = self.limits.max_calls is not None and calls > self.limits.max_calls
            if too_many or (self.limits.max_tokens is not None and tokens > self.limits.max_tokens):
                break
            allowed += 1
        return allowed

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
        self.completions[key] = Completion(**entry)

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


def _prompt_tokens(request: Request) -> int:
    texts = sum(estimated_tokens(content) for _, content in request.messages)
    return texts + _TEMPLATE_TOKENS * (1 + len(request.messages))


def _keys(requests: Sequence[Request], generator: TextGenerator, max_new_tokens: int, temperature: float) -> list[str]:
    return [_key(request, generator.key, max_new_tokens, temperature) for request in requests]


def _key(request: Request, generator: str, max_new_tokens: int, temperature: float) -> str:
    steering = request.steering
    direction = hashlib.sha256(steering.direction.tobytes()).hexdigest() if steering else None
    parts = [
        request.messages,
        request.seed,
        [steering.layer, steering.strength, direction] if steering else None,
        generator,
        max_new_tokens,
        temperature,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
