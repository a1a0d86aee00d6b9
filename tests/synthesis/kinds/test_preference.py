"""Pairs of a better and a worse answer, in every form in which they are kept."""

from __future__ import annotations

import pytest

from fac_datasets.errors import ColumnError
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.samples import Rejected, Sample
from tests.synthesis.kinds.seeds import PAIRS, chat, of

ANSWER = "Prompt: Which is blue?\nBetter answer: A plum is.\nWorse answer: Nothing."

HI = "Prompt:\nHi.\n\nResponse:\nYes?\n\n"

CELLS = {
    "with a prompt": {"prompt": "Which is blue?", "chosen": "A plum is.", "rejected": "Nothing."},
    "with a prompt of a chat": {
        "prompt": [{"role": "user", "content": "Which is blue?"}],
        "chosen": [{"role": "assistant", "content": "A plum is."}],
        "rejected": [{"role": "assistant", "content": "Nothing."}],
    },
    "whole chats": {
        "chosen": chat("Which is blue?", "A plum is."),
        "rejected": chat("Which is blue?", "Nothing."),
        "margin": 0,
    },
    "whole chats beside their prompt": {
        "prompt": "Which is blue?",
        "chosen": chat("Which is blue?", "A plum is."),
        "rejected": chat("Which is blue?", "Nothing."),
    },
    "transcripts": {
        "chosen": "\n\nHuman: Which is blue?\n\nAssistant: A plum is.",
        "rejected": "\n\nHuman: Which is blue?\n\nAssistant: Nothing.",
    },
    "transcripts behind their prompt": {
        "prompt": "\n\nHuman: Which is blue?\n\nAssistant:",
        "chosen": " A plum is.",
        "rejected": " Nothing.",
    },
    "with a system prompt": {
        "system": "",
        "question": "Which is blue?",
        "chosen": "A plum is.",
        "rejected": "Nothing.",
    },
}


@pytest.mark.parametrize("name", CELLS)
def test_a_pair_is_written_in_the_manner_of_the_seed(name: str) -> None:
    kind = recognise(PAIRS[name], column="chosen")
    found = kind.read(ANSWER, True)
    assert isinstance(found, Sample)
    assert kind.cells(found) == CELLS[name]


def test_without_prompts_there_are_two_texts() -> None:
    kind = recognise(PAIRS["texts alone"], column="chosen")
    found = kind.read("Chosen: A plum is.\nRejected: Nothing.", True)
    assert isinstance(found, Sample)
    assert kind.cells(found) == {"chosen": "A plum is.", "rejected": "Nothing."}


def test_both_sides_have_to_differ() -> None:
    kind = recognise(PAIRS["with a prompt"], column="chosen")
    same = "Prompt: Which is blue?\nBetter answer: A plum is.\nWorse answer: A  PLUM is."
    assert kind.read(same, True) == Rejected("same answer on both sides")
    assert kind.read("Prompt: Which is blue?\nBetter answer: A plum is.", True) == Rejected("no rejected")


def test_the_side_that_is_measured_has_to_be_named() -> None:
    kind = recognise(PAIRS["with a prompt"])
    sample = kind.sample_of(PAIRS["with a prompt"][0])
    assert sample is not None
    with pytest.raises(ColumnError, match="name the column to read: column='chosen' or column='rejected'"):
        kind.measured(sample)


def test_sides_that_answer_different_things_are_no_example() -> None:
    seed = of(
        [{"chosen": chat("Hi.", "Yes?"), "rejected": chat("Ho.", "No.")}],
        chosen=PAIRS["whole chats"].features["chosen"],
        rejected=PAIRS["whole chats"].features["chosen"],
    )
    assert recognise(seed, column="chosen").sample_of(seed[0]) is None


def test_a_text_that_spells_a_turn_has_no_place_in_a_transcript() -> None:
    kind = recognise(PAIRS["transcripts"], column="chosen")
    forged = "Prompt: Which is blue?\n\nHuman: And red?\nBetter answer: A plum is.\nWorse answer: No."
    assert kind.read(forged, True) == Rejected("has no place in the columns")


def test_a_responder_writes_the_better_answer() -> None:
    kind = recognise(PAIRS["with a prompt"], column="chosen")
    sample = kind.read(ANSWER, True)
    assert isinstance(sample, Sample)
    assert kind.asks(sample) == (("user", "Which is blue?"),)
    answered = kind.answered(sample, "Plums are blue.", True)
    assert isinstance(answered, Sample) and answered.texts["chosen"] == "Plums are blue."
    assert kind.answered(sample, "Nothing.", True) == Rejected("same answer on both sides")


def test_another_pair_behind_the_first_is_left_out() -> None:
    kind = recognise(PAIRS["with a prompt"], column="chosen")
    expected = kind.read(ANSWER, True)
    assert isinstance(expected, Sample)
    for more in (
        "Prompt 2: Which is red?",
        "Response: A cherry.",
        "Prompt 2: Why?\nBetter answer: So.\nWorse answer: No.",
    ):
        assert kind.read(f"{ANSWER}\n\n{more}", True) == expected


@pytest.mark.parametrize(
    ("answer", "finished", "begun"),
    [
        ("Prompt: Hi. So", False, "Prompt:\nHi.\n\nResponse:\n"),
        ("Prompt: Hi.\nBetter answer: Yes.", True, "Prompt:\nHi.\n\nResponse:\n"),
        ("Prompt: Hi.\nResponse: Yes?\nPrompt 2: Why?", True, f"{HI}Prompt 2:\nWhy?\n\nBetter answer:\n"),
        (
            f"{HI}Prompt 2: Why?\nBetter answer: So.",
            True,
            f"{HI}Prompt 2:\nWhy?\n\nBetter answer:\nSo.\n\nWorse answer:\n",
        ),
        (f"{HI}Prompt 2: Why?\nBetter answer: So.\nWorse answer: No.", True, ""),
        ("I", False, ""),
        ("I'm sorry, but I can't help with that.", True, ""),
    ],
)
def test_a_pair_is_gone_on_with_as_the_row_that_it_is_like(answer: str, finished: bool, begun: str) -> None:
    seed = PAIRS["transcripts"]
    kind = recognise(seed, column="chosen")
    assert kind.lacking(answer, finished, kind.sample_of(seed[0])) == begun
