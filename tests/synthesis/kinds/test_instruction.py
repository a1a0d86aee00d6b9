"""Prompts with responses, in columns and in chats, of one turn and of several."""

from __future__ import annotations

import datasets
import pytest

from fac_datasets.generation.base import Outcome
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import NO_TEXT
from fac_datasets.synthesis.samples import Rejected, Sample
from tests.synthesis.kinds.seeds import FRUIT, INSTRUCTIONS, chat

PLUM = Sample({"prompt": "Which is blue?", "response": "A plum is."})

MESSY = {
    "as shown": "Prompt:\nWhich is blue?\n\nResponse:\nA plum is.",
    "in a line": "Prompt: Which is blue?\nResponse: A plum is.",
    "marked up": "**Prompt:** Which is blue?\n\n**Response:**\nA plum is.",
    "headings": "### Prompt\nWhich is blue?\n### Response:\nA plum is.",
    "other words": "Instruction: Which is blue?\nOutput: A plum is.",
    "speakers": "User: Which is blue?\n\nAssistant: A plum is.",
    "small letters": "prompt: Which is blue?\nresponse: A plum is.",
    "numbered": "Prompt 1: Which is blue?\nResponse 1: A plum is.",
    "preface and closing": "Sure! Here is another example:\n\nPrompt: Which is blue?\nResponse: A plum is.\n\n"
    "Let me know if you need more!",
    "fence": "```\nPrompt: Which is blue?\nResponse: A plum is.\n```",
    "fence behind a preface": 'Here\'s one:\n```json\n{"prompt": "Which is blue?", "response": "A plum is."}\n```',
    "reasoning": "<think>A plum.</think>\nPrompt: Which is blue?\nResponse: A plum is.",
    "end of a thought": "so a plum\n</think>\n\nPrompt: Which is blue?\nResponse: A plum is.",
    "end tokens": "Prompt: Which is blue?\nResponse: A plum is.<|im_end|>",
    "another sample behind it": "Prompt: Which is blue?\nResponse: A plum is.\n\nPrompt: Which is red?\nResponse: A",
    "json": '{"prompt": "Which is blue?", "response": "A plum is.", "note": "hard"}',
}

UNREADABLE = {
    "no response": ("Prompt: Which is blue?", "no response"),
    "an empty response": ("Prompt: Which is blue?\nResponse:", "no response"),
    "json without a response": ('{"prompt": "Which is blue?"}', "no response"),
    "no headers": ("Which is blue? A plum is.", "no prompt"),
    "nothing": ("  ", Outcome.EMPTY),
    "a refusal": ("I'm sorry, but I can't help with writing that.", Outcome.DECLINED),
    "an unfinished thought": ("<think>Which fruit is", Outcome.REASONING),
    Outcome.TEMPLATE: (
        "Prompt: Which?\nResponse: A plum.<|im_end|>\n<|im_start|>user\nAnd?",
        Outcome.TEMPLATE,
    ),
    Outcome.DAMAGED: ("Prompt: Which\x00?\nResponse: A plum.", Outcome.DAMAGED),
    "half a surrogate": ("Prompt: Which\ud83d?\nResponse: A plum.", Outcome.DAMAGED),
    "the wrong order": ("Response: A plum.\nPrompt: Which?", "parts in another order than asked for"),
    "two responses": ("Prompt: Which?\nResponse: A plum.\nResponse: A fig.", "parts in another order than asked for"),
}


@pytest.mark.parametrize("name", MESSY)
def test_answers_are_read_whatever_is_around_them(name: str) -> None:
    assert recognise(INSTRUCTIONS["alpaca"]).read(MESSY[name], True) == PLUM


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_exchange_is_rejected_with_its_reason(name: str) -> None:
    answer, reason = UNREADABLE[name]
    assert recognise(INSTRUCTIONS["alpaca"]).read(answer, True) == Rejected(reason)


def test_a_response_that_was_cut_off_ends_with_its_last_whole_sentence() -> None:
    kind = recognise(INSTRUCTIONS["alpaca"])
    begun = "Prompt: Which is blue?\nResponse: A plum is. It"
    assert kind.read(begun, False) == PLUM
    assert kind.read("Prompt: Which is blue?\nResponse: A plum", False) == Rejected(NO_TEXT)
    assert kind.read("Prompt: Which is", False) == Rejected("no response")


def test_a_sample_is_whole_where_only_another_one_behind_it_was_cut_off() -> None:
    answer = "Prompt: Which is blue?\nResponse: A plum\n\nPrompt: Which is"
    found = recognise(INSTRUCTIONS["alpaca"]).read(answer, False)
    assert found == Sample({"prompt": "Which is blue?", "response": "A plum"})


