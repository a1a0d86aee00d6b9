"""The interval of a coverage."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets.coverage.report import coverage_of_ids


def test_the_interval_does_not_depend_on_common_features(rng: np.random.Generator) -> None:
    rows = [rng.choice(200, size=5, replace=False).tolist() for _ in range(100)]
    plain = coverage_of_ids(rows, [list(range(200))], seed=1)
    common = coverage_of_ids([[*row, 200] for row in rows], [list(range(201))], seed=1)
    assert plain.low is not None and common.low is not None
    # The same resamples with one feature more that none of them lacks.
    assert common.fac - common.low == pytest.approx((plain.fac - plain.low) * 200 / 201)
