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
    "My brother repaired the violin of our neighbour with glue, two matches and a great deal of luck.",
    "Whoever finds the key of the boathouse may bring it back to the office before noon.",
    "In that village nobody locks a door, since the dogs bark at everyone who is not from there.",
)
"""Of 15 to 17 words."""

SHORT_ROWS = (
    "Our ferry was late because a whale slept in the harbour.",
    "Grandmother hides the chocolate in a drawer under her winter gloves.",
    "Two of the seven lamps in the corridor have been broken since March.",
    "He painted the fence green on Monday, blue on Tuesday and white by Sunday night.",
)
"""Of 10 to 14 words."""

LONG_ROWS = (
    "When the river rose for the third time that spring, the miller tied his boat to the kitchen table.",
    "The museum keeps a letter in which the admiral asks his sister for warm socks, and complains at length of the "
    "bread, the weather and the singing of the cook.",
    "To bake it, mix two cups of rye flour with warm water and leave the bowl near the stove until bubbles rise; then "
    "knead in salt, let the dough rest for an hour under a cloth, and put it into a hot oven.",
)
"""Of 18 to 40 words."""

BEFORE_AND_BEHIND = (
    "As far as I can remember he told us that day: ",
    " Nobody in the room had a word to say to that.",
)

INVISIBLE = {
    "\u034f": "a grapheme joiner",
    "\ufe0f": "a variation selector",
    "\u3164": "a Hangul filler",
    "\u115f": "a leading filler",
    "\u17b4": "a Khmer vowel that is not shown",
    "\u2800": "an empty pattern of Braille",
    "\u180e": "a Mongolian vowel separator",
    "\u200d": "a joiner",
    "\u2060": "a word joiner",
    "\ufeff": "a byte order mark",
    "\U000e0020": "a tag",
    "\u0008": "a control character",
}

SMALL_CAPITALS = str.maketrans(
    "abcdefghijklmnoprstuvwyz",
    "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f"
    "\u1d0d\u0274\u1d0f\u1d18\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22",
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
    (
        "I'm sorry, but I can't help with that request.",
        "You ask how to open your neighbour's letters. I'm sorry, but I can't help with that request. Ask him.",
    ),
    (
        "Please let me know if you have any further questions or concerns.",
        "Dear Mrs Hill, the roof is done, the bill is enclosed. Please let me know if you have any further questions "
        "or concerns. Yours, Tom Baker",
    ),
    (
        "As an AI language model, I don't have personal opinions or feelings.",
        "Which of the two teams do I like better? As an AI language model, I don't have personal opinions or feelings, "
        "but the reds have won more often.",
    ),
    (
        "Thank you for reaching out to us, we appreciate your patience.",
        "Hello Ben! Thank you for reaching out to us, we appreciate your patience. Your parcel is in Lyon.",
    ),
    (
        "If you have any other questions, please don't hesitate to ask.",
        "Turn the valve to the left until it clicks. If you have any other questions, please don't hesitate to ask. "
        "The manual is in the drawer.",
    ),
    (
        "Here are some tips that may help you to get started:",
        "Here are some tips that may help you to get started: buy a cheap set of brushes, and paint every day.",
    ),
    (
        "It's important to note that every situation is different.",
        "It's important to note that every situation is different. Ours began with a goat that had eaten the contract.",
    ),
    (
        "I hope this helps! Let me know if you need anything else.",
        "The cable belongs into the red socket. I hope this helps! Let me know if you need anything else. Bye, Ann.",
    ),
    (
        "I'm not sure what you mean, could you please be more specific?",
        "He wanted the thing from the other day. I'm not sure what you mean, could you please be more specific? "
        "The round one, he said.",
    ),
    (
        "You should always consult a doctor before you start a new diet.",
        "Bears eat berries for weeks. You should always consult a doctor before you start a new diet. Who tells them?",
    ),
    (
        "As an AI language model, I cannot browse the internet for you.",
        "As an AI language model, I cannot tell you which of the two dresses suits your sister better.",
    ),
)
"""Texts that share a phrase and nothing else."""


