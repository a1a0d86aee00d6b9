"""Samples that nearly repeat a known text are rejected, also those that are no copies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fac_datasets.synthesis.copying import copied
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.base import Sample
from fac_datasets.synthesis.filters.copy import Copy
from fac_datasets.synthesis.filters.near_duplicate import NearDuplicate
from fac_datasets.synthesis.words import runs_of_words, words_of

NEAR = [
    ("The weather is very nice today.", "The weather is nice today."),
    ("Can you recommend good restaurants?", "Can you recommend a good restaurant?"),
    ("How does one bake breads at home?", "How does one bake bread at homes?"),
    ("What is the abbreviation of South Carolina?", "What is the abbreviation of North Carolina?"),
    (
        "The chef slowly boiled the rice in salted waters and tasted the sauces.",
        "The chefs slowly boil the rice in salted water and taste the sauce.",
    ),
    (
        "Write a short poem about a cat that always loves the rain.",
        "Write a short poem about a dog that always loves the snow.",
    ),
]

APART = [
    ("What is the capital of France?", "What is the capital of Spain?"),
    ("How are you doing today my friend?", "How are you doing today?"),
    ("I would like two cups of coffee, please.", "I would like a room with a view, please."),
    ("The train to Madrid leaves at nine.", "The bus to the airport leaves at ten."),
]


@pytest.mark.parametrize(("text", "known"), NEAR)
def test_a_near_duplicate_is_found_that_is_no_copy(text: str, known: str) -> None:
    assert not copied(text, known)
    assert Filters([known]).reject(text) == "near duplicate"
    assert Filters([text]).reject(known) == "near duplicate"


@pytest.mark.parametrize(("text", "known"), APART)
def test_texts_that_say_different_things_pass(text: str, known: str) -> None:
    assert Filters([known]).reject(text) is None


@given(st.permutations(range(26)), st.integers(5, 26), st.integers(0, 4), st.integers(0, 4))
def test_what_shares_its_runs_of_words_is_a_copy_already(order: list[int], size: int, cut: int, put: int) -> None:
    known = [chr(ord("a") + place) * 3 for place in order[:size]]
    words = [*known[min(cut, size - 5) :], *(f"more{number}" for number in range(put))]
    runs, known_runs = set(runs_of_words(words)), set(runs_of_words(known))
    assume(len(runs & known_runs) >= 0.8 * len(runs | known_runs))
    copy = Copy()
    copy.add(known)
    assert copy.rejects(Sample(" ".join(words), words))


def test_an_exact_duplicate_is_a_copy_whatever_its_length() -> None:
    assert Filters(["How are you?"]).reject("how ARE you") == "copy"


def test_earlier_samples_are_known_too() -> None:
    filters = Filters(["The cat sat on the mat."])
    assert filters.reject("What state is Maine in?") is None
    filters.add("What state is Maine in?")
    assert filters.reject("What state is Paine in?") == "near duplicate"


def test_disguises_make_no_difference() -> None:
    assert (
        Filters(["The weather is nice today."]).reject("THE w\u0435ather is; v\u00e9ry nice, today!")
        == "near duplicate"
    )


@pytest.mark.slow
def test_every_process_finds_the_same() -> None:
    code = (
        "from fac_datasets.synthesis.filters import Filters\n"
        f"print([Filters([known]).reject(text) for text, known in {NEAR + APART!r}])"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found == [f"{['near duplicate'] * len(NEAR) + [None] * len(APART)}\n"] * 2


@pytest.mark.slow
def test_ten_thousand_texts_are_known_in_seconds() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size)) for size in rng.integers(2, 9, 5_000)]
    texts = [" ".join(words[place] for place in rng.zipf(1.3, 30) % 5_000) for _ in range(10_000)]
    start = time.perf_counter()
    near_duplicate = NearDuplicate()
    for text in texts:
        near_duplicate.add(words_of(text))
    assert all(near_duplicate.rejects(Sample(text, words_of(text))) for text in texts[:500])
    assert time.perf_counter() - start < 60
