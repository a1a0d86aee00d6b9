"""How a text is asked for and read."""

from __future__ import annotations

from fac_datasets.synthesis.kinds import data_kind
from fac_datasets.synthesis.kinds.base import few_shot_messages


def test_an_answer_that_was_cut_off_ends_with_its_last_whole_sentence() -> None:
    read = data_kind("text").read
    assert read("One. Two is", False) == "One."
    assert read("One. Two is", True) == "One. Two is"
    assert read("One two", False) is None
    assert read("print(1)\nprint(", False) == "print(1)"
    assert read("今天天气很好。我们去公园", False) == "今天天气很好。"
    assert read("One whole sentence.", False) == "One whole sentence."


def test_a_prompt_shows_examples_as_earlier_answers() -> None:
    kind = data_kind("text")
    messages = few_shot_messages(kind, ["one", "two"], bad="three")
    assert [role for role, _ in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "three" in messages[-1][1]
