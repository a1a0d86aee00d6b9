"""A draft is accepted where it is in order and activates a missing feature, its own first."""

from __future__ import annotations

from collections.abc import Sequence

from fac_datasets.generation.base import Completion
from fac_datasets.synthesis.drafts import Draft
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.judging import NOT_ACTIVE_OUTCOME, NOT_NEEDED, Drafted, Judge, Judged
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.measuring import measure
from fac_datasets.synthesis.pursuit import Pursuit
from fac_datasets.synthesis.sample_journal import VERIFIED
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.targets import Target
from fac_datasets.synthesis.verifier import Verifier
from tests.interpretation.scripted import always
from tests.synthesis.cases import Case
from tests.synthesis.kinds.seeds import LABELLED

FIRST, SECOND = "The cat sat on the warm stone wall.", "Water boils at one hundred degrees there."
SILENT = 10**6
"""A feature that no SAE has."""


def active_in(case: Case, text: str) -> list[tuple[int, float]]:
    """The features of a text, the most active first."""
    (found,) = measure(case.extractor, [text])
    return sorted(((feature, one.activation) for feature, one in found.items()), key=lambda pair: -pair[1])


def aim(feature: int, threshold: float = 0.01) -> Pursuit:
    like = Sample({"text": "A row."})
    return Pursuit(Target(feature, "", threshold, ()), like, (like,), ())


def draft_of(pursuit: Pursuit, sample: Sample | Rejected | str) -> Drafted:
    held = Sample({"text": sample}) if isinstance(sample, str) else sample
    return Drafted(pursuit, "prompted", 1, Draft(Completion("", 5, True), ("key",), "digest", 5, 50), held)


def judged(
    case: Case, drafts: Sequence[Drafted], pursuits: Sequence[Pursuit], known: Sequence[str] = (), most: int = 1
) -> list[Judged]:
    judge = Judge(recognise(case.anchor, column="text"), case.extractor, Filters(known))
    return judge.judge(drafts, pursuits, most)


def test_a_sample_that_activates_its_feature_is_accepted_for_it(case: Case) -> None:
    (feature, activation), *_ = active_in(case, FIRST)
    pursuit = aim(feature)
    (found,) = judged(case, [draft_of(pursuit, FIRST)], [pursuit])
    assert (found.outcome, found.is_accepted, found.pursuit) == (VERIFIED, True, pursuit)
    assert (found.found.activation, found.part, pursuit.accepted) == (activation, "text", 1)


def test_one_that_does_not_exceed_the_threshold_is_rejected_and_remembered_as_a_try(case: Case) -> None:
    (feature, activation), *_ = active_in(case, FIRST)
    pursuit = aim(feature, threshold=activation)
    (found,) = judged(case, [draft_of(pursuit, FIRST)], [pursuit])
    assert (found.outcome, pursuit.accepted) == (NOT_ACTIVE_OUTCOME, 0)
    assert [(one.sample.whole, one.activation, one.part) for one in pursuit.tries] == [(FIRST, activation, "text")]


def test_one_that_misses_its_own_feature_counts_for_another_that_it_reaches(case: Case) -> None:
    (feature, _), *_ = active_in(case, FIRST)
    missed, reached = aim(SILENT), aim(feature)
    (found,) = judged(case, [draft_of(missed, FIRST)], [missed, reached])
    assert (found.outcome, found.pursuit) == (VERIFIED, reached)
    assert found.own is not None and found.own.activation == 0
    assert (missed.accepted, reached.accepted) == (0, 1)


def test_of_several_that_it_reaches_its_own_comes_first_and_then_the_one_farthest_above_its_threshold(
    case: Case,
) -> None:
    (strong, _), (weak, activation), *_ = active_in(case, FIRST)
    own = aim(weak)
    (found,) = judged(case, [draft_of(own, FIRST)], [aim(strong), own])
    assert found.pursuit is own
    elsewhere, far, near = aim(SILENT), aim(weak, activation / 100), aim(strong, activation / 2)
    (found,) = judged(case, [draft_of(elsewhere, FIRST)], [elsewhere, near, far])
    assert found.pursuit is far


def test_a_feature_that_an_earlier_draft_reached_needs_no_other(case: Case) -> None:
    (feature, _), *_ = [one for one in active_in(case, FIRST) if one[0] in dict(active_in(case, SECOND))]
    pursuit = aim(feature)
    drafts = [draft_of(pursuit, FIRST), draft_of(pursuit, SECOND)]
    assert [one.outcome for one in judged(case, drafts, [pursuit])] == [VERIFIED, NOT_NEEDED]
    pursuit = aim(feature)
    drafts = [draft_of(pursuit, FIRST), draft_of(pursuit, SECOND)]
    assert [one.outcome for one in judged(case, drafts, [pursuit], most=2)] == [VERIFIED, VERIFIED]


def test_what_is_no_sample_or_filtered_out_is_never_measured(case: Case) -> None:
    (feature, _), *_ = active_in(case, FIRST)
    pursuit = aim(feature)
    drafts = [draft_of(pursuit, Rejected("no response")), draft_of(pursuit, FIRST)]
    found = judged(case, drafts, [pursuit], known=[FIRST])
    assert [one.outcome for one in found] == ["no response", "copy"]
    assert [one.own for one in found] == [None, None]
    assert pursuit.tries == []


def test_a_copy_within_one_batch_is_found(case: Case) -> None:
    (feature, _), (other, _), *_ = active_in(case, FIRST)
    pursuits = [aim(feature), aim(other)]
    found = judged(case, [draft_of(pursuit, FIRST) for pursuit in pursuits], pursuits)
    assert [one.outcome for one in found] == [VERIFIED, "copy"]


def test_a_verifier_is_asked_only_about_what_would_be_accepted(case: Case) -> None:
    kind = recognise(LABELLED["strings"])
    in_second = dict(active_in(case, SECOND))
    feature = next(feature for feature, _ in active_in(case, FIRST) if feature not in in_second)
    hits, misses = aim(feature), aim(SILENT)
    drafts = [
        draft_of(pursuit, Sample({"text": text}, label=kind.labels[0]))
        for pursuit, text in ((hits, FIRST), (misses, SECOND))
    ]
    generator = always({"reason": "", "answer": "no"})
    judge = Judge(kind, case.extractor, Filters([]), Verifier(generator))
    found = judge.judge(drafts, [hits, misses], 1)
    assert [one.outcome for one in found] == ["label does not hold", NOT_ACTIVE_OUTCOME]
    assert generator.asked == 1
    assert (hits.accepted, len(hits.tries)) == (0, 1)
