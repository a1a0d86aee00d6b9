"""The features of a judged table that count."""

from __future__ import annotations

import pytest

from fac_datasets import coverage
from fac_datasets.errors import (
    FeatureSpaceMismatch,
)
from tests.coverage.cases import judged, space, table


def test_the_relevant_features_of_a_table_count_whatever_its_cut_off() -> None:
    rows, anchor = table([{1: 3.0}]), table([{1: 3.0, 2: 3.0, 3: 3.0}])
    for cut_off in (0, 0.5):
        report = coverage(rows, anchor, threshold=1, features=judged(space(threshold=str(cut_off)), 1, 2))
        assert (report.fac, report.relevant.tolist()) == (0.5, [1, 2])


def test_a_table_of_another_space_says_nothing_of_these_rows() -> None:
    rows = table([{1: 3.0}])
    with pytest.raises(FeatureSpaceMismatch):
        coverage(rows, rows, threshold=1, features=judged(space(layer=4), 1))
