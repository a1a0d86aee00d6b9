"""People have the last word on a name."""

from __future__ import annotations

import pytest

from fac_datasets.coverage.names import reviewed_name


@pytest.mark.parametrize(
    ("review_fits", "review_explanation", "name"),
    [
        (None, None, "by a model"),
        ("yes", None, "by a model"),
        ("maybe", None, "by a model"),
        ("no", None, None),
        ("cannot tell", None, None),
        ("no", "by people", "by people"),
        ("maybe", "by people", "by people"),
    ],
)
def test_people_have_the_last_word_on_a_name(
    review_fits: str | None, review_explanation: str | None, name: str | None
) -> None:
    row = {"explanation": "by a model", "review_fits": review_fits, "review_explanation": review_explanation}
    assert reviewed_name(row) == name
    assert reviewed_name({"explanation": "by a model"}) == "by a model"
