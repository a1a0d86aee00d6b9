"""Statistics, compared with those of scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets.interpretation.statistics import adjusted_p, auroc, balanced_accuracy, wilson


@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_auroc_is_that_of_scikit_learn(positive: list[int], negative: list[int]) -> None:
    labels = [1] * len(positive) + [0] * len(negative)
    assert auroc(positive, negative) == pytest.approx(sklearn.metrics.roc_auc_score(labels, positive + negative))


@given(st.integers(0, 40), st.integers(1, 40))
def test_the_interval_of_a_share_is_that_of_scipy(successes: int, n: int) -> None:
    successes = min(successes, n)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((successes / n, expected.low, expected.high), abs=1e-9)


def test_the_interval_of_a_balanced_accuracy_covers_it() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2_000):
        found = balanced_accuracy(int(rng.binomial(10, 0.8)), 10, int(rng.binomial(10, 0.6)), 10)
        inside += found.low <= 0.7 <= found.high
    assert 0.93 < inside / 2_000 < 0.995


@given(st.lists(st.floats(0, 1), min_size=1))
def test_adjusted_p_values_are_those_of_scipy(p: list[float]) -> None:
    assert adjusted_p(np.array(p)) == pytest.approx(scipy.stats.false_discovery_control(p))
