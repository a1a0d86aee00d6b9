"""A/B questions: what is one, turning it round, and splits by claim."""

from __future__ import annotations

import datasets
import pytest

from fac_datasets.downstream.ab_questions import (
    ABQuestion,
    read_question,
    read_questions,
    split_by_claim,
    without_claims_of,
)
from fac_datasets.errors import ColumnError, DatasetError, OptionError

TEA = "Do you like tea?\n\nChoices:\n (A) Yes\n (B) No"


def rows_of(*rows: tuple[str | None, str, str]) -> datasets.Dataset:
    names = ("question", "answer_matching_behavior", "answer_not_matching_behavior")
    return datasets.Dataset.from_list([dict(zip(names, row, strict=True)) for row in rows])


def claims(*names: str) -> list[ABQuestion]:
    return [read_question(TEA, "(A)", "(B)", claim) for claim in names]


def test_a_question_keeps_its_text() -> None:
    assert read_question(TEA, " (A)", " (B)").text == TEA


@pytest.mark.parametrize(
    ("asked", "turned"),
    [
        (TEA, "Do you like tea?\n\nChoices:\n (A) No\n (B) Yes"),
        ("Tea?\n(A)Yes\n (B) No\n\nAnswer:", "Tea?\n(A)No\n (B) Yes\n\nAnswer:"),
        ("Tea?\nA. Yes,\nplease\nB. No", "Tea?\nA. No\nB. Yes,\nplease"),
        ("Is it plan A. or B) then? (A) One (B) Two", "Is it plan A. or B) then? (A) Two (B) One"),
    ],
    ids=["choices", "an answer to come", "lines", "within a line"],
)
def test_turned_round_the_options_change_places_and_the_letters_stay(asked: str, turned: str) -> None:
    question = read_question(asked, "(A)", "(B)")
    assert question.turned.text == turned
    assert (question.turned.matching, question.turned.other) == ("B", "A")
    assert question.turned.turned == question


def test_of_three_options_the_middle_one_keeps_its_letter() -> None:
    question = read_question("Tea?\n (A) Yes\n (B) No\n (C) Maybe", "(C)", "(B)")
    assert (question.turned.matching, question.turned.other) == ("A", "B")
    assert question.turned.text == "Tea?\n (A) Maybe\n (B) No\n (C) Yes"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (("Do you like tea?", "(A)", "(B)"), "no option letters in the question"),
        ((TEA, "Yes", "No"), "an answer that names no option letter of the question"),
        ((TEA, "(C)", "(B)"), "an answer that names no option letter of the question"),
        ((TEA, "(A)", "(A)"), "both answers name the same option"),
        ((None, "(A)", "(B)"), "a cell without text"),
        (("Tea?\n (A) Yes\n (B) ", "(A)", "(B)"), "a choice without text"),
    ],
)
def test_rows_that_are_no_question_are_left_out_and_counted(row: tuple[str | None, str, str], why: str) -> None:
    found = read_questions(rows_of((TEA, "(A)", "(B)"), row))
    assert len(found.questions) == 1
    assert found.left_out == {why: 1}


def test_without_any_question_there_is_an_error_that_says_why() -> None:
    with pytest.raises(DatasetError, match="none of 1 rows is an A/B question: 1 no option letters in the question"):
        read_questions(rows_of(("Do you like tea?", "(A)", "(B)")))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ColumnError, match=r"no column 'answer_not_matching_behavior'.*'answer_matching_behavior'\]"):
        read_questions(rows_of((TEA, "(A)", "(B)")).remove_columns("answer_not_matching_behavior"))


def test_a_missing_column_of_claims_is_named_with_its_option() -> None:
    with pytest.raises(ColumnError, match=r"no column 'topic'.*--claim-column"):
        read_questions(rows_of((TEA, "(A)", "(B)")), "topic")


def test_a_split_by_claim_leaves_no_claim_on_both_sides() -> None:
    questions = claims(*"aabbccddee" * 3)
    first, second = split_by_claim(questions, 0.4, seed=1)
    assert {each.claim for each in first}.isdisjoint({each.claim for each in second})
    assert (len(first), len(second)) == (18, 12)
    assert split_by_claim(questions, 0.4, seed=1) == (first, second)


def test_claims_of_the_other_side_are_left_out() -> None:
    kept, left_out = without_claims_of(claims("a", "b", "c", "a"), claims("a"))
    assert ([each.claim for each in kept], left_out) == (["b", "c"], 2)


def test_without_a_claim_a_question_and_its_turned_form_are_one() -> None:
    assert read_question(TEA, "(A)", "(B)").claim == read_question(TEA, "(A)", "(B)").turned.claim


def test_the_claim_may_be_the_last_sentence_before_the_choices() -> None:
    asked = "Is this so? Tea is hot.\n\nChoices:\n (A) Agree\n (B) Disagree\n\nAnswer:"
    people = ["I am Ann. I like rain.", "I am Bo! Hello."]
    rows = rows_of(*((f"{who} {asked}", "(A)", "(B)") for who in people), (f"I am Cy. {TEA}", "(A)", "(B)"))
    found = read_questions(rows, claim_is_last_sentence=True).questions
    assert [each.claim for each in found] == ["Tea is hot.\nAgree\nDisagree"] * 2 + ["Do you like tea?\nNo\nYes"]
    assert len({each.claim for each in read_questions(rows).questions}) == 3
    with pytest.raises(OptionError, match="give one of them"):
        read_questions(rows, "topic", claim_is_last_sentence=True)


def test_a_claim_column_is_read() -> None:
    rows = rows_of((TEA, "(A)", "(B)")).add_column("topic", ["hot drinks"])
    assert read_questions(rows, "topic").questions[0].claim == "hot drinks"
