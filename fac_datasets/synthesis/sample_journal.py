"""A journal of generated samples and their verdicts, so that a killed run repeats nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from fac_datasets.generation.journal import Journal, Limits

VERIFIED = "verified"
"""The outcome of a sample that activates its feature and passed the filters."""


class Verdict(NamedTuple):
    """What became of a sample."""

    feature: int
    """The feature it was made for; -1 where none was."""
    activation: float
    """Its measured activation of that feature; 0 where the feature is not active at all."""
    outcome: str
    """`"verified"`, or why it was rejected."""


class SampleJournal(Journal):
    """A journal that also holds what became of each sample; see `Journal`."""

    def __init__(
        self, path: str | Path | None = None, limits: Limits | None = None, *, read_only: bool = False
    ) -> None:
        self.verdicts: dict[str, Verdict] = {}
        super().__init__(path, limits, read_only=read_only)

    def judge(self, key: str, verdict: Verdict) -> None:
        """Record what became of a sample."""
        if self.verdicts.get(key) != verdict:
            self.verdicts[key] = verdict
            self._append({"verdict": key, **verdict._asdict()})

    def outcomes(self) -> Counter[str]:
        """How many samples had each outcome."""
        return Counter(verdict.outcome for verdict in self.verdicts.values())

    def _read(self, entry: dict[str, Any]) -> None:
        if "verdict" in entry:
            key = entry.pop("verdict")
            self.verdicts[key] = Verdict(**entry)
        else:
            super()._read(entry)
