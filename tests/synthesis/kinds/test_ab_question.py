"""Questions with choices, and the answers that show a behaviour or do not."""

from __future__ import annotations

import pytest

from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.samples import Rejected, Sample
from tests.synthesis.kinds.seeds import QUESTIONS, of

QUESTION = "Which is blue?\n\nChoices:\n (A) A plum\n (B) A fig"


@pytest.mark.parametrize("matching", ["(B)", " (B)", "B", "b", "(B) A fig", "B. A fig", "A fig"])
@pytest.mark.parametrize("other", ["(A)", "A plum"])
def test_an_answer_names_a_choice_in_the_manner_of_the_seed(matching: str, other: str) -> None:
    kind = recognise(QUESTIONS["letters"])
    found = kind.read(f"Question: {QUESTION}\nMatching answer: {matching}\nOther answer: {other}", True)
    assert isinstance(found, Sample)
    assert kind.cells(found) == {
        "question": QUESTION,
        "answer_matching_behavior": " (B)",
        "answer_not_matching_behavior": " (A)",
    }


def test_choices_are_listed_in_the_manner_of_the_seed() -> None:
    kind = recognise(QUESTIONS["letters"])
    listed = "Which is blue?\nA) A plum\nB) A fig"
    found = kind.read(f"Question and choices:\n{listed}\nMatching answer: A\nOther answer: B", True)
    assert isinstance(found, Sample)
    assert found.texts["question"] == "Which is blue?\n (A) A plum\n (B) A fig"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (f"Question: {QUESTION}\nMatching answer: (C)\nOther answer: (A)", "answer is none of the choices"),
        (f"Question: {QUESTION}\nMatching answer: (A)\nOther answer: A plum", "same answer on both sides"),
        ("Question: Which is blue?\nMatching answer: (A)\nOther answer: (B)", "no two choices"),
        ("Question: Which?\n (A) A plum\nMatching answer: (A)\nOther answer: (B)", "no two choices"),
        ("Question: Which?\n (A) A plum\n (B) A Plum\nMatching answer: (A)\nOther answer: (B)", "no two choices"),
        (f"Question: {QUESTION}\n (C)\nMatching answer: (A)\nOther answer: (B)", "a choice without text"),
        (f"Question: {QUESTION}", "no matching"),
        (f"Question: {QUESTION}\nMatching answer:", "no matching"),
        (f"Question: {QUESTION}\n (C) A pear\nMatching answer: (A)", "no not matching"),
    ],
)
def test_what_is_no_such_question_is_rejected(answer: str, reason: str) -> None:
    assert recognise(QUESTIONS["letters"]).read(answer, True) == Rejected(reason)


def test_answers_of_texts_stay_texts() -> None:
    kind = recognise(QUESTIONS["texts"])
    found = kind.read("Question: Which is blue?\nMatching: A plum.\nNot matching: A fig.", True)
    assert isinstance(found, Sample)
    assert list(kind.cells(found).values()) == ["Which is blue?", "A plum.", "A fig."]


def test_questions_that_begin_with_that_word_are_examples() -> None:
    row = {
        "question": f"Question: {QUESTION}\n\nAnswer:",
        "answer_matching_behavior": " (A)",
        "answer_not_matching_behavior": " (B)",
    }
    seed = of([row])
    kind = recognise(seed)
    sample = kind.sample_of(row)
    assert sample is not None
    assert kind.read(kind.show(sample), True, sample) == sample
    assert kind.cells(sample) == row


def test_of_two_choices_the_other_follows() -> None:
    kind = recognise(QUESTIONS["letters"])
    for answer in (f"Question: {QUESTION}\nMatching answer: (B)", f"Question: {QUESTION}\n\nAnswer: (B) A fig"):
        found = kind.read(answer, False)
        assert isinstance(found, Sample)
        assert list(kind.cells(found).values())[1:] == [" (B)", " (A)"]


@pytest.mark.parametrize(
    ("answer", "finished", "begun"),
    [
        ("Which is blue?", True, "Which is blue?\n\nChoices:\n (A)"),
        ("Which is blue? I", False, "Which is blue?\n\nChoices:\n (A)"),
        ("Which is blue?\nChoices:\n(A", False, "Which is blue?\n\nChoices:\n (A)"),
        ("Which is blue?\n (A) A pl", False, "Which is blue?\n\nChoices:\n (A)"),
        ("Which is blue?\n (A) A plum", True, "Which is blue?\n (A) A plum\n (B)"),
        ("Which is blue?\n (A) A plum\n (B) A", False, "Which is blue?\n (A) A plum\n (B)"),
        ("Which is blue?\nMatching answer: (A)\nOther answer: (B)", True, "Which is blue?\n\nChoices:\n (A)"),
        (QUESTION, True, f"{QUESTION}\n\nMatching answer:\n"),
        (f"{QUESTION}\nMatching answer: (A)", True, ""),
    ],
)
def test_a_question_without_two_choices_is_gone_on_with_in_the_manner_of_the_seed(
    answer: str, finished: bool, begun: str
) -> None:
    kind = recognise(QUESTIONS["letters"])
    expected = f"Question and choices:\n{begun}" if begun else ""
    assert kind.lacking(f"Question and choices:\n{answer}", finished) == expected
