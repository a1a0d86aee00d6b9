"""Samples that go round in circles are rejected, also where they do so only at their end."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.filters import Filters

GOOD = "The old harbour lies behind the market, and in the evening people walk there with their children."


@pytest.mark.parametrize(
    "text",
    [
        "so so so so so so so",
        "I love it. I love it. I love it. I love it.",
        f"{GOOD} {GOOD[:40]} {GOOD} {GOOD[:40]} {GOOD}",
        f"{GOOD} And so on, and so on, and so on, and so on.",
        f"{GOOD}\n1. Bread\n2. Milk\n" + "3. Eggs\n" * 4,
        f"{GOOD} No no no no no no no no!",
        f"{GOOD} Help!!!!!!!!!!!!!!!!!!!!",
        f"{GOOD} Aaaaaaaaaaaaaaaaaaaaaaah",
        f"哈哈哈哈哈哈哈哈哈哈, {GOOD}",
    ],
)
def test_loops_are_rejected(text: str) -> None:
    assert Filters([]).reject(text) == "repetitive"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "No, no, no, no, I never said that!",
        "Row, row, row your boat, gently down the stream.",
        "The more you read, the more you learn.",
        f"{GOOD}\n\n--------------------------------\n\nname: ____________________________",
        "| town | people |\n|------------------|------------------|\n| Bergen | 290,000 |",
        "That is 1000000000000000000000 times more than I need.",
    ],
)
def test_what_people_repeat_passes(text: str) -> None:
    assert Filters([]).reject(text) is None
