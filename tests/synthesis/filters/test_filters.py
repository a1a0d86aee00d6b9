"""What a sample must not be."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.base import Demands
from tests.tiny import TEXTS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The cat sat on the mat and looked at the rain!", "copy"),
        ("Yesterday the cat sat on the mat and looked at the rain.", "copy"),
        ("so so so so so so so", "repetitive"),
        ("Hi there", "too short"),
        ("A quiet evening by the harbour.", None),
        ("今天天气很好我们去公园散步吧。", None),
        ("This sentence is about the rain.", "about itself"),
        ("The cats sat on the mat and look at the rain.", "near duplicate"),
    ],
)
def test_filters(text: str, reason: str | None) -> None:
    assert Filters([TEXTS[0]]).reject(text) == reason


def test_cheap_filters_come_first_and_dear_ones_only_where_they_are_asked_for() -> None:
    always = ["too short", "about itself", "only the name", "repetitive", "copy", "near duplicate"]
    assert Filters([]).reasons == always
    demands = Demands(language="en", nll=lambda texts: np.zeros(len(texts)), highest_nll=1.0)
    assert Filters([], demands).reasons == [*always, "other language", "not fluent"]


def test_a_sample_that_only_names_its_feature_is_rejected() -> None:
    assert Filters([]).reject("Cooking and recipes.", "cooking, recipes") == "only the name"


def test_seed_rows_pass_the_filters_that_look_at_a_text_alone() -> None:
    filters = Filters([])
    assert [filters.reject(text) for text in TEXTS[:8]] == [None] * 8
