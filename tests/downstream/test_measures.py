"""The measures, against values by hand and against scikit-learn."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from fac_datasets.downstream.measures import auprc, best_threshold, f1, pairwise_accuracy

LABELS, SCORES = [1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.4, 0.1]

ROWS = strategies.lists(strategies.tuples(strategies.booleans(), strategies.integers(0, 6)), min_size=1).filter(
    lambda rows: any(label for label, _ in rows)
)


def test_auprc_by_hand() -> None:
    # Precision 1/1, 2/3 and 3/4 where recall grows by a third each.
    assert auprc(LABELS, SCORES) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert auprc([0, 1], [0.9, 0.1]) == 0.5
    assert auprc([0, 1, 1, 0], [0.5] * 4) == 0.5


def test_the_best_threshold_by_hand() -> None:
    # F1 is 1/2, 2/5, 2/3, 6/7 and 3/4 from the first, second, ... score on.
    assert best_threshold(LABELS, SCORES) == 0.4
    assert f1(LABELS, SCORES, 0.4) == pytest.approx(6 / 7)
    assert f1(LABELS, SCORES, 2.0) == 0


def test_ties_of_pairs_count_half() -> None:
    assert pairwise_accuracy([2, 1, 0, 1], [1, 0, 1, 1]) == 0.625


@hypothesis.given(ROWS)
def test_auprc_is_the_average_precision_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    labels, scores = map(np.array, zip(*rows, strict=True))
    assert auprc(labels, scores) == pytest.approx(metrics.average_precision_score(labels, scores))


@hypothesis.given(ROWS)
def test_no_other_threshold_has_a_better_f1_by_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    labels, scores = map(np.array, zip(*rows, strict=True))
    best = f1(labels, scores, best_threshold(labels, scores))
    every = [metrics.f1_score(labels, scores >= threshold, zero_division=0) for threshold in range(8)]
    assert best == pytest.approx(max(every))
