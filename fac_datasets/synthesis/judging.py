"""What becomes of drafts: filtered, measured by the unsteered backbone, verified, and accepted or rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fac_datasets.synthesis.drafts import Draft
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.measuring import NOT_ACTIVE, Measured, measure
from fac_datasets.synthesis.pursuit import Pursuit, Try
from fac_datasets.synthesis.sample_journal import VERIFIED
from fac_datasets.synthesis.samples import Rejected, Sample

if TYPE_CHECKING:
    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.synthesis.kinds.base import DataKind
    from fac_datasets.synthesis.verifier import Verifier

MARGIN = 1e-4
"""A sample has to exceed its threshold by what float32 may lose when it is extracted in another batch."""

NOT_NEEDED = "not needed"
"""The outcome of a sample whose feature was reached by another one of the same batch."""

NOT_ACTIVE_OUTCOME = "feature not active"


class Drafted(NamedTuple):
    """A draft with all that is known of where it comes from."""

    pursuit: Pursuit
    method: str
    attempt: int
    draft: Draft
    sample: Sample | Rejected


class Judged(NamedTuple):
    """What became of a draft."""

    drafted: Drafted
    outcome: str
    """`"verified"`, or why it was rejected."""
    pursuit: Pursuit
    """The target that it counts for: its own, or another one that it reaches."""
    found: Measured
    """That target's feature in it."""
    part: str
    """The part in which it peaks."""
    own: Measured | None = None
    """The feature that it was made for in it; None where it was not measured."""

    @property
    def is_accepted(self) -> bool:
        """Whether the sample is kept."""
        return self.outcome == VERIFIED


class Judge:
    """Accepts samples that are in order and activate a feature that is still missing.

    Args:
        kind: of the samples.
        extractor: measures them.
        filters: say what a sample must not be.
        verifier: asks whether label, response or order hold; None where nobody checks.
        examples: rows of the seed that show the verifier what these mean.
    """

    def __init__(
        self,
        kind: DataKind,
        extractor: FeatureExtractor,
        filters: Filters,
        verifier: Verifier | None = None,
        examples: Sequence[Sample] = (),
    ) -> None:
        self._kind, self._extractor, self._filters = kind, extractor, filters
        self._verifier, self._examples = verifier, examples

    def judge(self, batch: Sequence[Drafted], pursuits: Sequence[Pursuit], samples_per_feature: int) -> list[Judged]:
        """What becomes of each draft, in their order; the tries of the targets are added to.

        Args:
            batch: drafts.
            pursuits: all targets, so that a sample which misses its own counts for another that it reaches.
            samples_per_feature: accepted samples a target.
        """
        samples = [one.sample for one in batch if isinstance(one.sample, Sample)]
        self._filters.prepare([sample.whole for sample in samples])
        reasons = [self._rejects(one) for one in batch]
        passed = [place for place, reason in enumerate(reasons) if reason is None]
        found = dict(zip(passed, self._measured([batch[place] for place in passed]), strict=True))
        unproven = [place for place in passed if self._reached(found[place], pursuits, samples_per_feature)]
        reasons_of_verifier = dict(zip(unproven, self._verified([batch[place] for place in unproven]), strict=True))
        judged = []
        for place, one in enumerate(batch):
            reason = reasons[place] or reasons_of_verifier.get(place)
            features = found.get(place, {})
            own = features.get(one.pursuit.feature, NOT_ACTIVE)
            measured = own if place in found else None
            if place in found and isinstance(one.sample, Sample):
                strength = one.draft.wish.steering.strength if one.draft.wish.steering else 0.0
                part = self._part(one.sample, own)
                one.pursuit.tries.append(Try(one.sample, own.activation, part, own.start, own.end, strength))
            # An earlier draft of the batch may have reached a target, or be the text that this one copies.
            target = None if reason else self._target(one, features, pursuits, samples_per_feature)
            if target is not None and isinstance(one.sample, Sample):
                reason = self._filters.reject(one.sample.whole, one.pursuit.target.name, self._prompt(one.sample))
            if reason is not None or target is None:
                is_active = own.activation > one.pursuit.threshold + MARGIN
                outcome = reason or (NOT_NEEDED if is_active else NOT_ACTIVE_OUTCOME)
                judged.append(Judged(one, outcome, one.pursuit, own, "", measured))
                continue
            assert isinstance(one.sample, Sample)
            self._filters.add(one.sample.whole)
            target.accepted += 1
            reached = features[target.feature]
            judged.append(Judged(one, VERIFIED, target, reached, self._part(one.sample, reached), measured))
        return judged

    def _rejects(self, one: Drafted) -> str | None:
        if isinstance(one.sample, Rejected):
            return one.sample.reason
        return self._filters.reject(one.sample.whole, one.pursuit.target.name, self._prompt(one.sample))

    def _prompt(self, sample: Sample) -> str | None:
        """What is no answer of a sample that has one."""
        (first, *others) = sample.texts.values()
        return first if others else None

    def _measured(self, batch: Sequence[Drafted]) -> list[Mapping[int, Measured]]:
        rows = [self._kind.measured(one.sample) for one in batch if isinstance(one.sample, Sample)]
        return measure(self._extractor, rows)

    def _verified(self, batch: Sequence[Drafted]) -> list[str | None]:
        if self._verifier is None or not batch:
            return [None] * len(batch)
        samples = [one.sample for one in batch if isinstance(one.sample, Sample)]
        return self._verifier.rejects(self._kind, samples, self._examples)

    @staticmethod
    def _reached(found: Mapping[int, Measured], pursuits: Sequence[Pursuit], samples_per_feature: int) -> list[Pursuit]:
        """Targets that are still missing and that a sample reaches."""
        return [
            one
            for one in pursuits
            if one.accepted < samples_per_feature
            and found.get(one.feature, NOT_ACTIVE).activation > one.threshold + MARGIN
        ]

    def _target(
        self,
        one: Drafted,
        found: Mapping[int, Measured],
        pursuits: Sequence[Pursuit],
        samples_per_feature: int,
    ) -> Pursuit | None:
        """Its own target first, else the one that it activates most in proportion to the threshold."""
        return max(
            self._reached(found, pursuits, samples_per_feature),
            key=lambda each: (
                each is one.pursuit,
                found[each.feature].activation / max(each.threshold, 1e-9),
            ),
            default=None,
        )

    def _part(self, sample: Sample, found: Measured) -> str:
        return self._kind.part_at(sample, found.message) if found.activation > 0 else ""
