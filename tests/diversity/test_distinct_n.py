"""Distinct-n and the entropy of n-grams: independent implementations, and properties of any text."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, permutations, text

from fac_datasets import diversity
from tests.diversity.cases import reference_ngrams

sentences = lists(text(alphabet="ab .é", max_size=12), min_size=1, max_size=6)


@settings(max_examples=200)
@given(texts=sentences, n=integers(1, 4))
def test_distinct_and_entropy_of_any_text(texts: list[str], n: int) -> None:
    from scipy.stats import entropy

    flat = [gram for row in reference_ngrams(texts, n) for gram in row]
    values = {**diversity.distinct_n(texts, n), **diversity.ngram_entropy(texts, n)}
    assert values[f"distinct_{n}"] == (len(set(flat)) / len(flat) if flat else 0)
    expected = entropy(list(Counter(flat).values()), base=2) if flat else 0
    assert values[f"ngram_entropy_{n}"] == pytest.approx(expected)
    assert -1e-12 <= values[f"ngram_entropy_{n}_normalized"] <= 1 + 1e-12


@given(texts=sentences, data=permutations(range(6)))
def test_the_order_of_texts_is_of_no_account(texts: list[str], data: list[int]) -> None:
    shuffled = [texts[i] for i in data if i < len(texts)]
    for measure in (diversity.distinct_n, diversity.ngram_entropy):
        assert measure(texts) == pytest.approx(measure(shuffled))


@given(texts=sentences)
def test_repeating_the_whole_corpus_changes_no_distribution(texts: list[str]) -> None:
    once, twice = (diversity.ngram_entropy(rows, 1) for rows in (texts, texts * 2))
    assert twice["ngram_entropy_1"] == pytest.approx(once["ngram_entropy_1"])
    once, twice = (diversity.distinct_n(rows, 1) for rows in (texts, texts * 2))
    assert twice["distinct_1_per_text"] == pytest.approx(once["distinct_1_per_text"])
    assert twice["distinct_1"] == pytest.approx(once["distinct_1"] / 2)


def test_adjusted_distinct_is_the_formula_of_its_paper() -> None:
    values = diversity.distinct_n(["a b a c"], 1, vocabulary_size=10)
    assert values["distinct_1_adjusted"] == pytest.approx(3 / (10 * (1 - 0.9**4)))


def test_uniform_draws_have_an_adjusted_distinct_of_1_at_any_length() -> None:
    generator = np.random.default_rng(0)
    for length in (1_000, 100_000):
        rows = [" ".join(f"w{i}" for i in generator.integers(1_000, size=length))]
        assert diversity.distinct_n(rows, 1, vocabulary_size=1_000)["distinct_1_adjusted"] == pytest.approx(1, abs=0.02)
