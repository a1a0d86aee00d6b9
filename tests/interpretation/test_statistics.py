"""Statistics, compared with those of scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets.interpretation.statistics import (
    adjusted_p,
    auroc,
    balanced_accuracy,
    paired_share_difference,
    sign_test_p,
    wilson,
)


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


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=12))
def test_the_sign_test_is_exact(counts: list[tuple[int, int]]) -> None:
    first, second = np.array(counts, dtype=np.int64).T
    expected = [scipy.stats.binomtest(a, a + b).pvalue if a + b else 1.0 for a, b in counts]
    assert sign_test_p(first, second) == pytest.approx(expected)


def test_the_sign_test_does_not_overflow() -> None:
    found = sign_test_p(np.array([60_000, 10_000]), np.array([40_000, 10_100]))
    assert found == pytest.approx([0, scipy.stats.binomtest(10_000, 20_100).pvalue], rel=1e-8)


@pytest.mark.parametrize(("only_first", "only_second", "n"), [(0, 0, 2), (10, 0, 10), (0, 3, 500), (40, 40, 80)])
def test_the_interval_of_a_paired_difference_holds_it_and_stays_in_bounds(
    only_first: int, only_second: int, n: int
) -> None:
    first, second = (np.array([count], dtype=np.int64) for count in (only_first, only_second))
    difference, low, high = (value[0] for value in paired_share_difference(first, second, n))
    assert difference == (only_first - only_second) / n
    assert -1 <= low <= difference <= high <= 1
    assert low < high, "that no pair differs, or all do alike, is not certain either"


@pytest.mark.parametrize("n", [10, 40, 300])
@pytest.mark.parametrize("shares", [(0.02, 0.01), (0.3, 0.05), (0.4, 0.4), (0.9, 0.0)])
def test_the_interval_of_a_paired_difference_holds_the_truth_as_often_as_it_says(
    n: int, shares: tuple[float, float]
) -> None:
    counts = np.random.default_rng(0).multinomial(n, [*shares, 1 - sum(shares)], size=4_000)
    _, low, high = paired_share_difference(counts[:, 0], counts[:, 1], n)
    truth = shares[0] - shares[1]
    assert ((low <= truth) & (truth <= high)).mean() > 0.93


def test_the_interval_of_a_paired_difference_is_about_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    differences = rng.choice([-1, 0, 1], p=[0.1, 0.65, 0.25], size=400)
    first, second = (np.array([(differences == sign).sum()]) for sign in (1, -1))
    _, low, high = (value[0] for value in paired_share_difference(first, second, 400))
    drawn = rng.choice(differences, size=(4_000, 400)).mean(axis=1)
    assert (low, high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.01)
