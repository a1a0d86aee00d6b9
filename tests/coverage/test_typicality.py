"""Rows ranked by how typical their features are, beside the definitions spelled out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import datasets
import pytest
from hypothesis import given

from fac_datasets import typical_rows, unusual_rows
from fac_datasets.errors import (
    CalibrationMissing,
    ColumnError,
    DatasetError,
    FeatureSpaceMismatch,
    OptionError,
    RowError,
    ThresholdBelowStored,
)
from tests.coverage.cases import rows_of_ids, space, stored, table

rankings = pytest.mark.parametrize("ranking", [typical_rows, unusual_rows])


def of_ids(rows: list[list[int]]) -> datasets.Dataset:
    return table([dict.fromkeys(row, 3.0) for row in rows])


def shares_of(rows: list[list[int]]) -> dict[int, float]:
    return {i: sum(i in row for row in rows) / len(rows) for row in rows for i in row}


def typicality(row: list[int], shares: dict[int, float]) -> float:
    pairs = [(float(i in row), share) for i, share in shares.items()]
    return sum(map(min, pairs)) / sum(map(max, pairs))


def surprise(row: list[int], shares: dict[int, float]) -> float:
    return sum(-math.log2(shares[i]) for i in row) / len(row) if row else 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("ranking", "score"), [(typical_rows, typicality), (unusual_rows, surprise)])
@given(rows=rows_of_ids.filter(any))
def test_scores_are_those_of_the_definition(
    ranking: Callable[..., datasets.Dataset],
    score: Callable[[list[int], dict[int, float]], float],
    rows: list[list[int]],
) -> None:
    found = ranking(of_ids(rows), top=len(rows), threshold=1)
    assert sorted(found["row"]) == list(range(len(rows)))
    assert found["score"][:] == pytest.approx([score(rows[row], shares_of(rows)) for row in found["row"]])
    assert found["score"][:] == sorted(found["score"], reverse=True)
    assert found["features"][:] == [len(rows[row]) for row in found["row"]]


def test_a_row_like_the_others_is_typical_and_the_odd_one_unusual() -> None:
    rows = of_ids([[1, 2, 3], [8, 9], [1, 2, 3, 4], [1, 2, 5], [1, 2, 3]])
    assert typical_rows(rows, top=2, threshold=1)["row"][:] == [0, 4]
    assert unusual_rows(rows, top=1, threshold=1).to_list() == [{"row": 1, "score": math.log2(5), "features": 2}]


def test_rows_that_are_all_alike_are_as_typical_as_can_be_and_surprise_nobody() -> None:
    rows = of_ids([[1, 2]] * 3)
    assert typical_rows(rows, threshold=1)["score"][:] == [1, 1, 1]
    assert unusual_rows(rows, threshold=1)["score"][:] == [0, 0, 0]


def test_a_long_row_is_unusual_only_where_its_features_are() -> None:
    common = [[0, 1, 2, 3, 4, 5, 6, 7]] * 4
    found = unusual_rows(of_ids([*common, [0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 9]]), threshold=1)
    assert found["row"][:2] == [5, 4]


def test_the_most_typical_row_is_neither_the_shortest_nor_the_longest() -> None:
    rows = [[0], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]]
    assert typical_rows(of_ids(rows), top=1, threshold=1)["row"][:] == [1]


@rankings
def test_a_row_without_active_features_comes_last_with_a_score_of_0(ranking: Any) -> None:
    found = ranking(of_ids([[], [1, 2], [2, 3]]), threshold=1)
    assert found[-1] == {"row": 0, "score": 0, "features": 0}


@rankings
def test_only_activations_above_the_threshold_count(ranking: Any) -> None:
    rows = table([{1: 3.0, 2: 1.0}, {1: 3.0}, {1: 3.0}])
    assert sorted(ranking(rows, threshold=2)["features"]) == [1, 1, 1]


@rankings
def test_equal_rows_come_in_their_order_and_no_more_than_asked_for(ranking: Any) -> None:
    rows = of_ids([[1], [1], [1]])
    assert ranking(rows, top=2, threshold=1)["row"][:] == [0, 1]
    assert ranking(rows, top=9, threshold=1)["row"][:] == [0, 1, 2]


@rankings
def test_what_is_found_selects_the_rows_themselves(ranking: Any) -> None:
    rows = of_ids([[1], [1, 2], [1, 2]])
    assert len(rows.select(ranking(rows, top=2, threshold=1)["row"])) == 2


@rankings
def test_columns_with_a_prefix_are_read(ranking: Any) -> None:
    rows = of_ids([[1], [1, 2]])
    chosen = rows.rename_columns({name: f"chosen_{name}" for name in rows.column_names})
    assert ranking(chosen, threshold=1, prefix="chosen_").to_list() == ranking(rows, threshold=1).to_list()


@rankings
@pytest.mark.parametrize("top", [0, -1, 2.0, True, "3", None])
def test_a_number_of_rows_that_is_none_is_refused(ranking: Any, top: Any) -> None:
    with pytest.raises(OptionError, match=r"top=.* is no number of rows; choose a whole number from 1"):
        ranking(of_ids([[1]]), top=top, threshold=1)


@rankings
def test_rows_that_cannot_be_ranked_are_refused(ranking: Any) -> None:
    rows = of_ids([[1], [2]])
    with pytest.raises(DatasetError, match="the dataset has no rows"):
        ranking(rows.select([]), threshold=1)
    with pytest.raises(DatasetError, match="no row of the dataset activates a feature at threshold 9"):
        ranking(rows, threshold=9)
    with pytest.raises(DatasetError, match="is a stream"):
        ranking(rows.to_iterable_dataset(), threshold=1)
    with pytest.raises(DatasetError, match="holds the splits"):
        ranking(datasets.DatasetDict(train=rows), threshold=1)
    with pytest.raises(ColumnError, match="there is no column 'feature_space'"):
        ranking(datasets.Dataset.from_dict({"text": ["a"]}), threshold=1)
    with pytest.raises(RowError, match=r"row 1 .*more than once"):
        ranking(stored([[1], [2, 2]], [[3.0], [3.0, 3.0]]), threshold=1)
    with pytest.raises(FeatureSpaceMismatch):
        ranking(datasets.concatenate_datasets([rows, table([{1: 3.0}], space(layer=4))]), threshold=1)
    with pytest.raises(ThresholdBelowStored):
        ranking(rows, threshold=0.1)
    with pytest.raises(CalibrationMissing):
        ranking(rows)
    with pytest.raises(OptionError, match="threshold='q42'"):
        ranking(rows, threshold="q42")
