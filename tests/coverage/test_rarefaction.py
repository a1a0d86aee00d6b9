"""Rarefaction, compared with the mean over all subsets."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets.coverage.rarefaction import expected_coverage
from fac_datasets.coverage.report import coverage_of_ids


def test_rarefaction_is_the_mean_over_all_subsets() -> None:
    report = coverage_of_ids([[0], [0, 1], [2], []], [[0, 1, 2, 3]])
    points = {point.n_rows: point.fac for point in report.rarefaction()}
    # Drawing 1 of 4 rows: feature 0 in 2 of them, 1 and 2 in 1, 3 in none.
    assert points[1] == pytest.approx((2 / 4 + 1 / 4 + 1 / 4 + 0) / 4)
    # Drawing 2 of 4: missed in C(2,2)/C(4,2) = 1/6 and twice C(3,2)/C(4,2) = 1/2 of the draws.
    assert points[2] == pytest.approx((5 / 6 + 1 / 2 + 1 / 2 + 0) / 4)
    assert points[4] == report.fac


def test_rarefaction_of_many_rows_is_finite() -> None:
    counts = np.array([1, 10, 500_000])
    assert 0 < expected_coverage(counts, 1_000_000, 10_000) < 1