@pytest.mark.parametrize("row", ROWS)
def test_a_row_with_any_one_word_replaced_is_a_copy(row: str) -> None:
    words = row.split()
    for place in range(len(words)):
        assert copied(" ".join([*words[:place], "zebra", *words[place + 1 :]]), row)


@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize("row", [*ROWS, *SHORT_ROWS, *LONG_ROWS])
def test_so_is_one_with_a_word_put_in_every_four(row: str, phase: int) -> None:
    filled = " ".join(w if (i + phase) % 4 else f"really {w}" for i, w in enumerate(row.split()))
    assert copied(filled, row)
    assert copied(row, filled)


@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize("row", [*ROWS, *LONG_ROWS])
def test_so_it_is_inside_a_longer_text(row: str, phase: int) -> None:
    filled = " ".join(w if (i + phase) % 4 else f"really {w}" for i, w in enumerate(row.split()))
    assert copied(filled.join(BEFORE_AND_BEHIND), row)


@pytest.mark.parametrize("row", [*ROWS, *LONG_ROWS])
def test_so_is_a_longer_text_that_holds_one_with_any_one_word_replaced(row: str) -> None:
    words = row.split()
    for place in range(len(words)):
        assert copied(" ".join([*words[:place], "zebra", *words[place + 1 :]]).join(BEFORE_AND_BEHIND), row)


def test_a_row_as_short_as_a_phrase_is_found_where_it_is_three_quarters_of_the_text() -> None:
    row = SHORT_ROWS[1]
    assert copied(f"Do you know: {row}", row)
    assert not copied(row.join(BEFORE_AND_BEHIND), row)


def test_common_words_far_from_each_other_make_no_copy() -> None:
    row = "At the end of the day we all went home and fell asleep in the barn."
    story = (
        "At the end of the day we all went home. My sister had carried the soup to the men, and the cook of the "
        "inn, who had been on his feet since six, sat down to cards with a guest who fell off his chair whenever "
        "he had won; only at midnight was the last of them asleep. The wind howled for hours, as if someone had "
        "been locked in the barn."
    )
    assert not copied(row, story)


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
        *(" ".join(f"{word[:1]}{unseen}{word[1:]}" for word in ROWS[0].split()) for unseen in INVISIBLE),
        *(ROWS[0].replace(" ", unseen) for unseen in INVISIBLE),
        f"He said: {ROWS[0].replace(' ', chr(0x2060))} And went.",
        "".join(f"{letter}\u0336\u0301" if letter.isalpha() else letter for letter in ROWS[0]),
        ROWS[0].translate(str.maketrans("aeiosdlh", "\u00e4\u00e9\u00ef\u00f8\u015f\u0111\u0142\u0127")),
        ROWS[0].translate(str.maketrans("nou", "\u0578\u0585\u057d")),
        ROWS[0].replace("l", "\u04cf"),
        ROWS[0].replace("l", "\u04c0"),
        ROWS[0].replace("i", "\u0131"),
        ROWS[0].lower().translate(SMALL_CAPITALS),
        ROWS[0]
        .upper()
        .translate(
            str.maketrans("ACDEHLMPRSTW", "\u13aa\u13df\u13a0\u13ac\u13bb\u13de\u13b7\u13e2\u13a1\u13da\u13a2\u13b3")
        ),
        ROWS[0]
        .upper()
        .translate(
            str.maketrans(
                "ADEFGHIMNOPRT", "\ua4ee\ua4d3\ua4f0\ua4dd\ua4d6\ua4e7\ua4f2\ua4df\ua4e0\ua4f3\ua4d1\ua4e3\ua4d4"
            )
        ),
        "".join(chr(ord(c) + 0x1F150 - ord("A")) if c.isalpha() else c for c in ROWS[0].upper()),
        ROWS[0].replace(" ", "_"),
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
        *(f"{name} in every word" for name in INVISIBLE.values()),
        *(f"{name} instead of spaces" for name in INVISIBLE.values()),
        "invisible characters instead of spaces inside a longer text",
        "accents on every letter",
        "letters with accents and strokes",
        "Armenian letters",
        "palochkas",
        "capital palochkas",
        "letters without dot",
        "small capitals",
        "Cherokee letters",
        "Lisu letters",
        "letters in black circles",
        "words joined by underscores",
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
