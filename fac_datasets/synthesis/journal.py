"""A journal of generated samples and their verdicts, so that a killed run repeats nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from fac_datasets.errors import OutputError
from fac_datasets.generation.base import Completion, Request, TextGenerator

VERIFIED = "verified"
"""The outcome of a sample that activates its feature and passed the filters."""

NO_TEXT = "no whole sentence"
"""The outcome of an answer that holds no text, or was cut off before its first sentence ended."""


class Verdict(NamedTuple):
    """What became of a sample."""

    feature: int
    """The feature it was made for; -1 where none was."""
    activation: float
    """Its measured activation of that feature; 0 where the feature is not active at all."""
    outcome: str
    """`"verified"`, or why it was rejected."""


class Journal:
    """Completions by request and verdicts by sample, in memory and on disk.

    Args:
        path: a JSON-lines file that is read when present and appended to; None keeps the journal in memory.

    Raises:
        OutputError: the file cannot be written, or a line other than a cut-off last one is damaged.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.completions: dict[str, Completion] = {}
        self.verdicts: dict[str, Verdict] = {}
        self._stream: IO[bytes] | None = None
        if path is not None:
            self._open(Path(path))

    def generate(
        self, generator: TextGenerator, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> list[tuple[str, Completion]]:
        """Key and completion of each request; only requests that are not in the journal reach the generator."""
        keys = [_key(request, generator.name, max_new_tokens, temperature) for request in requests]
        new = [i for i, key in enumerate(keys) if key not in self.completions]
        for start in range(0, len(new), generator.batch_size):
            batch = new[start : start + generator.batch_size]
            completions = generator.generate(
                [requests[i] for i in batch], max_new_tokens=max_new_tokens, temperature=temperature
            )
            for i, completion in zip(batch, completions, strict=True):
                self.completions[keys[i]] = completion
                self._append({"sample": keys[i], **completion._asdict()})
            self._flush()
        return [(key, self.completions[key]) for key in keys]

    def judge(self, key: str, verdict: Verdict) -> None:
        """Record what became of a sample."""
        if self.verdicts.get(key) != verdict:
            self.verdicts[key] = verdict
            self._append({"verdict": key, **verdict._asdict()})

    def outcomes(self) -> Counter[str]:
        """How many samples had each outcome."""
        return Counter(verdict.outcome for verdict in self.verdicts.values())

    def decoded_tokens(self) -> int:
        """Tokens that all samples together took."""
        return sum(completion.n_tokens for completion in self.completions.values())

    def close(self) -> None:
        """Write what is left and close the file."""
        self._flush()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self, path: Path) -> None:
        try:
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
        try:
            self._stream = path.open("ab")
            self._stream.truncate(len(whole))
        except OSError as error:
            raise OutputError(f"the journal {path} cannot be written: {error}") from error

    def _read(self, entry: dict[str, Any]) -> None:
        if "sample" in entry:
            self.completions[entry["sample"]] = Completion(entry["text"], entry["n_tokens"], entry["finished"])
        else:
            self.verdicts[entry["verdict"]] = Verdict(entry["feature"], entry["activation"], entry["outcome"])

    def _append(self, entry: dict[str, Any]) -> None:
        if self._stream is not None:
            self._stream.write(json.dumps(entry).encode() + b"\n")

    def _flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())


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
