"""The matrix of coverage: every entry is the coverage of one dataset by another."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets.coverage.matrix import coverage_matrix, matrix_in_words
from fac_datasets.coverage.report import coverage
from fac_datasets.errors import DatasetError, FeatureSpaceMismatch, OptionError
from tests.coverage.cases import judged, rows_of_ids, space, table


def rows_with(ids: list[list[int]]) -> datasets.Dataset:
    return table([{i: 1.0 + i for i in row} for row in ids])


@settings(max_examples=10)
@given(st.lists(rows_of_ids, min_size=2, max_size=3))
def test_every_entry_is_the_coverage_of_the_other(given_ids: list[list[list[int]]]) -> None:
    sets = {str(i): rows_with(ids) for i, ids in enumerate(given_ids)}
    matrix = coverage_matrix(sets, threshold=1.5)
    for i, anchor in enumerate(sets.values()):
        for j, dataset in enumerate(sets.values()):
            share = matrix.shares[i, j]
            if not any(feature > 0 for row in given_ids[i] for feature in row):
                assert np.isnan(share), "of no features no share is covered"
                continue
            assert share == coverage(dataset, anchor, threshold=1.5).fac


def test_a_part_has_less_of_the_whole_than_the_whole_of_the_part() -> None:
    matrix = coverage_matrix({"whole": rows_with([[1, 2], [3, 4]]), "part": rows_with([[1]])}, threshold=1)
    assert matrix.shares.tolist() == [[1.0, 0.25], [1.0, 1.0]]
    assert matrix.n_rows == (2, 1)


def test_only_features_that_count_are_counted() -> None:
    sets = {"a": rows_with([[1, 2], [3]]), "b": rows_with([[2, 3]])}
    assert coverage_matrix(sets, threshold=1, features=[1, 2]).shares[0, 1] == 0.5
    by_table = coverage_matrix(sets, threshold=1, features=judged(space(), 1))
    assert by_table.shares[0, 1] == 0
    assert np.isnan(by_table.shares[1, 0])


def test_the_table_and_the_report_hold_the_same_shares_and_nothing_for_no_features(tmp_path: Path) -> None:
    sets = {"a": rows_with([[1, 2]]), "b": rows_with([[2]]), "none": rows_with([[]])}
    matrix = coverage_matrix(sets, threshold=1)
    row = {"features_of": "a", "are_in": "b", "shared": 1, "of": 2, "share": 0.5}
    assert matrix.table[1] == row
    assert len(matrix.table) == 9
    report = json.loads(json.dumps(matrix.to_dict(), allow_nan=False))
    assert report["shares"] == [[1.0, 0.5, 0.0], [1.0, 1.0, 0.0], [None, None, None]]
    assert [each["share"] for each in matrix.table] == [share for of_row in report["shares"] for share in of_row]
    assert matrix_in_words(report)[2:] == [
        "| a | 2 | 1.000 | 0.500 | 0.000 |",
        "| b | 1 | 1.000 | 1.000 | 0.000 |",
        "| none | 0 | - | - | - |",
    ]
    matrix.plot(tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_fewer_than_two_datasets_are_refused() -> None:
    with pytest.raises(OptionError, match="at least two datasets"):
        coverage_matrix({"a": rows_with([[1]])}, threshold=1)


def test_a_dataset_without_rows_is_named() -> None:
    with pytest.raises(DatasetError, match="'empty' has no rows"):
        coverage_matrix({"a": rows_with([[1]]), "empty": rows_with([[1]]).select([])}, threshold=1)


def test_datasets_of_different_spaces_are_refused() -> None:
    with pytest.raises(FeatureSpaceMismatch):
        coverage_matrix({"a": rows_with([[1]]), "b": table([{1: 2.0}], space(layer=4))}, threshold=1)


def test_a_stream_is_refused_in_one_sentence() -> None:
    sets = {"a": rows_with([[1]]), "b": rows_with([[1]]).to_iterable_dataset()}
    with pytest.raises(DatasetError, match="'b' is a stream"):
        coverage_matrix(sets, threshold=1)
