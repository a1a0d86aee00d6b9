"""Samples that only say their feature's name are rejected."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.filters import Filters


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Cooking and recipes.", "cooking, recipes"),
        ("A text about cooking and a recipe.", "cooking, recipes"),
        ("Words about cooking, like recipe.", "cooking, recipes"),
        ("Greetings! Greetings! Greetings!", "greetings"),
        ('The word "bark" after "dogs"', '"bark" after "dog"'),
        ("The concept of polite requests.", "a polite request"),
    ],
)
def test_a_name_and_nothing_else_is_rejected(text: str, name: str) -> None:
    assert Filters([]).reject(text, name) == "only the name"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My grandmother loves cooking.", "cooking, recipes"),
        ("How are you doing?", "asking how someone is doing"),
        ("There it is.", "cooking"),
        ("Boil the rice.", ""),
        ("This is it.", '"))"'),
    ],
)
def test_a_text_that_says_more_passes(text: str, name: str) -> None:
    assert Filters([]).reject(text, name) is None
