"""What reviewers agree on: consensus over one record's answers, and Krippendorff's alpha over all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from fac_datasets.errors import ColumnError, MissingExtra, OptionError
from fac_datasets.review.form import SHOWN

if TYPE_CHECKING:
    import datasets

CERTAINTY = ("no", "maybe", "probably", "yes")
"""Answers in their order. "cannot tell" stands outside of it."""

CANNOT_TELL = "cannot tell"

HOLDS = ("yes", "probably")
"""Answers that count as a yes."""


def majority(answers: Sequence[str]) -> str | None:
    """The answer that more than half of the reviewers gave."""
    if not answers:
        return None
    answer, count = Counter(answers).most_common(1)[0]
    return answer if 2 * count > len(answers) else None


def unanimous(answers: Sequence[str]) -> str | None:
    """The answer that all reviewers gave."""
    return answers[0] if answers and len(set(answers)) == 1 else None


def median(answers: Sequence[str]) -> str | None:
    """The middle answer on the scale from no to yes; of two middle ones the more doubtful.

    Those who cannot tell are left out. Answers off this scale are decided by majority.
    """
    if any(answer not in (*CERTAINTY, CANNOT_TELL) for answer in answers):
        return majority(answers)
    ordered = sorted(CERTAINTY.index(answer) for answer in answers if answer != CANNOT_TELL)
    return CERTAINTY[ordered[(len(ordered) - 1) // 2]] if ordered else majority(answers)


CONSENSUS: dict[str, Callable[[Sequence[str]], str | None]] = {
    "majority": majority,
    "unanimous": unanimous,
    "median": median,
}
"""Rules by name. Each gives None where there is no consensus."""


def consensus_rule(name: str) -> Callable[[Sequence[str]], str | None]:
    """A rule by name.

    Raises:
        OptionError: there is no such rule.
    """
    if name not in CONSENSUS:
        raise OptionError(f"consensus={name!r} is none of {sorted(CONSENSUS)}")
    return CONSENSUS[name]


class Agreement(NamedTuple):
    """How far reviewers agree on one question."""

    alpha: float | None
    """Krippendorff's alpha: 1 is agreement, 0 is what chance gives; None where nobody disagreed and nobody could have,
    or where no record was answered by two."""
    overlaps: int
    """Records (of spans: spans) that two or more reviewers answered for."""
    answers: int
    """Answers in all."""


class ReviewSummary(NamedTuple):
    """State of a review."""

    records: int
    reviewed: int
    """Records with a submitted answer."""
    submitted: int
    drafts: int
    discarded: int
    outdated: int
    """Responses of any kind to an earlier version of their record."""
    agreement: dict[str, Agreement]
    """By question."""

    def __str__(self) -> str:
        lines = [
            f"{self.reviewed:,} of {self.records:,} records reviewed: {self.submitted:,} responses submitted, "
            f"{self.drafts:,} drafts, {self.discarded:,} discarded, {self.outdated:,} about an earlier version"
        ]
        for question, found in self.agreement.items():
            alpha = "undefined" if found.alpha is None else f"{found.alpha:.2f}"
            lines.append(
                f"{question}: Krippendorff's alpha {alpha} over {found.overlaps:,} overlaps, {found.answers:,} answers"
            )
        return "\n".join(lines)


def summary(reviewed: datasets.Dataset) -> ReviewSummary:
    """How many answers there are, and how far reviewers agree.

    Alpha is of ordinal level for questions answered on the scale from no to yes, where "cannot tell" counts as no
    answer, and of nominal level for others. For the spans that do not fit, each span shown is an item of its own.

    Args:
        reviewed: what `pull_explanations` or `pull_samples` returned.

    Raises:
        ColumnError: it is neither.
        MissingExtra: the library `krippendorff` is not installed.

    Source: K. Krippendorff, Content Analysis, 4th edition, chapter 12.
    """
    if "reviews" not in reviewed.column_names:
        raise ColumnError(
            "there is no column 'reviews'; pass what pull_explanations or pull_samples returned, whose columns these "
            f"are not: {reviewed.column_names}"
        )
    reviews: list[list[dict[str, Any]]] = list(reviewed["reviews"])
    counted = [counting(of_record) for of_record in reviews]
    statuses = Counter(review["status"] for of_record in reviews for review in of_record)
    questions = reviewed.features["reviews"].feature
    agreement = {name: _of_choice(counted, name) for name in questions if name not in _ASIDE and name != "misfits"}
    if "misfits" in questions:
        shown = [min(len(spans), SHOWN) for spans in reviewed["spans"]]
        agreement["misfits"] = _of_spans(counted, shown)
    return ReviewSummary(
        len(reviews),
        sum(map(bool, counted)),
        statuses["submitted"],
        statuses["draft"],
        statuses["discarded"],
        sum(review["outdated"] for of_record in reviews for review in of_record),
        agreement,
    )


_ASIDE = ("reviewer", "status", "outdated", "comment", "corrected", "edited")
"""Parts of a review that are no choice."""


def counting(reviews: Sequence[Mapping[str, Any]], needed: int = 0) -> list[Mapping[str, Any]]:
    """The reviews of a record that count: submitted, and of what the record is now; none where more are needed."""
    found = [review for review in reviews if review["status"] == "submitted" and not review["outdated"]]
    return found if len(found) >= needed else []


def _of_choice(counted: Sequence[Sequence[Mapping[str, Any]]], question: str) -> Agreement:
    units = [
        [review[question] for review in of_record if review[question] not in (None, CANNOT_TELL)]
        for of_record in counted
    ]
    given = {answer for unit in units for answer in unit}
    if given <= {*CERTAINTY}:
        return krippendorff_alpha(units, CERTAINTY, "ordinal")
    return krippendorff_alpha(units, sorted(given), "nominal")


def _of_spans(counted: Sequence[Sequence[Mapping[str, Any]]], shown: Sequence[int]) -> Agreement:
    units = [
        [str(number in (review["misfits"] or [])) for review in of_record]
        for of_record, spans in zip(counted, shown, strict=True)
        for number in range(1, spans + 1)
    ]
    return krippendorff_alpha(units, ("False", "True"), "nominal")


def krippendorff_alpha(
    units: Sequence[Sequence[str]], answers: Sequence[str], level: Literal["nominal", "ordinal"]
) -> Agreement:
    """Agreement over units.

    Args:
        units: answers for each record, or part of one; who gave which makes no difference.
        answers: that can be given, in their order.
        level: of measurement.
    """
    try:
        import krippendorff
    except ImportError as error:
        raise MissingExtra("agreement needs the library krippendorff; pip install 'fac-datasets[review]'") from error
    overlapping = [unit for unit in units if len(unit) > 1]
    overlaps, count = len(overlapping), sum(map(len, units))
    if len({answer for unit in overlapping for answer in unit}) < 2:
        # With a single answer there is nothing that chance could have given otherwise.
        return Agreement(None, overlaps, count)
    # Rows are places of answers and not people: alpha counts pairs within a record, whoever gave them.
    values = np.full((max(map(len, overlapping)), overlaps), np.nan)
    for column, unit in enumerate(overlapping):
        values[: len(unit), column] = [answers.index(answer) for answer in unit]
    domain = list(range(len(answers)))
    return Agreement(
        float(krippendorff.alpha(values, level_of_measurement=level, value_domain=domain)), overlaps, count
    )
