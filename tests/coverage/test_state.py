"""The algebra of mergeable coverage."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets import FeatureCoverage
from fac_datasets.coverage.report import coverage_of_ids
from fac_datasets.errors import (
    ColumnError,
    DatasetError,
    FeatureSpaceMismatch,
    OptionError,
    ThresholdBelowStored,
)
from tests.coverage.cases import D_SAE, rows_of_ids, space, table

activations = st.floats(0.5, 4, width=32, exclude_min=True)


feature_rows = st.lists(st.dictionaries(st.integers(0, D_SAE - 1), activations, max_size=6), max_size=8)


def state_of(rows: list[dict[int, float]]) -> FeatureCoverage:
    state = FeatureCoverage(D_SAE, space(), 1.0)
    return state.update(
        {
            "feature_ids": [sorted(row) for row in rows],
            "feature_activations": [[row[i] for i in sorted(row)] for row in rows],
            "feature_tokens": [1] * len(rows),
        }
    )


def same(first: FeatureCoverage, second: FeatureCoverage) -> bool:
    return (
        np.array_equal(first.maxima, second.maxima)
        and np.array_equal(first.counts, second.counts)
        and (first.n_rows, first.n_tokens) == (second.n_rows, second.n_tokens)
    )


@pytest.mark.slow
@given(rows_of_ids, rows_of_ids, rows_of_ids.filter(lambda rows: any(rows)))
def test_more_rows_never_cover_less(dataset: list[list[int]], more: list[list[int]], anchor: list[list[int]]) -> None:
    assert coverage_of_ids(dataset + more, anchor).fac >= coverage_of_ids(dataset, anchor).fac


@given(feature_rows, feature_rows, feature_rows)
def test_merging_is_associative_and_commutative(
    first: list[dict[int, float]], second: list[dict[int, float]], third: list[dict[int, float]]
) -> None:
    a, b, c = state_of(first), state_of(second), state_of(third)
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert same(a.merge(b), b.merge(a))
    assert same(a.merge(b), state_of(first + second))


@given(feature_rows)
def test_the_empty_state_is_an_identity(rows: list[dict[int, float]]) -> None:
    state = state_of(rows)
    assert same(state.merge(state_of([])), state)


@given(feature_rows)
def test_merging_with_itself_adds_counts_only(rows: list[dict[int, float]]) -> None:
    state = state_of(rows)
    twice = state.merge(state)
    assert np.array_equal(twice.maxima, state.maxima)
    assert np.array_equal(twice.covered, state.covered)
    assert np.array_equal(twice.counts, 2 * state.counts)


@given(rows=feature_rows)
def test_a_saved_state_reads_back_equal(rows: list[dict[int, float]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("state") / "coverage.safetensors"
    state = state_of(rows)
    state.save(path)
    assert same(FeatureCoverage.load(path), state)


def test_states_of_different_spaces_do_not_merge() -> None:
    with pytest.raises(FeatureSpaceMismatch, match=r"layer3.*\n.*layer4"):
        FeatureCoverage(D_SAE, space(), 1.0).merge(FeatureCoverage(D_SAE, space(layer=4), 1.0))


def test_a_state_refuses_rows_of_another_space_and_ids_past_its_end() -> None:
    state = FeatureCoverage(D_SAE, space(), 1.0)
    with pytest.raises(FeatureSpaceMismatch):
        state.update({"feature_ids": [[1]], "feature_activations": [[2.0]], "feature_space": [space(layer=4)]})
    with pytest.raises(ColumnError, match="d_sae=12"):
        state.update({"feature_ids": [[12]], "feature_activations": [[2.0]]})


@pytest.mark.parametrize("thresholds", [None, float("nan"), "q90", [1.0, None], [1.0] * 3, [[1.0]], {}])
def test_thresholds_that_are_no_numbers_are_refused(thresholds: Any) -> None:
    with pytest.raises(OptionError, match="thresholds"):
        FeatureCoverage(D_SAE, space(), thresholds)


def test_a_state_takes_batches_and_not_whole_streams_or_splits() -> None:
    state, rows = FeatureCoverage(D_SAE, space(), 1.0), table([{1: 3.0}])
    given: Any
    for given, said in ((rows.to_iterable_dataset(), "is a stream"), (datasets.DatasetDict(a=rows), r"splits \['a'\]")):
        with pytest.raises(DatasetError, match=said):
            state.update(given)


@pytest.mark.parametrize("other", [None, table([{1: 3.0}]), b""])
def test_only_states_merge(other: Any) -> None:
    with pytest.raises(OptionError, match="no FeatureCoverage"):
        FeatureCoverage(D_SAE, space(), 1.0).merge(other)


def test_a_state_refuses_thresholds_below_the_cut_off() -> None:
    with pytest.raises(ThresholdBelowStored, match=r"cut-off 0\.5"):
        FeatureCoverage(D_SAE, space(), 0.1)
