"""Cosine distance of pairs, compared with the mean over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from fac_datasets import diversity
from tests.diversity.cases import vectors


@pytest.mark.parametrize(("n", "d"), [(2, 3), (50, 8), (1000, 384)])
def test_pair_cosdist_is_the_mean_of_all_pairs(n: int, d: int) -> None:
    from sklearn.metrics.pairwise import cosine_distances

    rows = vectors(n, d)
    expected = cosine_distances(rows.astype(np.float64))[np.triu_indices(n, 1)].mean()
    assert diversity.pair_cosdist(rows)["pair_cosdist"] == pytest.approx(expected, abs=1e-6)
    assert diversity.pair_cosdist(rows.tolist())["pair_cosdist"] == pytest.approx(expected, abs=1e-6)


@given(rows=lists(lists(floats(-5, 5), min_size=3, max_size=3).filter(lambda r: np.linalg.norm(r) > 0.01), min_size=2))
def test_pair_cosdist_lies_between_0_and_2(rows: list[list[float]]) -> None:
    assert 0 <= diversity.pair_cosdist(rows)["pair_cosdist"] <= 2


def test_rows_that_are_equal_have_no_distance() -> None:
    assert diversity.pair_cosdist([[3.0, 4.0]] * 5)["pair_cosdist"] == pytest.approx(0, abs=1e-7)
    assert diversity.pair_cosdist([[3.0, 4.0]])["pair_cosdist"] == 0
