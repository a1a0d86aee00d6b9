"""The measures, against values by hand."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from fac_datasets.downstream.measures import auprc, best_threshold, f1, pairwise_accuracy

pytest.importorskip("sklearn")

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


def test_of_equal_thresholds_the_highest_is_chosen() -> None:
    # One of one at 0.9, and two of three at 0.5: F1 is 2/3 and 4/5; of [1, 0, 0, 1] it is 2/3 at 0.9 and at 0.1.
    assert best_threshold([1, 0, 1], [0.9, 0.7, 0.5]) == 0.5
    assert best_threshold([1, 0, 0, 1], [0.9, 0.7, 0.5, 0.1]) == 0.9


def test_ties_of_pairs_count_half() -> None:
    assert pairwise_accuracy([2, 1, 0, 1], [1, 0, 1, 1]) == 0.625


@hypothesis.given(ROWS)
def test_no_other_threshold_has_a_better_f1(rows: list[tuple[bool, int]]) -> None:
    labels, scores = map(np.array, zip(*rows, strict=True))
    best = f1(labels, scores, best_threshold(labels, scores))
    every = []
    for threshold in range(7):
        called = scores >= threshold
        every.append(2 * int((labels & called).sum()) / int(labels.sum() + called.sum()))
    assert best == pytest.approx(max(every))
