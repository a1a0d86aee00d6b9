"""The ways to choose rows that studies compare with: each does what it says, on texts and on real instructions."""

from __future__ import annotations

import os
import sys
from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets.errors import MissingExtra, OptionError
from tests.benchmarks.data import USER_INSTRUCTIONS
from tests.benchmarks.rivals import (
    RIVALS,
    Pool,
    Rival,
    greedy_of_2502_14050,
    kmeans_on_embeddings,
    longest_first,
    novelsum_greedy,
    random_rows,
    semhash_representatives,
)
from tests.coverage.cases import space

COOKING = ["Boil the rice.", "Boil the pasta in salted water.", "Boil the rice in a pot.", "Fry the rice with eggs."]
WEATHER = ["It rains in Madrid.", "It rains in Paris today.", "Will it rain in Madrid tomorrow?"]
CODE = ["Sort a list in Python.", "Write a Python function that sorts a list.", "Sort a Python list by its numbers."]
TEXTS = COOKING + WEATHER + CODE
TOPICS = ["cooking"] * len(COOKING) + ["weather"] * len(WEATHER) + ["code"] * len(CODE)

EMBEDS = ("kmeans_on_embeddings", "semhash_representatives", "novelsum_greedy")


def pool_of(texts: list[str], features: list[list[int]] | None = None) -> Pool:
    """Texts whose words are their tokens and, unless they are given, their features."""
    words = sorted({word for text in texts for word in text.split()})
    features = features or [sorted({words.index(word) for word in text.split()}) for text in texts]
    columns = {
        "text": texts,
        "feature_ids": features,
        "feature_activations": [[3.0] * len(ids) for ids in features],
        "feature_tokens": [len(text.split()) for text in texts],
        "feature_space": [space()] * len(texts),
    }
    return Pool.of(datasets.Dataset.from_dict(columns), threshold=1, column="text")


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name in EMBEDS else ()) for name in RIVALS])
def rival(request: pytest.FixtureRequest) -> Rival:
    if request.param == "semhash_representatives":
        pytest.importorskip("semhash", reason="semhash is installed apart")
    return RIVALS[request.param]


def test_as_many_different_rows_are_chosen_as_were_asked_for(rival: Rival) -> None:
    pool = pool_of(TEXTS)
    for size in (1, 4, 10):
        chosen = rival(pool, size, 0)
        assert len(set(chosen)) == len(chosen) == size
        assert set(chosen) <= set(range(10))


def test_the_same_seed_chooses_the_same_rows(rival: Rival) -> None:
    pool = pool_of(TEXTS)
    assert rival(pool, 4, 1) == rival(pool, 4, 1)


@pytest.mark.parametrize("size", [0, 11])
@pytest.mark.parametrize("choose", RIVALS.values(), ids=RIVALS.keys())
def test_more_rows_than_there_are_or_none_cannot_be_chosen(choose: Rival, size: int) -> None:
    with pytest.raises(OptionError, match=rf"size={size} rows of 10 cannot be chosen; choose 1 to 10"):
        choose(pool_of(TEXTS), size, 0)


@pytest.mark.skipif("FAC_DATASETS_DATA" not in os.environ, reason="needs real instructions (FAC_DATASETS_DATA)")
def test_real_instructions_are_chosen_from(rival: Rival) -> None:
    pool = pool_of([row["instruction"] for row in USER_INSTRUCTIONS.rows()])
    chosen = rival(pool, 40, 0)
    assert len(set(chosen)) == len(chosen) == 40


def test_another_seed_draws_other_rows_and_smaller_draws_are_part_of_larger_ones() -> None:
    pool = pool_of(TEXTS)
    assert random_rows(pool, 10, 0) != random_rows(pool, 10, 1)
    assert random_rows(pool, 3, 0) == random_rows(pool, 10, 0)[:3]


def test_the_longest_rows_come_first_and_of_equal_ones_the_lower() -> None:
    assert longest_first(pool_of(["a b", "a", "a b c", "b c"]), 4, 0) == [2, 0, 3, 1]


