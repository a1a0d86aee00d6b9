"""Feature columns that are not whole are refused wherever they are read, and name their row."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow as pa
import pytest

from fac_datasets import FeatureCoverage, coverage
from fac_datasets.coverage.active_rows import row_features, token_counts
from fac_datasets.coverage.budget import coverage_at_budget
from fac_datasets.errors import ColumnError, RowError
from tests.coverage.cases import D_SAE, DAMAGED, space, stored, table

damaged = pytest.mark.parametrize(("ids", "activations", "said"), DAMAGED.values(), ids=DAMAGED.keys())
SOUND = table([{1: 3.0}])


@damaged
def test_coverage_refuses_damaged_columns_of_either_side(ids: list[Any], activations: list[Any], said: str) -> None:
    rows = stored(ids, activations)
    for sides in ((rows, SOUND), (SOUND, rows)):
        with pytest.raises(RowError, match=said):
            coverage(*sides, threshold=1)


@damaged
def test_coverage_refuses_damaged_streams(ids: list[Any], activations: list[Any], said: str) -> None:
    rows = stored(ids, activations).to_iterable_dataset()
    for sides in ((rows, SOUND), (SOUND, rows)):
        with pytest.raises(RowError, match=said):
            coverage(*sides, threshold=1)


@damaged
@pytest.mark.parametrize("kind", ["arrow", "lists", "arrays", "pandas"])
def test_a_state_refuses_damaged_batches_and_stays_as_it_was(
    ids: list[Any], activations: list[Any], said: str, kind: str
) -> None:
    columns = {"feature_ids": ids, "feature_activations": activations}
    batch: Any = columns
    if kind == "arrow":
        batch = pa.table(columns)
    elif kind == "pandas":
        batch = pandas.DataFrame(columns)
    elif kind == "arrays":
        batch = {name: [None if row is None else np.array(row) for row in rows] for name, rows in columns.items()}
    state = FeatureCoverage(D_SAE, space(), 1.0)
    with pytest.raises(RowError, match=said):
        state.update(batch)
    assert (state.n_rows, state.counts.sum(), state.maxima.max()) == (0, 0, -np.inf)


def test_rows_that_were_added_without_extraction_are_refused() -> None:
    texts = datasets.Dataset.from_dict({"text": ["never extracted"]})
    rows = datasets.concatenate_datasets([SOUND, texts])
    with pytest.raises(ColumnError, match="'feature_space' is null in some rows"):
        coverage(rows, SOUND, threshold=1)
    with pytest.raises(RowError, match="row 1 has no features: feature_space is null"):
        coverage(rows.to_iterable_dataset(), SOUND, threshold=1)
    for batch in (rows[:], rows.with_format("arrow")[:], rows.with_format("pandas")[:]):
        with pytest.raises(RowError, match="row 1 of the batch has no features"):
            FeatureCoverage(D_SAE, space(), 1.0).update(batch)


def test_a_row_counts_from_the_start_of_the_dataset() -> None:
    rows = stored([[1]] * 12_345 + [[-1]], [[3.0]] * 12_346)
    for given in (rows, rows.to_iterable_dataset()):
        with pytest.raises(RowError, match=r"^row 12345 has"):
            coverage(given, SOUND, threshold=1)


def test_missing_columns_name_the_extractor() -> None:
    rows = datasets.Dataset.from_dict({"text": ["a"]})
    for given in (rows, rows.to_iterable_dataset(), SOUND.remove_columns("feature_activations")):
        with pytest.raises(ColumnError, match=r"there is no column .*FeatureExtractor"):
            coverage(given, SOUND, threshold=1)


def test_ids_need_not_rise() -> None:
    lengths, ids, _ = row_features({"feature_ids": [[5, 2], [], [2]], "feature_activations": [[1.0, 1.0], [], [2.0]]})
    assert (lengths.tolist(), ids.tolist()) == ([2, 0, 1], [5, 2, 2])


def test_texts_are_no_ids() -> None:
    with pytest.raises(ColumnError, match="feature_ids"):
        coverage(stored([["a"]], [[1.0]]), SOUND, threshold=1)
    with pytest.raises(ColumnError, match="feature_ids"):
        coverage(stored([[1.5]], [[1.0]]), SOUND, threshold=1)
    with pytest.raises(ColumnError, match="feature_ids"):
        coverage(stored([1], [[1.0]]), SOUND, threshold=1)


def test_tokens_that_a_row_lacks_are_refused_where_they_count() -> None:
    rows = SOUND.remove_columns("feature_tokens").add_column("feature_tokens", [None], feature=datasets.Value("int32"))
    two = datasets.concatenate_datasets([SOUND, rows])
    assert coverage(two, SOUND, threshold=1).dataset.tokens is None
    for read in (token_counts, lambda rows: coverage_at_budget(rows, SOUND, 1, threshold=1)):
        with pytest.raises(RowError, match=r"^row 1 holds nan in feature_tokens"):
            read(two)
    with pytest.raises(RowError, match="row 1 of the batch holds"):
        FeatureCoverage(D_SAE, space(), 1.0).update(two[:])
