"""What a sample must not be."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.filters import Filters
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
    ],
)
def test_filters(text: str, reason: str | None) -> None:
    assert Filters([TEXTS[0]]).reject(text) == reason
