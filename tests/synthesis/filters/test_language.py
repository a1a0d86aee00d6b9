"""Samples in another language than the one asked for are rejected, where that is certain."""

from __future__ import annotations

import pytest

from fac_datasets.errors import OptionError
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.base import Demands

OTHER = [
    "¿Cómo se prepara una tortilla de patatas sin cebolla?",
    "Il fait beau aujourd'hui et nous allons à la plage.",
    "Heute gehen wir zusammen in den Park.",
    "Vorrei due tazze di caffè, per favore.",
    "Eu gosto muito de cozinhar com a minha avó.",
    "Сегодня хорошая погода.",
    "今天天气很好我们去公园散步吧。",
    "今日はいい天気ですね。",
    "모르겠어요. 다시 물어봐 주세요.",
    "لا أعرف كيف أفعل ذلك.",
]

UNCERTAIN = [
    "Les Misérables is a long book.",
    "Dear Mr García, thank you for your letter.",
    "Tour de France",
    "Pizza Margherita, please!",
    "def add(a, b):\n    return a + b",
    "SELECT name FROM users WHERE id = 3;",
    "https://example.com/a?b=c is down",
    "Ok, lol, omg!",
    "1. 2. 3. Go!",
    "How do you say gato in English?",
]


@pytest.mark.parametrize("text", OTHER)
def test_an_answer_in_another_language_is_rejected(text: str) -> None:
    assert Filters([], Demands(language="en")).reject(text) == "other language"
    assert Filters([]).reject(text) is None


@pytest.mark.parametrize("text", ["The cat sat on the mat.", "Boil the rice.", *UNCERTAIN])
def test_english_and_what_is_not_certainly_anything_else_passes(text: str) -> None:
    assert Filters([], Demands(language="en")).reject(text) is None


def test_other_languages_than_english_can_be_asked_for() -> None:
    filters = Filters([], Demands(language="de"))
    assert filters.reject("Heute gehen wir zusammen in den Park.") is None
    assert filters.reject("Today we are going to the park together.") == "other language"


@pytest.mark.parametrize("language", ["english", "EN", "zxx", ""])
def test_an_unknown_language_is_refused(language: str) -> None:
    with pytest.raises(OptionError, match=rf"language='{language}' is none of .*\ben\b"):
        Filters([], Demands(language=language))