@pytest.mark.slow
def test_the_row_nearest_to_each_centre_is_of_its_topic() -> None:
    chosen = kmeans_on_embeddings(pool_of(TEXTS), 3, 0)
    assert {TOPICS[row] for row in chosen} == {"cooking", "weather", "code"}


@pytest.mark.slow
def test_rows_of_equal_texts_are_each_chosen_once_by_kmeans() -> None:
    assert sorted(kmeans_on_embeddings(pool_of(["Boil the rice."] * 3), 3, 0)) == [0, 1, 2]


@pytest.mark.slow
def test_semhash_takes_one_of_equal_texts() -> None:
    pytest.importorskip("semhash", reason="semhash is installed apart")
    assert sorted(semhash_representatives(pool_of(["Boil the rice."] * 3 + WEATHER), 6, 0)) == [0, 3, 4, 5]


def test_without_semhash_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "semhash", None)
    with pytest.raises(MissingExtra, match=r"pip install semhash==0\.5\.0"):
        semhash_representatives(pool_of(CODE), 1, 0)


def embed(monkeypatch: pytest.MonkeyPatch, vectors: Any) -> Pool:
    """A pool of rows with these embeddings."""
    monkeypatch.setattr("tests.benchmarks.rivals.embeddings_of", lambda texts: np.asarray(vectors))
    return pool_of([f"text {row}" for row in range(len(vectors))])


def test_each_row_has_the_largest_term_of_novelsum_among_those_chosen_and_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = novelsum_greedy(embed(monkeypatch, vectors), 12, 0)

    def term(row: int, others: list[int]) -> float:
        nearest = sorted([0.0, *(1 - units[row] @ units[other] for other in others)])
        weights = [1 / rank for rank in range(1, len(nearest) + 1)]
        squared = sorted(2 - 2 * units[row] @ units[other] for other in range(30) if other != row)[:10]
        novelty = sum(w * d for w, d in zip(weights, nearest, strict=True)) / sum(weights)
        return float(np.mean(squared) ** -0.5 * novelty)

    for place in range(1, 12):
        left = [row for row in range(30) if row not in chosen[:place]]
        assert chosen[place] == max(left, key=lambda row: term(row, chosen[:place]))


def test_novelsum_prefers_a_row_of_a_crowd_to_a_lone_one_as_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = [[0.0, 1.0, 0.01 * place] for place in range(11)]
    lone = [[0.0, 0.0, -1.0]]
    chosen = novelsum_greedy(embed(monkeypatch, [[1.0, 0.0, 0.0], *crowd, *lone]), 2, _seed_that_draws(0, of=13))
    assert chosen[0] == 0
    assert chosen[1] in range(1, 12)


def _seed_that_draws(row: int, of: int) -> int:
    return next(seed for seed in range(1000) if np.random.default_rng(seed).integers(of) == row)


def greedily(texts: list[str], features: list[list[int]]) -> Any:
    return greedy_of_2502_14050(pool_of(texts, features), len(texts), 0)


def test_greedy_takes_the_longest_row_that_brings_a_feature() -> None:
    texts = ["a b c d", "a b c", "a b", "a"]
    assert greedily(texts, [[1, 2], [1], [1, 3], [4, 5, 6]])[:3] == [0, 2, 3]


def test_greedy_forgets_the_features_once_no_row_brings_any() -> None:
    texts = ["a b c d", "a b c", "a b", "a"]
    assert greedily(texts, [[1, 2], [1], [1], [2]]) == [0, 1, 3, 2]


def test_greedy_takes_rows_without_features_last() -> None:
    assert greedily(["a b c", "a b", "a"], [[], [1], [1]]) == [1, 2, 0]


def test_greedy_covers_all_features_before_any_row_is_taken_for_none() -> None:
    generator = np.random.default_rng(0)
    features = [sorted({*generator.integers(0, 60, 6).tolist()}) for _ in range(80)]
    texts = ["word " * int(length) for length in generator.integers(1, 30, 80)]
    chosen = greedily(texts, features)
    assert sorted(chosen) == list(range(80))
    covered: set[int] = set()
    while covered != {i for ids in features for i in ids}:
        row = chosen.pop(0)
        assert not covered >= {*features[row]}
        covered |= {*features[row]}
