"""What people are asked."""

from __future__ import annotations

import pytest

from fac_datasets import review
from fac_datasets.errors import ColumnError, FeatureSpaceMismatch, OptionError, ReviewError
from fac_datasets.interpretation.relevance import Guideline
from fac_datasets.review.form import guidelines
from tests.servers.argilla.fixtures import SPACE, feature, table_of


@pytest.mark.parametrize(
    "name", ["toxicity", "helpfulness", "instruction_following", "sycophancy", "survival_instinct"]
)
def test_every_guideline_fits_into_a_form(name: str) -> None:
    task = Guideline.load(name)
    assert task.text in guidelines("explanations", task.text)


def test_a_guideline_that_no_server_takes_is_refused() -> None:
    with pytest.raises(ReviewError, match=r"the guidelines have 1\d,\d+ characters, and Argilla takes 10,000"):
        guidelines("explanations", "x" * 10_000)


@pytest.mark.parametrize("min_submitted", [0, -1])
def test_a_record_needs_a_reviewer(min_submitted: int) -> None:
    with pytest.raises(OptionError, match=f"min_submitted={min_submitted} is less than 1"):
        review.push_explanations(table_of(feature(1)), "name", min_submitted=min_submitted)


def test_a_table_without_names_is_refused() -> None:
    unnamed = table_of(feature(1)).remove_columns(["explanation"])
    with pytest.raises(ColumnError, match="explanation"):
        review.push_explanations(unnamed, "name")


def test_a_report_of_another_kind_or_space_is_refused() -> None:
    table = table_of(feature(1))
    with pytest.raises(OptionError, match=r"the coverage report lacks \['covered'\]"):
        review.push_explanations(table, "name", report={"missing": [1], "feature_space": SPACE})
    other = SPACE.replace("layer1", "layer2")
    with pytest.raises(FeatureSpaceMismatch):
        review.push_explanations(table, "name", report={"missing": [1], "covered": [], "feature_space": other})
