"""What is a copy of a text, and what merely shares words with it."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets.publishing.leaks import find_leaks
from fac_datasets.synthesis.copying import CopyIndex, copied, shared
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.words import words_of

ROWS = (
    "The train to Madrid leaves at nine from the third platform, said the guard to the children.",
    "She keeps four hens behind the old mill, and sells their eggs at the market on Fridays.",
    "Water the tomatoes early in the morning, before the sun reaches the southern wall of the garden.",
)
"""Of 15 to 17 words."""

BEFORE_AND_BEHIND = (
    "As far as I can remember he told us that day: ",
    " Nobody in the room had a word to say to that.",
)

APART = (
    ("How are you doing today?", "How are you doing today my friend?"),
    ("Thank you very much for your help.", "Thank you very much for your help with the garden, we are all glad of it."),
    ("What is the capital of France?", "What is the capital of Spain?"),
    ("What is the best way to learn a new language?", "What is the best way to learn to play chess?"),
    ("Once upon a time there lived a king.", "Once upon a time there lived two sisters who could not sing."),
    ("I would like to know how to cook rice.", "I would like to know how to fix my bicycle."),
    ("Can you please tell me what time it is?", "Can you please tell me what the weather will be?"),
    ("Write a short story about a dog who learns to fly.", "Write a short story about a cat who learns to swim."),
    ("At the end of the day, it is what it is.", "At the end of the day we all went home tired and wet."),
    ("As a matter of fact, I do not own a car.", "As a matter of fact, the museum opens on Mondays too."),
    ("Let me know if you have any questions.", "Let me know if you have any questions about the lease."),
    ("I am looking forward to hearing from you.", "I am looking forward to hearing from you about the boat we saw."),
    ("On the other hand, the price is far too high.", "On the other hand, nobody has ever climbed it in winter."),
    ("It goes without saying that he was late.", "It goes without saying that the soup has to be served hot."),
    (
        "Explain the difference between a virus and a germ.",
        "Explain the difference between a crocodile and a lizard.",
    ),
    ("Sure, here is a list of ideas for you.", "Sure, here is a list of towns with more than one station."),
    ("I have no idea what you are talking about.", "I have no idea what the dog has done with my other shoe."),
    ("To be honest with you, I did not like the film.", "To be honest with you, these trains have never been on time."),
    ("There is nothing we can do about it now.", "There is nothing we can do about the noise from the harbour."),
    ("In the middle of the night the phone rang.", "In the middle of the night a fox came into the yard and sang."),
    ("What do you think about the new teacher?", "What do you think about moving the piano to the other wall?"),
    ("First of all, wash the potatoes and peel them.", "First of all, nobody told us that the bridge was closed."),
    ("If I were you, I would sell the house.", "If I were you, I would wait until the rain is over and go then."),
    ("Please find attached the report for March.", "Please find attached the drawings of the chapel, as agreed."),
    ("Give me three tips for a good night's sleep.", "Give me three tips for painting a wooden fence in autumn."),
    ("He looked at me and did not say a word.", "He looked at me and then at the two oranges in my hand."),
    ("All you need is a little bit of patience.", "All you need is a little bit of salt and a very hot pan."),
    ("The quick brown fox jumps over the lazy dog.", "The quick brown hen of my uncle lays an egg every other day."),
    ("She said that she would call me back later.", "She said that she would rather walk than wait for the ferry."),
    ("It was the best of times for the young painter.", "It was the best of the nine cakes that we tried that day."),
    ("Summarize the following article in two sentences.", "Translate the following article into Dutch, please."),
    ("Is there a bus to the airport after midnight?", "Is there a bus to the lake, or does one have to walk there?"),
)
"""Texts that share a phrase and nothing else."""


@pytest.mark.parametrize("row", ROWS)
def test_a_row_with_any_one_word_replaced_is_a_copy(row: str) -> None:
    words = row.split()
    for place in range(len(words)):
        assert copied(" ".join([*words[:place], "zebra", *words[place + 1 :]]), row)


@pytest.mark.parametrize("size", range(8, 30))
def test_so_is_any_text_that_is_more_than_a_phrase(size: int) -> None:
    words = [f"word{i}" for i in range(size)]
    for place in range(size):
        assert copied(" ".join([*words[:place], "zebra", *words[place + 1 :]]), " ".join(words))


@pytest.mark.parametrize(
    "disguised",
    [
        "said the guard to the children: from the third platform the train to Madrid leaves at nine!",
        " ".join(f"{word[:1]}\u200b{word[1:]}" for word in ROWS[0].split()),
        " ".join(f"{word}\u200b" for word in ROWS[0].split()),
        ROWS[0].replace(" ", "\u200b"),
        ROWS[0].replace(" ", " \u200b"),
        ROWS[0].replace("a", "\u0430").replace("o", "\u043e"),
        ROWS[0].replace("e", "\u0435", 1),
        ROWS[0].upper().replace(",", " -").replace(" ", "  "),
        "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalpha() else c for c in ROWS[0]),
        ROWS[0].replace("a", "a\u00ad"),
        f"{BEFORE_AND_BEHIND[0]}{ROWS[0]}{BEFORE_AND_BEHIND[1]}",
        ROWS[0].removeprefix("The train to Madrid "),
        " ".join(w if i % 4 else f"really {w}" for i, w in enumerate(ROWS[0].split())),
        " ".join(w if i % 4 < 3 else f"{w} really" for i, w in enumerate(ROWS[0].split())),
    ],
    ids=[
        "clauses in another order",
        "an invisible space in every word",
        "an invisible space behind every word",
        "invisible spaces instead of spaces",
        "invisible spaces beside spaces",
        "Cyrillic letters",
        "one Cyrillic letter",
        "other case and punctuation",
        "letters of full width",
        "soft hyphens",
        "a whole row inside 37 words",
        "a part of a row",
        "a word put in before every four",
        "a word put in behind every four",
    ],
)
def test_what_is_disguised_is_a_copy(disguised: str) -> None:
    assert copied(disguised, ROWS[0])
    assert copied(ROWS[0], disguised)


@pytest.mark.parametrize(("text", "other"), APART)
def test_a_phrase_that_anybody_writes_makes_no_copy(text: str, other: str) -> None:
    assert not copied(text, other)
    assert not copied(other, text)


def test_a_phrase_is_a_copy_only_of_the_same_phrase() -> None:
    assert copied("Good morning!", "good morning")
    assert not copied("Good morning!", "Good morning, everybody.")


def test_texts_without_words_are_no_copies() -> None:
    assert not copied("", "")
    assert not copied("!", "?")


def test_scripts_without_spaces_are_compared_by_character() -> None:
    row = "今天早上火车从三号站台出发去马德里"
    assert copied(f"他说 {row}。", row)
    assert not copied("今天早上", "今天早上火车从三号站台出发去马德里")


WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=20)


@given(WORDS, WORDS)
def test_the_share_does_not_depend_on_which_text_is_which(words: list[str], other: list[str]) -> None:
    assert shared(words, other) == shared(other, words)


@given(st.lists(WORDS, max_size=5), WORDS)
def test_an_index_finds_what_pairs_find(texts: list[list[str]], words: list[str]) -> None:
    index = CopyIndex()
    for text in texts:
        index.add(text)
    found = {match.place: match.share for match in index.matches(words)}
    assert found == {i: shared(text, words) for i, text in enumerate(texts) if copied(" ".join(text), " ".join(words))}


@pytest.mark.parametrize("text", [*ROWS, f"{BEFORE_AND_BEHIND[0]}{ROWS[1]}{BEFORE_AND_BEHIND[1]}"])
def test_what_would_not_be_published_is_not_accepted(text: str) -> None:
    generator = random.Random(0)
    words = text.split()
    for _ in range(50):
        words[generator.randrange(len(words))] = generator.choice(["zebra", "ink", "seven"])
        sample = " ".join(words)
        if find_leaks([sample], ROWS):
            assert Filters(ROWS).reject(sample) == "copy"


@pytest.mark.alone
def test_the_time_does_not_grow_with_the_product_of_texts() -> None:
    index = CopyIndex()
    for i in range(20_000):
        index.add(words_of(f"row {i} of a long anchor speaks of something else in its own words"))
    begin = time.perf_counter()
    for i in range(2_000):
        assert not list(index.matches(words_of(f"sample {i} has words that stand in none of the others at all")))
    assert time.perf_counter() - begin < 5


def test_a_long_text_takes_memory_in_proportion() -> None:
    words = [f"word{i}" for i in range(100_000)]
    index = CopyIndex()
    index.add(words)
    assert [match.share for match in index.matches(words)] == [1.0]
