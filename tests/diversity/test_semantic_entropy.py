"""Entropy over clusters that were planted."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets import diversity
from fac_datasets.errors import OptionError


def test_semantic_entropy_counts_planted_clusters() -> None:
    from scipy.stats import entropy

    centres = np.eye(5)[:4] * 10
    sizes = [40, 20, 10, 10]
    rows = np.repeat(centres, sizes, axis=0) + np.random.default_rng(0).normal(scale=0.1, size=(80, 5))
    values = diversity.semantic_entropy(rows, k=4)
    assert values["semantic_entropy"] == pytest.approx(entropy(sizes, base=2))
    assert values["semantic_entropy_normalized"] == pytest.approx(entropy(sizes, base=2) / 2)
    assert diversity.semantic_entropy(rows, k=4, seed=0) == values


def test_fewer_different_rows_than_clusters_are_as_many_clusters_as_there_are() -> None:
    with pytest.warns(UserWarning, match="distinct clusters"):
        values = diversity.semantic_entropy([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5, k=5)
    assert values["semantic_entropy"] == pytest.approx(1)


def test_clusters_that_cannot_be_are_an_error() -> None:
    with pytest.raises(OptionError, match="choose a whole number of at least 1"):
        diversity.semantic_entropy([[1.0, 0.0]] * 3, k=0)
    with pytest.raises(OptionError, match=r"choose k in \[1, 3\]"):
        diversity.semantic_entropy([[1.0, 0.0]] * 3, k=4)
