"""Samples of next to no words are rejected."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.filters import Filters


@pytest.mark.parametrize("text", ["", "   ", "...", "Yes.", "Hi there", "1. -", "👍👍👍"])
def test_next_to_nothing_is_too_short(text: str) -> None:
    assert Filters([]).reject(text) == "too short"


@pytest.mark.parametrize("text", ["Boil the rice.", "不知道。"])
def test_three_words_will_do(text: str) -> None:
    assert Filters([]).reject(text) is None
