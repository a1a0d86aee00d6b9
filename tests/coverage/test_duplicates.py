"""Groups of rows with nearly the same features, beside a comparison of all pairs."""

from __future__ import annotations

import time
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets import feature_duplicates
from fac_datasets.coverage import duplicates
from fac_datasets.coverage.active_rows import ActiveRows
from fac_datasets.errors import CalibrationMissing, ColumnError, DatasetError, OptionError, RowError
from tests.coverage.cases import stored, table

SHARES = (0.1, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.8, 0.9, 1)
dense, sparse = st.sets(st.integers(0, 11), min_size=7, max_size=11), st.sets(st.integers(0, 40), max_size=4)
alike_rows = st.lists(dense | sparse, min_size=1, max_size=30).filter(any)
"""Rows of which some are alike, some nearly, and some have no features."""


def of_sets(rows: list[set[int]]) -> datasets.Dataset:
    return table([dict.fromkeys(row, 3.0) for row in rows])


def groups_of(rows: list[set[int]], share: float) -> list[dict[str, Any]]:
    """The definition, spelled out."""
    groups: dict[int, list[tuple[int, float]]] = {}
    for number, row in enumerate(rows):
        similarities = {first: len(row & rows[first]) / len(row | rows[first]) for first in groups if row}
        alike = [first for first, similarity in similarities.items() if similarity >= share]
        if alike:
            groups[alike[0]].append((number, similarities[alike[0]]))
        elif row:
            groups[number] = [(number, 1.0)]
    return [
        {"rows": [row for row, _ in group], "similarities": [similarity for _, similarity in group]}
        for group in groups.values()
        if len(group) > 1
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("block_rows", "pairs"), [(1_000, 1 << 19), (3, 5)], ids=["one block", "many blocks"])
@given(rows=alike_rows, share=st.sampled_from(SHARES))
def test_groups_are_those_of_the_definition(block_rows: int, pairs: int, rows: list[set[int]], share: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_BLOCK_ROWS", block_rows)
        patch.setattr(duplicates, "_PAIRS", pairs)
        assert feature_duplicates(of_sets(rows), share=share, threshold=1).to_list() == groups_of(rows, share)


def test_many_rows_of_many_features_are_compared_as_by_the_definition() -> None:
    generator = np.random.default_rng(0)
    rows = [set(generator.integers(0, 3_000, 70).tolist()) for _ in range(150)]
    for _ in range(150):
        row = sorted(rows[generator.integers(len(rows))])
        dropped = generator.permutation(len(row))[: generator.integers(0, 12)].tolist()
        rows.append({*row} - {row[place] for place in dropped} | {*generator.integers(0, 3_000, 3).tolist()})
    for share in (0.7, 0.9, 0.95):
        found = feature_duplicates(of_sets(rows), share=share, threshold=1).to_list()
        assert found == groups_of(rows, share)
        assert len(found) > 10


def test_every_row_is_alike_to_the_one_that_is_kept_and_no_two_kept_ones_are() -> None:
    chain = [{*range(start, start + 10)} for start in range(6)]
    found = feature_duplicates(of_sets(chain), share=0.8, threshold=1)
    assert found["rows"][:] == [[0, 1], [2, 3], [4, 5]]
    assert found["similarities"][0] == [1, 9 / 11]


def test_a_similarity_of_just_the_share_is_enough() -> None:
    rows = of_sets([{*range(10)}, {*range(9)}])
    assert feature_duplicates(rows, share=0.9, threshold=1)["rows"][:] == [[0, 1]]
    assert len(feature_duplicates(rows, share=0.9000001, threshold=1)) == 0


def test_rows_without_active_features_are_in_no_group() -> None:
    rows = table([{}, {1: 1.0}, {1: 3.0}, {}, {1: 3.0}])
    assert feature_duplicates(rows, threshold=2)["rows"][:] == [[2, 4]]


def test_where_nothing_is_alike_there_are_no_groups() -> None:
    found = feature_duplicates(of_sets([{1}, {2}, {3}]), threshold=1)
    assert (len(found), found.column_names) == (0, ["rows", "similarities"])


def test_only_activations_above_the_threshold_count() -> None:
    rows = table([{1: 3.0, 2: 1.0}, {1: 3.0}])
    assert feature_duplicates(rows, threshold=2)["rows"][:] == [[0, 1]]
    assert len(feature_duplicates(rows, threshold=0.5)) == 0


def test_columns_with_a_prefix_are_read() -> None:
    rows = of_sets([{1}, {1}])
    chosen = rows.rename_columns({name: f"chosen_{name}" for name in rows.column_names})
    assert feature_duplicates(chosen, threshold=1, prefix="chosen_")["rows"][:] == [[0, 1]]


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan"), True, "0.9", None])
def test_a_share_that_is_no_similarity_is_refused(share: Any) -> None:
    with pytest.raises(OptionError, match=r"share=.* is no Jaccard similarity in \(0, 1\]"):
        feature_duplicates(of_sets([{1}]), share=share, threshold=1)


def test_rows_that_cannot_be_compared_are_refused() -> None:
    rows = of_sets([{1}, {2}])
    with pytest.raises(DatasetError, match="the dataset has no rows"):
        feature_duplicates(rows.select([]), threshold=1)
    with pytest.raises(DatasetError, match="no row of the dataset activates a feature at threshold 9"):
        feature_duplicates(rows, threshold=9)
    with pytest.raises(DatasetError, match="is a stream"):
        feature_duplicates(rows.to_iterable_dataset(), threshold=1)
    with pytest.raises(ColumnError, match="there is no column 'feature_space'"):
        feature_duplicates(datasets.Dataset.from_dict({"text": ["a"]}), threshold=1)
    with pytest.raises(RowError, match=r"row 1 .*the id -2"):
        feature_duplicates(stored([[1], [-2]], [[3.0], [3.0]]), threshold=1)
    with pytest.raises(CalibrationMissing):
        feature_duplicates(rows)


@pytest.mark.alone
@pytest.mark.slow
def test_a_hundred_thousand_rows_of_sixty_features_take_no_more_than_a_minute_of_work() -> None:
    generator = np.random.default_rng(0)
    parts = [np.unique(row) for row in (65_536 * generator.random((80_000, 60)) ** 3).astype(np.int64)]
    parts += [np.delete(parts[row], 3) for row in generator.integers(0, 80_000, 20_000)]
    rows = np.repeat(np.arange(100_000), [len(part) for part in parts])
    started = time.process_time()
    first, similarity = duplicates._groups(duplicates._Sets(ActiveRows(rows, np.concatenate(parts), 100_000), 0.9))
    assert time.process_time() - started < 60
    assert (first[80_000:] < 80_000).all()
    assert similarity[80_000:].min() > 0.95