def test_headers_within_a_text_are_left_alone() -> None:
    answer = "Prompt: What is 6 * 7?\nResponse: Let us see.\nAnswer: 42"
    found = recognise(INSTRUCTIONS["alpaca"]).read(answer, True)
    assert found == Sample({"prompt": "What is 6 * 7?", "response": "Let us see.\nAnswer: 42"})


def test_a_row_that_spells_a_header_is_no_example() -> None:
    seed = datasets.Dataset.from_dict({"prompt": ["Fill in:\nPrompt: ...", "Hi."], "response": ["No.", "Hello."]})
    assert [recognise(seed).sample_of(row) is None for row in seed] == [True, False]


def test_a_row_without_a_response_is_no_example() -> None:
    seed = datasets.Dataset.from_dict({"prompt": ["Hi.", "Hi.", None], "response": [None, " ", "Hello."]})
    assert [recognise(seed).sample_of(row) for row in seed] == [None, None, None]


def test_a_chat_in_which_roles_do_not_alternate_is_no_example() -> None:
    turns = [*chat(*FRUIT[0]), {"role": "tool", "content": "4"}]
    seed = datasets.Dataset.from_dict({"messages": [turns, chat(*FRUIT[0])]})
    assert [recognise(seed).sample_of(row) is None for row in seed] == [True, False]


def test_a_sample_has_as_many_turns_as_the_generator_wrote() -> None:
    kind = recognise(INSTRUCTIONS["messages of several turns"])
    found = kind.read("Prompt: Hi.\nResponse: Yes?\nPrompt 2: Which is blue?\nResponse 2: A plum.", True)
    assert isinstance(found, Sample)
    assert kind.cells(found)["messages"] == [*chat("Hi.", "Yes?"), *chat("Which is blue?", "A plum.")]


def test_columns_of_one_turn_have_no_place_for_two() -> None:
    answer = "Prompt: Hi.\nResponse: Yes?\nPrompt 2: Which is blue?\nResponse 2: A plum."
    assert recognise(INSTRUCTIONS["alpaca"]).read(answer, True) == Rejected("has no place in the columns")


@pytest.mark.parametrize("name", ["messages with a system prompt", "openorca"])
def test_the_system_prompt_is_that_of_the_row_that_was_asked_for(name: str) -> None:
    seed = INSTRUCTIONS[name]
    kind = recognise(seed)
    like = kind.sample_of(seed[0])
    assert like is not None and like.system == "Be brief."
    found = kind.read(kind.show(PLUM), True, like)
    assert isinstance(found, Sample) and found.system == "Be brief."
    assert kind.sample_of(kind.cells(found)) == found


def test_a_choice_has_to_be_among_the_choices() -> None:
    seed = INSTRUCTIONS["multiple choice"]
    kind = recognise(seed)
    right = "Prompt: Which is green?\n\nA. Fig\nB. Pear\n\nResponse: Pear"
    found = kind.read(right, True)
    assert isinstance(found, Sample)
    assert kind.cells(found) == {"question": "Which is green?", "choices": ["Fig", "Pear"], "answer": 1}
    assert kind.read(right.replace(": Pear", ": Plum"), True) == Rejected("has no place in the columns")


def test_a_responder_answers_the_last_prompt() -> None:
    kind = recognise(INSTRUCTIONS["messages with a system prompt"])
    opened = kind.opened("Which is blue?", True, Sample({}, system="Be brief."))
    assert isinstance(opened, Sample)
    assert kind.asks(opened) == (("system", "Be brief."), ("user", "Which is blue?"))
    answered = kind.answered(opened, "A plum is. It", False)
    assert answered == Sample({**PLUM.texts}, system="Be brief.")
    assert kind.answered(opened, "I'm sorry, but I can't help with that.", True) == Rejected(Outcome.DECLINED)
    assert isinstance(answered, Sample)
    assert kind.answered(answered, "A grape is.", True) == Sample(
        {"prompt": "Which is blue?", "response": "A grape is."}, system="Be brief."
    )


def test_a_column_that_says_the_rest_again_is_made_as_in_the_seed() -> None:
    kind = recognise(INSTRUCTIONS["alpaca with its text"])
    assert kind.cells(PLUM)["text"] == "### Ask:\nWhich is blue?\n\n### Say:\nA plum is."
    assert recognise(INSTRUCTIONS["messages beside their prompt"]).cells(PLUM)["prompt"] == "Which is blue?"


def test_an_answer_can_be_begun_with_a_phrase() -> None:
    kind = recognise(INSTRUCTIONS["alpaca"])
    begun = kind.begin("Which is")
    assert kind.read(f"{begun} blue?\n\nResponse:\nA plum is.", True) == PLUM
