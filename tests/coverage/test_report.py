"""Coverage on sets of feature ids and on feature columns."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from hypothesis import given

from fac_datasets import coverage
from fac_datasets.coverage.report import coverage_of_ids
from fac_datasets.errors import (
    CalibrationMissing,
    DatasetError,
    FeatureSpaceMismatch,
    ThresholdBelowStored,
)
from tests.coverage.cases import rows_of_ids, space, table


def test_a_hand_computed_example() -> None:
    report = coverage_of_ids([[1, 2], [2, 9]], [[1, 2, 3], [3, 4], [3]])
    assert report.fac == 0.5
    assert report.covered.tolist() == [1, 2]
    assert report.relevant.tolist() == [1, 2, 3, 4]
    assert report.missing.tolist() == [3, 4]


def test_missing_features_of_most_anchor_rows_come_first() -> None:
    report = coverage_of_ids([[0]], [[0, 5], [5, 7], [7, 2], [7]])
    assert report.missing.tolist() == [2, 5, 7]
    assert report.to_dict()["missing"] == [7, 5, 2]


def test_features_restrict_what_counts() -> None:
    report = coverage_of_ids([[1]], [[1, 2, 3]], features=[1, 2, 11])
    assert (report.fac, report.relevant.tolist()) == (0.5, [1, 2])


@given(rows_of_ids, rows_of_ids.filter(lambda rows: any(rows)))
def test_fac_is_a_share_inside_its_interval(dataset: list[list[int]], anchor: list[list[int]]) -> None:
    report = coverage_of_ids(dataset, anchor)
    assert report.low is not None and report.high is not None
    assert 0 <= report.low <= report.fac <= report.high <= 1
    brute_force = {i for row in dataset for i in row} & {i for row in anchor for i in row}
    assert set(report.covered.tolist()) == brute_force


@given(rows_of_ids.filter(lambda rows: any(rows)))
def test_an_anchor_covers_itself(anchor: list[list[int]]) -> None:
    assert coverage_of_ids(anchor, anchor).fac == 1


def test_coverage_of_columns_applies_the_threshold() -> None:
    dataset, anchor = table([{1: 3.0, 2: 1.0}]), table([{1: 2.5, 2: 2.5}, {3: 0.6}])
    report = coverage(dataset, anchor, threshold=2)
    assert (report.fac, report.missing.tolist()) == (0.5, [2])
    assert report.dataset.tokens == 2
    assert report.anchor.rows == 2


def test_names_of_a_space_do_not_matter_but_its_layer_does() -> None:
    dataset = table([{1: 3.0}])
    assert coverage(dataset, table([{1: 3.0}], space(sae="renamed")), threshold=1).fac == 1
    with pytest.raises(FeatureSpaceMismatch):
        coverage(dataset, table([{1: 3.0}], space(layer=4)), threshold=1)


def test_rows_of_two_spaces_in_one_dataset_are_refused() -> None:
    mixed = datasets.concatenate_datasets([table([{1: 3.0}]), table([{1: 3.0}], space(layer=4))])
    with pytest.raises(FeatureSpaceMismatch):
        coverage(mixed, mixed, threshold=1)


def test_a_selection_of_rows_is_measured_not_the_table_behind_it() -> None:
    rows = table([{1: 3.0}, {2: 3.0}])
    assert coverage(rows.select([0]), rows, threshold=1).covered.tolist() == [1]


def test_a_threshold_below_the_stored_cut_off_is_refused() -> None:
    with pytest.raises(ThresholdBelowStored, match=r"cut-off 0\.5"):
        coverage(table([{1: 3.0}]), table([{1: 3.0}]), threshold=0.4)


def test_a_quantile_without_calibration_names_the_command() -> None:
    with pytest.raises(CalibrationMissing, match="fac-datasets sae calibrate"):
        coverage(table([{1: 3.0}]), table([{1: 3.0}]), threshold="q90")


@pytest.mark.parametrize("threshold", ["q80", "high", -1, float("nan")])
def test_a_threshold_without_meaning_is_refused(threshold: object) -> None:
    with pytest.raises(ValueError, match="neither a number"):
        coverage(table([{1: 3.0}]), table([{1: 3.0}]), threshold=threshold)  # type: ignore[arg-type]


def test_empty_datasets_and_silent_anchors_are_errors() -> None:
    rows = table([{1: 3.0}])
    with pytest.raises(DatasetError, match="dataset has no rows"):
        coverage(rows.select([]), rows, threshold=1)
    with pytest.raises(DatasetError, match="anchor has no rows"):
        coverage(rows, rows.select([]), threshold=1)
    with pytest.raises(DatasetError, match="activates no feature"):
        coverage(rows, rows, threshold=100)


def test_a_dataset_without_features_covers_nothing() -> None:
    report = coverage(table([{}]), table([{1: 3.0}]), threshold=1)
    assert (report.fac, report.low, report.high) == (0, 0, 0)


def test_the_report_plots(tmp_path: Path) -> None:
    coverage_of_ids([[1]], [[1, 2]]).plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
