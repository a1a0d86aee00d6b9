"""Samples that repeat the words of their prompt are rejected."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.base import Demands
from fac_datasets.synthesis.kinds import KINDS
from fac_datasets.synthesis.prompting import prompts_of
from tests.tiny import TEXTS

DEMANDS = Demands(wording=prompts_of(KINDS["text"]).wording)


@pytest.mark.parametrize(
    "text",
    [
        "Dogs bark at night, and it was measured to be 6.50: woof.",
        "It was **measured** to be 2.25. Dogs bark.",
        "These words have to occur in it: the dog.",
        "You write short texts like the ones you are shown.",
    ],
)
def test_words_of_the_prompt_are_an_echo(text: str) -> None:
    assert Filters([], DEMANDS).reject(text) == "echo of the prompt"


@pytest.mark.parametrize("text", [*TEXTS, "It was measured twice, to be sure.", "Write one more letter to your aunt."])
def test_other_texts_pass(text: str) -> None:
    assert Filters([], DEMANDS).reject(text) is None


def test_what_known_texts_say_is_no_echo() -> None:
    filters = Filters(["The length was large, and it was measured to be nine meters."], DEMANDS)
    assert filters.reject("The tower is tall and it was measured to be ninety feet.") is None


def test_without_prompts_nothing_is_one() -> None:
    assert Filters([]).reject("Dogs bark, and it was measured to be loud.") is None
