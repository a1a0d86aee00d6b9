"""The features of a judged table that count."""

from __future__ import annotations

from typing import Any

import datasets
import pytest

from fac_datasets import coverage, relevant_features
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError
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


@pytest.mark.parametrize(
    "features", ["12", 5, {1: 2}, {1, 2}, [-1], [1.5], [None], [float("nan")], [[1, 2]], [], [2**31]]
)
def test_features_that_are_no_ids_are_refused(features: Any) -> None:
    rows = table([{1: 3.0}])
    with pytest.raises(OptionError, match="features"):
        coverage(rows, rows, threshold=1, features=features)


def test_features_of_several_tables_or_of_a_stream_are_refused() -> None:
    rows, features = table([{1: 3.0}]), judged(space(), 1)
    given: Any
    for given in (datasets.DatasetDict(train=features), features.to_iterable_dataset()):
        with pytest.raises(DatasetError, match="the feature table"):
            coverage(rows, rows, threshold=1, features=given)


def test_a_table_that_lacks_what_it_needs_is_refused() -> None:
    rows, features = table([{1: 3.0}]), judged(space(), 1)
    for name in features.column_names:
        with pytest.raises(ColumnError, match=f"no column '{name}'"):
            coverage(rows, rows, threshold=1, features=features.remove_columns(name))


def test_a_table_without_relevant_features_says_so() -> None:
    rows = table([{1: 3.0}])
    with pytest.raises(OptionError, match="no feature of the table"):
        coverage(rows, rows, threshold=1, features=judged(space()))


def test_a_feature_that_nobody_judged_is_not_relevant() -> None:
    features = judged(space(), 1).remove_columns("evidence")
    features = features.add_column("evidence", [None, ["llm"], None, []])
    assert relevant_features(features).tolist() == [1]
