"""A journal of generated samples and their verdicts, so that a killed run repeats nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fac_datasets.generation.journal import Journal, Limits

VERIFIED = "verified"
"""The outcome of a sample that activates its feature and passed the filters."""

NO_FEATURE = -1
"""Stands in a verdict for a sample that was made for no feature, or is accepted for none."""

_NOT_KNOWN = "not known"
"""The way of generating in journals of earlier versions."""


class Verdict(NamedTuple):
    """What became of a sample."""

    feature: int
    """The feature it was made for; `NO_FEATURE` where none was."""
    activation: float
    """Its measured activation of that feature; 0 where the feature is not active at all, or nothing was measured."""
    outcome: str
    """`"verified"`, or why it was rejected."""
    method: str = ""
    """The way of generating; empty in journals of earlier versions."""
    decoded_tokens: int = 0
    """Of all answers behind it, of continuations that were dropped too."""
    prompt_tokens: int = 0
    """The same of their prompts."""
    fired: bool | None = None
    """Whether that feature is active in it; None where it was not measured, or the way aims at no feature."""
    strength: float = 0.0
    """Of the steering; 0 where there was none."""
    counts_for: int = NO_FEATURE
    """The feature that it is accepted for, which may be another than it was made for; `NO_FEATURE` where it is not."""


class Tally(NamedTuple):
    """Drafts, and what they took."""

    drafts: int = 0
    accepted: int = 0
    decoded_tokens: int = 0
    prompt_tokens: int = 0

    def and_of(self, verdict: Verdict) -> Tally:
        """With one draft more."""
        return Tally(
            self.drafts + 1,
            self.accepted + (verdict.outcome == VERIFIED),
            self.decoded_tokens + verdict.decoded_tokens,
            self.prompt_tokens + verdict.prompt_tokens,
        )

    def __str__(self) -> str:
        """In words."""
        return (
            f"{self.accepted:,} of {self.drafts:,} accepted, {self.decoded_tokens:,} tokens decoded and "
            f"{self.prompt_tokens:,} of prompts"
        )


def tallied(verdicts: Iterable[Verdict], by: Callable[[Verdict], str]) -> dict[str, Tally]:
    """What became of drafts and what they took, by what is said of each; the most frequent come first."""
    found: dict[str, Tally] = {}
    for verdict in verdicts:
        found[by(verdict)] = found.get(by(verdict), Tally()).and_of(verdict)
    return dict(sorted(found.items(), key=lambda item: (-item[1].drafts, item[0])))


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

    def by_way(self) -> dict[str, Tally]:
        """What became of the drafts of each way of generating, and what they took; ways of most drafts come first."""
        return tallied(self.verdicts.values(), lambda verdict: verdict.method or _NOT_KNOWN)

    def by_outcome(self) -> dict[str, Tally]:
        """How many drafts had each outcome, and what they took; frequent outcomes come first."""
        return tallied(self.verdicts.values(), lambda verdict: verdict.outcome)

    def tries(self) -> dict[int, tuple[int, int]]:
        """On how many samples that were made for it each feature fired, and how many these were.

        Answers that held no sample to be measured, and ways that aim at no feature, tell nothing of one.
        """
        found: dict[int, tuple[int, int]] = {}
        for verdict in self.verdicts.values():
            if verdict.fired is not None:
                fired, tried = found.get(verdict.feature, (0, 0))
                found[verdict.feature] = (fired + verdict.fired, tried + 1)
        return found

    def _read(self, entry: dict[str, Any]) -> None:
        if "verdict" in entry:
            key = entry.pop("verdict")
            self.verdicts[key] = Verdict(**entry)
        else:
            super()._read(entry)
