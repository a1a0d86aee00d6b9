"""Consensus of reviewers, and how far they agree."""

from __future__ import annotations

from typing import Any

import datasets
import pytest

from fac_datasets import review
from fac_datasets.errors import ColumnError
from fac_datasets.review.agreement import krippendorff_alpha, majority, median, unanimous


@pytest.mark.parametrize(
    ("answers", "by_majority", "by_all", "by_median"),
    [
        ([], None, None, None),
        (["yes"], "yes", "yes", "yes"),
        (["yes", "no"], None, None, "no"),
        (["yes", "yes", "no"], "yes", None, "yes"),
        (["yes", "probably", "no"], None, None, "probably"),
        (["yes", "probably", "maybe", "no"], None, None, "maybe"),
        (["yes", "cannot tell"], None, None, "yes"),
        (["cannot tell", "cannot tell"], "cannot tell", "cannot tell", "cannot tell"),
        (["keep", "keep", "drop"], "keep", None, "keep"),
        (["keep", "drop"], None, None, None),
    ],
)
def test_rules_of_consensus(
    answers: list[str], by_majority: str | None, by_all: str | None, by_median: str | None
) -> None:
    assert (majority(answers), unanimous(answers), median(answers)) == (by_majority, by_all, by_median)


def test_alpha_of_a_published_example() -> None:
    # K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section B.
    units = [[one, other] for one, other in zip("aabbdcccedda", "babbbccceddd", strict=True)]
    assert krippendorff_alpha(units, "abcde", "nominal").alpha == pytest.approx(0.692, abs=5e-4)


def test_alpha_counts_only_what_two_answered() -> None:
    found = krippendorff_alpha([["yes", "yes"], ["no", "no"], ["no"], []], ("no", "yes"), "nominal")
    assert (found.alpha, found.overlaps, found.answers) == (1.0, 2, 5)


@pytest.mark.parametrize("units", [[], [["yes"], ["no"]], [["yes", "yes"], ["yes", "yes"]]])
def test_alpha_is_undefined_where_nobody_could_disagree(units: list[list[str]]) -> None:
    assert krippendorff_alpha(units, ("no", "yes"), "nominal").alpha is None


def test_farther_answers_count_more_on_a_scale() -> None:
    scale = ("no", "maybe", "probably", "yes")
    rest = [[answer, answer] for answer in scale]
    near = krippendorff_alpha([["yes", "probably"], *rest], scale, "ordinal").alpha
    far = krippendorff_alpha([["yes", "no"], *rest], scale, "ordinal").alpha
    assert near is not None and far is not None and near > far


def test_a_summary_says_what_there_is_in_plain_lines() -> None:
    kinds = datasets.Features(
        {
            "reviews": datasets.List(
                {
                    **{part: datasets.Value("string") for part in ("reviewer", "status", "keep", "comment")},
                    "outdated": datasets.Value("bool"),
                }
            )
        }
    )

    def by(reviewer: str, status: str, keep: str | None, outdated: bool = False) -> dict[str, Any]:
        return {"reviewer": reviewer, "status": status, "keep": keep, "comment": None, "outdated": outdated}

    reviews = [
        [by("ada", "submitted", "keep"), by("bob", "submitted", "keep")],
        [by("ada", "submitted", "drop"), by("bob", "submitted", "drop"), by("cyd", "draft", "keep")],
        [by("ada", "discarded", None), by("bob", "submitted", "keep", outdated=True)],
    ]
    assert str(review.summary(datasets.Dataset.from_dict({"reviews": reviews}, features=kinds))) == (
        "2 of 3 records reviewed: 5 responses submitted, 1 drafts, 1 discarded, 1 about an earlier version\n"
        "keep: Krippendorff's alpha 1.00 over 2 overlaps, 4 answers"
    )


def test_only_spans_that_were_shown_count_for_agreement() -> None:
    def by(reviewer: str, misfits: list[int]) -> dict[str, Any]:
        return {"reviewer": reviewer, "status": "submitted", "outdated": False, "misfits": misfits}

    def agreement(spans: int) -> Any:
        rows = {"reviews": [[by("ada", [1, 2]), by("bob", [2, 3])]], "spans": [["a text"] * spans]}
        return review.summary(datasets.Dataset.from_dict(rows)).agreement["misfits"]

    assert agreement(20) == agreement(10)
    # Of twenty marks on ten spans four are set, two of them on the same: observed (2 * 2) / 20, expected
    # 2 * 4 * 16 / (20 * 19).
    assert agreement(20).alpha == pytest.approx(1 - (4 / 20) / (128 / 380))


def test_a_summary_is_of_what_was_pulled() -> None:
    with pytest.raises(ColumnError, match="there is no column 'reviews'; pass what pull_explanations"):
        review.summary(datasets.Dataset.from_dict({"text": ["a"]}))
