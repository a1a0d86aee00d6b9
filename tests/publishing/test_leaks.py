"""Which synthetic texts stand in an anchor."""

from __future__ import annotations

import time

import pytest

from fac_datasets.publishing.leaks import Leak, find_leaks, find_leaks_of_parts

ANCHOR = [
    "The train to Madrid leaves at nine o'clock from the third platform, said the guard.",
    "Good morning!",
]


def test_a_part_of_an_anchor_row_is_a_leak_whatever_its_case_and_punctuation() -> None:
    text = "the TRAIN to madrid: leaves at nine o'clock from the third platform, said."
    assert find_leaks([text], ANCHOR) == [Leak(0, 0, 1.0)]


def test_a_text_that_nearly_stands_there_is_a_leak() -> None:
    # 14 words, of which the last is another.
    text = "The train to Madrid leaves at nine o'clock from the third platform, perhaps."
    (leak,) = find_leaks(["Unlike all others it is new.", text], ANCHOR)
    assert (leak.row, leak.anchor_row, leak.share) == (1, 0, 13 / 14)


def test_a_text_that_holds_an_anchor_row_is_a_leak() -> None:
    text = f"Question: {ANCHOR[0]} Answer: Yes, it does, unless it is late, as it was on each of the last nine days."
    assert find_leaks([text], ANCHOR) == [Leak(0, 0, 1.0)]


def test_a_text_that_holds_a_phrase_of_the_anchor_is_none() -> None:
    assert (
        find_leaks(["He said: how are you doing today, my friend from the far north?"], ["How are you doing today?"])
        == []
    )


def test_a_text_that_shares_some_words_is_none() -> None:
    assert find_leaks(["The train to Madrid leaves whenever the last of the guests has come."], ANCHOR) == []


def test_a_short_text_is_a_leak_only_where_it_is_the_whole_row() -> None:
    assert find_leaks(["good morning", "the train to Madrid"], ANCHOR) == [Leak(0, 1, 1.0)]


def test_empty_texts_and_empty_anchors_leak_nothing() -> None:
    assert find_leaks(["", "!"], ["", "?"]) == []
    assert find_leaks(["a text of its own, five words"], []) == []


@pytest.mark.alone
def test_the_time_grows_with_the_anchor_and_not_with_its_product() -> None:
    texts = [f"sample {i} has words that stand in no row of the anchor at all" for i in range(2_000)]
    anchor = [f"row {i} of a long anchor speaks of something else in its own words" for i in range(20_000)]
    begin = time.perf_counter()
    assert find_leaks(texts, anchor) == []
    assert time.perf_counter() - begin < 20


def test_each_part_of_a_row_is_looked_for_in_each_part_of_the_anchor() -> None:
    anchor = [["Good morning!", "Good morning to you."], ["Who said that?", ANCHOR[0]]]
    rows = [["Good morning!", "It is noon."], ["When does it leave?", ANCHOR[0].upper()], [ANCHOR[0][:70], "At nine."]]
    assert find_leaks_of_parts(rows, anchor) == [Leak(1, 1, 1.0), Leak(2, 1, 13 / 14)]


def test_a_row_of_one_short_part_is_looked_for_as_before() -> None:
    assert find_leaks_of_parts([["Good morning!"]], [[text] for text in ANCHOR]) == find_leaks(
        ["Good morning!"], ANCHOR
    )
