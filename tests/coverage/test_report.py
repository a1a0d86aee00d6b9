"""Coverage on sets of feature ids and on feature columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given

from fac_datasets import FeatureExtractor, coverage
from fac_datasets.coverage.report import coverage_of_ids
from fac_datasets.errors import (
    CalibrationMissing,
    ColumnError,
    DatasetError,
    FeatureSpaceMismatch,
    OptionError,
    ThresholdBelowStored,
)
from tests.coverage.cases import rows_of_ids, space, table
from tests.tiny import TINY_FEATURES


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
    report = coverage_of_ids([*dataset, []], anchor)
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


@pytest.mark.parametrize("threshold", ["q80", "high", -1, float("nan"), None, [1.0]])
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
    report = coverage(table([{}, {}]), table([{1: 3.0}]), threshold=1)
    assert (report.fac, report.low, report.high) == (0, 0, 0)


def test_splits_are_refused_by_name() -> None:
    rows = table([{1: 3.0}])
    splits = datasets.DatasetDict(train=rows, test=rows)
    streamed = datasets.IterableDatasetDict(train=rows.to_iterable_dataset(), test=rows.to_iterable_dataset())
    several: Any
    for several in (splits, streamed, dict(splits)):
        with pytest.raises(DatasetError, match=r"the dataset holds the splits \['train', 'test'\].*choose one"):
            coverage(several, rows, threshold=1)
        with pytest.raises(DatasetError, match="the anchor holds the splits"):
            coverage(rows, several, threshold=1)


@pytest.mark.parametrize("given", [None, [{"feature_ids": [1]}], "rows.jsonl", {}, table([{1: 3.0}]).to_pandas()])
def test_what_is_no_dataset_is_refused(given: Any) -> None:
    with pytest.raises(DatasetError, match=r"the dataset is of type .*give one datasets\.Dataset"):
        coverage(given, table([{1: 3.0}]), threshold=1)


@pytest.mark.parametrize("names", ["ab", ("one",), ("a", "b", "c"), (1, 2), 3, {"a", "b"}])
def test_names_that_are_not_two_texts_are_refused(names: Any) -> None:
    with pytest.raises(OptionError, match="not two texts"):
        coverage(table([{1: 3.0}]), table([{1: 3.0}]), threshold=1, names=names)


@pytest.mark.parametrize("points", [0, -5, 2.5, None, True])
def test_a_number_of_points_without_meaning_is_refused(points: Any) -> None:
    with pytest.raises(OptionError, match="points"):
        coverage_of_ids([[1]], [[1]]).rarefaction(points)


def test_an_id_that_a_row_lists_twice_counts_once() -> None:
    assert coverage_of_ids([[1, 1], [1]], [[1, 1, 2]]).row_counts.tolist() == [2, 0]
    assert coverage_of_ids([[1]], [[1, 1, 2], [2]]).anchor_counts.tolist() == [1, 2]


def test_ids_beyond_the_calibration_are_refused(tiny_extractor: FeatureExtractor) -> None:
    rows = table([{TINY_FEATURES: 3.0}], str(tiny_extractor.feature_space))
    with pytest.raises(ColumnError, match=f"feature id {TINY_FEATURES} is beyond"):
        coverage(rows, rows, threshold="q50")


def test_the_report_plots(tmp_path: Path) -> None:
    coverage_of_ids([[1]], [[1, 2]]).plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
