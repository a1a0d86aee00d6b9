"""What stands around a text is taken off and named, and what is no text is named instead of kept."""

from __future__ import annotations

import pytest

from fac_datasets.generation import Answer, Completion, Outcome, answer_of, plain_answer
from fac_datasets.generation.answers import whole_characters

AROUND = ("preface", "closing remark")


@pytest.mark.parametrize(
    ("answer", "taken_off"),
    [
        ("Boil the rice.", ()),
        ("  Boil the rice.\n", ()),
        ("<think>They like\ncooking.</think>\n\nBoil the rice.", ("reasoning",)),
        ("They like cooking.\n</think>\n\nBoil the rice.", ("reasoning",)),
        ("<think>One.</think><think>Two.</think>Boil the rice.", ("reasoning",)),
        ("<reasoning>Hm.</reasoning> Boil the rice.", ("reasoning",)),
        ("[THINK]Hm.[/THINK]Boil the rice.", ("reasoning",)),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Boil the rice."
            "<|return|>",
            ("reasoning", "end token"),
        ),
        ("```\nBoil the rice.\n```", ("code fence",)),
        ("```text\nBoil the rice.\n```\n", ("code fence",)),
        ("```text\nBoil the rice.", ("code fence",)),
        ("Boil the rice.<|im_end|>", ("end token",)),
        ("Boil the rice.</s>", ("end token",)),
        ("Boil the rice.<|im_end|>\n<|endoftext|>", ("end token",)),
        ("Boil the rice.<end_of_turn>\n", ("end token",)),
        ("Boil the rice.\ufffd", ("half a character",)),
        ("Sure! Here is another text: Boil the rice. Let me know if I can help.", AROUND),
        ("Sure! Here is another text:\n\nBoil the rice.\n\nLet me know what you think!", AROUND),
        ("Certainly! Here\u2019s a new example:\n\n---\n\nBoil the rice.\n\n---\n\nI hope this helps!", AROUND),
        ("Sure, I'd be happy to help! Here is one:\n\nBoil the rice.", ("preface",)),
        ("Sure!\n\nBoil the rice.", ("preface",)),
        ("Here's a short text in the same style:\n\nBoil the rice.", ("preface",)),
        ('Here is one more sentence: "Boil the rice."', ("preface", "quotation marks")),
        ("Sure! Here is a text:\n```\nBoil the rice.\n```\nWould you like another?", (*AROUND, "code fence")),
        ("Boil the rice.\n\nLet me know if you'd like another one.", ("closing remark",)),
        ("Gerne! Hier ist ein weiterer Text:\n\nBoil the rice.", ("preface",)),
        ("Bien sûr ! Voici un autre texte :\n\nBoil the rice.", ("preface",)),
        ("¡Claro! Aquí tienes otro texto: Boil the rice.", ("preface",)),
    ],
)  # fmt: skip
def test_what_stands_around_a_text_is_taken_off(answer: str, taken_off: tuple[str, ...]) -> None:
    assert plain_answer(answer) == Answer("Boil the rice.", None, taken_off)


@pytest.mark.parametrize(
    "text",
    [
        "Here is a recipe for rice:\n1. Boil it.",
        "Sure, I will come. Here is the plan: we meet at noon.",
        "Dear Ann,\n\nI arrive at noon.\n\nLet me know if that is too late.",
        "I'm sorry, but I can't come to the party tonight.",
        "Use `a < b` and `b > a`; in F# pipe with <| or |>.",
        "It cost <b>5</b> dollars, or <s>6</s>.",
        "Run this:\n```python\nprint(1)\n```\nand look.",
        '"Boil the rice," she said.',
        "Naïve 中文 😀 \u200d text\twith a tab.",
        "Okay.",
    ],
)
def test_a_text_that_only_looks_like_it_stays(text: str) -> None:
    assert plain_answer(text) == Answer(text)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", Outcome.EMPTY),
        ("\n ", Outcome.EMPTY),
        ("```\n```", Outcome.EMPTY),
        ("Here is a harmful question:", Outcome.EMPTY),
        ("<|im_end|>", Outcome.EMPTY),
        ("<think>They like cooking, so", Outcome.REASONING),
        ("<think>They like cooking.</think>", Outcome.REASONING),
        ("Boil <think>or fry?", Outcome.REASONING),
        ("<|channel|>analysis<|message|>They like", Outcome.REASONING),
        ("I'm sorry, but I can't help with that.", Outcome.DECLINED),
        ("<think>Harmful.</think>I cannot assist with this request.", Outcome.DECLINED),
        ("Boil.<|im_end|>\n<|im_start|>user\nMore", Outcome.TEMPLATE),
        ("[INST] Boil the rice. [/INST] Done.", Outcome.TEMPLATE),
        ("<start_of_turn>model\nBoil the rice.", Outcome.TEMPLATE),
        ("Boil <|eot_id|> the rice.", Outcome.TEMPLATE),
        ("Boil <\uff5cend\u2581of\u2581sentence\uff5c> the rice.", Outcome.TEMPLATE),
        ("Boil\x00 the rice.", Outcome.DAMAGED),
        ("Boil \ud83d the rice.", Outcome.DAMAGED),
        ("Boil \ufffd the rice.", Outcome.DAMAGED),
        ("\x1b[1mBoil\x1b[0m the rice.", Outcome.DAMAGED),
    ],
)
def test_what_is_no_text_is_named(answer: str, problem: Outcome) -> None:
    found = plain_answer(answer)
    assert (found.text, found.problem) == ("", problem)


@pytest.mark.parametrize(
    ("completion", "outcome"),
    [
        (Completion("Boil.", 2, True), Outcome.FINISHED),
        (Completion("Boil", 2, False), Outcome.CUT),
        (Completion(" ", 0, True), Outcome.EMPTY),
        (Completion("", 0, False, refusal="HTTP 400"), Outcome.REFUSED),
        (Completion("Boil", 2, False, problem="stopped by a content filter"), Outcome.FILTERED),
    ],
)
def test_a_completion_has_one_outcome(completion: Completion, outcome: Outcome) -> None:
    assert completion.outcome is outcome
    answer = answer_of(completion)
    assert (answer.problem is None) == (outcome in (Outcome.FINISHED, Outcome.CUT)) == bool(answer.text)


def test_halves_of_a_character_meet_or_are_replaced() -> None:
    assert whole_characters("\ud83d\ude00 and \ude00 and \ud83d") == "\U0001f600 and \ufffd and \ufffd"
    assert whole_characters("plain 😀") == "plain 😀"
