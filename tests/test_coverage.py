"""Coverage and its algebra, on sets of feature ids and on feature columns."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets import FeatureCoverage, FeatureExtractor, coverage
from fac_datasets.coverage.rarefaction import expected_coverage
from fac_datasets.coverage.report import coverage_of_ids
from fac_datasets.errors import (
    CalibrationMissing,
    ColumnError,
    DatasetError,
    FeatureSpaceMismatch,
    ThresholdBelowStored,
)
from tests.cli import command

D_SAE = 12
DIGEST = "0123456789abcdef"


def space(threshold: str = "0.5", layer: int = 3, sae: str = "s") -> str:
    return f"org/model@{DIGEST}/layer{layer}/chat/{sae}@{DIGEST}/sae/max/>{threshold}/windows512"


rows_of_ids = st.lists(st.lists(st.integers(0, D_SAE - 1), unique=True, max_size=6), min_size=1, max_size=8)
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


def table(rows: list[dict[int, float]], feature_space: str | None = None) -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {
            "feature_ids": [sorted(row) for row in rows],
            "feature_activations": [[row[i] for i in sorted(row)] for row in rows],
            "feature_tokens": [len(row) for row in rows],
            "feature_space": [feature_space or space()] * len(rows),
        },
        features=datasets.Features(
            {
                "feature_ids": datasets.List(datasets.Value("int32")),
                "feature_activations": datasets.List(datasets.Value("float32")),
                "feature_tokens": datasets.Value("int32"),
                "feature_space": datasets.Value("string"),
            }
        ),
    )


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


def judged(feature_space: str, *relevant: int) -> datasets.Dataset:
    """A feature table of four features, of which some are relevant."""
    evidence = [["contrast"] if feature in relevant else [] for feature in range(4)]
    return datasets.Dataset.from_dict(
        {"feature_id": range(4), "feature_space": [feature_space] * 4, "evidence": evidence}
    )


def test_the_relevant_features_of_a_table_count_whatever_its_cut_off() -> None:
    rows, anchor = table([{1: 3.0}]), table([{1: 3.0, 2: 3.0, 3: 3.0}])
    for cut_off in (0, 0.5):
        report = coverage(rows, anchor, threshold=1, features=judged(space(threshold=str(cut_off)), 1, 2))
        assert (report.fac, report.relevant.tolist()) == (0.5, [1, 2])


def test_a_table_of_another_space_says_nothing_of_these_rows() -> None:
    rows = table([{1: 3.0}])
    with pytest.raises(FeatureSpaceMismatch):
        coverage(rows, rows, threshold=1, features=judged(space(layer=4), 1))


@pytest.mark.embedded
def test_the_command_compares_a_table_with_the_columns_that_are_there(tmp_path: Path) -> None:
    # Nothing is extracted, so what the command line could extract does not matter.
    for name, rows in (("seed", table([{1: 3.0}])), ("anchor", table([{1: 3.0, 2: 3.0}]))):
        rows.add_column("text", ["a"] * len(rows)).to_parquet(tmp_path / f"{name}.parquet")
    measure = ["coverage", tmp_path / "seed.parquet", tmp_path / "anchor.parquet", "--threshold", 1]
    judged(space(), 1, 2).to_parquet(tmp_path / "own.parquet")
    assert "covers 1 of the 2 features" in command(*measure, "--features", tmp_path / "own.parquet")
    judged(str(FeatureExtractor().feature_space), 1, 2).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(FeatureSpaceMismatch):
        command(*measure, "--features", tmp_path / "other.parquet")


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


def test_a_state_refuses_thresholds_below_the_cut_off() -> None:
    with pytest.raises(ThresholdBelowStored, match=r"cut-off 0\.5"):
        FeatureCoverage(D_SAE, space(), 0.1)


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


def test_rarefaction_is_the_mean_over_all_subsets() -> None:
    report = coverage_of_ids([[0], [0, 1], [2], []], [[0, 1, 2, 3]])
    points = {point.n_rows: point.fac for point in report.rarefaction()}
    # Drawing 1 of 4 rows: feature 0 in 2 of them, 1 and 2 in 1, 3 in none.
    assert points[1] == pytest.approx((2 / 4 + 1 / 4 + 1 / 4 + 0) / 4)
    # Drawing 2 of 4: missed in C(2,2)/C(4,2) = 1/6 and twice C(3,2)/C(4,2) = 1/2 of the draws.
    assert points[2] == pytest.approx((5 / 6 + 1 / 2 + 1 / 2 + 0) / 4)
    assert points[4] == report.fac


def test_rarefaction_of_many_rows_is_finite() -> None:
    counts = np.array([1, 10, 500_000])
    assert 0 < expected_coverage(counts, 1_000_000, 10_000) < 1


def test_the_interval_does_not_depend_on_common_features(rng: np.random.Generator) -> None:
    rows = [rng.choice(200, size=5, replace=False).tolist() for _ in range(100)]
    plain = coverage_of_ids(rows, [list(range(200))], seed=1)
    common = coverage_of_ids([[*row, 200] for row in rows], [list(range(201))], seed=1)
    assert plain.low is not None and common.low is not None
    # The same resamples with one feature more that none of them lacks.
    assert common.fac - common.low == pytest.approx((plain.fac - plain.low) * 200 / 201)


def test_the_report_plots(tmp_path: Path) -> None:
    coverage_of_ids([[1]], [[1, 2]]).plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
