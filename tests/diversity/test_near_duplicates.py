"""Near duplicates, compared with all pairs."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pytest

from fac_datasets import diversity
from fac_datasets.diversity.ngrams import words
from fac_datasets.errors import OptionError


def test_near_duplicates_are_those_of_all_pairs() -> None:
    generator = np.random.default_rng(0)
    base = [" ".join(generator.choice(200, size=60).astype(str)) for _ in range(30)]
    close = [text.replace(" ", " x ", 1) for text in base[:10]]
    far = [" ".join(reversed(text.split())) for text in base[:10]]
    texts = [*base, *close, *far]
    shingles = [{tuple(row[i : i + 5]) for i in range(len(row) - 4)} for row in (words(text) for text in texts)]
    alike = {
        i
        for a, b in combinations(range(len(texts)), 2)
        if len(shingles[a] & shingles[b]) >= 0.8 * len(shingles[a] | shingles[b])
        for i in (a, b)
    }
    assert len(alike) == 20
    assert diversity.near_duplicate_rate(texts)["near_duplicate_rate"] == pytest.approx(len(alike) / len(texts))


def test_near_duplicates_at_threshold_1_are_equal_texts() -> None:
    assert diversity.near_duplicate_rate(["a b c", "a b c", "a b d"], threshold=1)["near_duplicate_rate"] == 2 / 3


@pytest.mark.alone
def test_texts_that_are_repeated_often_take_no_longer() -> None:
    started = time.perf_counter()
    assert diversity.near_duplicate_rate(["the same text again and again"] * 20_000)["near_duplicate_rate"] == 1
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("threshold", [0, 1.5])
def test_a_similarity_that_is_none_is_an_error(threshold: float) -> None:
    with pytest.raises(OptionError, match="no Jaccard similarity"):
        diversity.near_duplicate_rate(["a"], threshold=threshold)
