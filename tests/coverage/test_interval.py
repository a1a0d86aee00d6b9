"""The interval of a coverage."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets.coverage.interval import ONE_ROW, with_interval
from fac_datasets.coverage.report import coverage_of_ids


def test_the_interval_does_not_depend_on_common_features(rng: np.random.Generator) -> None:
    rows = [rng.choice(200, size=5, replace=False).tolist() for _ in range(100)]
    plain = coverage_of_ids(rows, [list(range(200))], seed=1)
    common = coverage_of_ids([[*row, 200] for row in rows], [list(range(201))], seed=1)
    assert plain.low is not None and common.low is not None
    # The same resamples with one feature more that none of them lacks.
    assert common.fac - common.low == pytest.approx((plain.fac - plain.low) * 200 / 201)


def test_a_single_row_has_no_interval_but_a_reason() -> None:
    report = coverage_of_ids([[1]], [[1, 2]])
    assert (report.fac, report.low, report.high, report.no_interval) == (0.5, None, None, ONE_ROW)
    assert report.to_dict()["no_interval"] == ONE_ROW
    assert with_interval(report.to_dict()) == f"0.500 (no interval: {ONE_ROW})"


def test_two_rows_have_an_interval_and_no_reason() -> None:
    report = coverage_of_ids([[1], [2]], [[1, 2, 3, 4]])
    assert report.low is not None and report.high is not None
    assert report.low < report.fac < report.high
    assert report.no_interval == ""


def test_a_report_of_before_tells_no_reason() -> None:
    assert with_interval({"fac": 0.5, "low": None, "high": None}) == "0.500"
