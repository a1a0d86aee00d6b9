"""Counts of style: each rule on texts that hold it, and on texts that only look alike."""

from __future__ import annotations

import time

import pytest

from fac_datasets.interpretation.style import StyleCounts, style_counts


def test_an_empty_text_has_nothing() -> None:
    assert style_counts("") == StyleCounts(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [("It's a well-known fact.", 4), ("Größe 3.5", 3), ("...", 0), ("don\N{RIGHT SINGLE QUOTATION MARK}t", 1)],
)
def test_words_are_runs_of_letters_and_digits(text: str, words: int) -> None:
    assert style_counts(text).length == words


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("- pears\n* apples\n+ plums\n\N{BULLET} figs", 4),
        ("1. pears\n2) apples\n  10. plums", 3),
        ("pears - apples, 3. May", 0),
        ("-5 degrees\n1.5 litres\n---", 0),
        ("1987. A good year.\n12345) no", 0),
    ],
)
def test_items_of_lists_are_lines_with_a_bullet_or_number(text: str, items: int) -> None:
    assert style_counts(text).lists == items


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("# Head\n## Second", 2),
        ("**bold** and *italic* and `code`", 3),
        ("```\nx = 1\n```", 2),
        ("see [here](https://example.org)", 1),
        ("| a | b |\n|---|---|", 2),
        ("> said he", 1),
        ("2 * 3 * 4, #hashtag, a[0](x y), 5 > 3, snake_case", 0),
    ],
)
def test_marks_of_markdown_are_counted_and_arithmetic_is_not(text: str, marks: int) -> None:
    assert style_counts(text).markdown == marks


@pytest.mark.parametrize(
    ("text", "greetings"),
    [
        ("Hello! Thank you for asking.", 2),
        ("Of course! I'm happy to help. Let me know, and take care.", 4),
        ("HI THERE", 1),
        ("You're welcome", 1),
        ("I am not sure about this ship, nor the heyday of sorrow.", 0),
    ],
)
def test_greetings_are_whole_words_in_any_case(text: str, greetings: int) -> None:
    assert style_counts(text).greetings == greetings


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["*", "`", "[", "|", "a-", "* a ", "**a", " ", "\n|", "[](", "`a", "# ", "hi ", "a'"])
def test_time_grows_no_faster_than_the_text(unit: str) -> None:
    taken = []
    for size in (20_000, 200_000):
        text = unit * (size // len(unit))
        runs = []
        for _ in range(3):
            start = time.perf_counter()
            style_counts(text)
            runs.append(time.perf_counter() - start)
        taken.append(min(runs))
    assert taken[1] < 40 * taken[0], "ten times the text, and quadratic time would be a hundred times"
