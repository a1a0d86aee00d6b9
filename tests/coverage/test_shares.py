"""Three denominators, and what of a feature counts: against the formulas spelled out, row by row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets import CoverageReport, FeatureCoverage, coverage
from fac_datasets.coverage.interval import MERGED, STREAMED
from fac_datasets.coverage.report import coverage_of_ids
from fac_datasets.coverage.shares import shares_in_words
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError
from tests.coverage.cases import D_SAE, judged, space, table

Row = dict[int, float]
THRESHOLD = 1.0
rows_of_values = st.lists(
    st.dictionaries(st.integers(0, D_SAE - 1), st.floats(0.5, 4, width=32), max_size=6), min_size=1, max_size=8
)
activating = rows_of_values.filter(lambda rows: any(value > THRESHOLD for row in rows for value in row.values()))


def amount(count: str, rows: list[Row], feature: int) -> float:
    """What a set of rows has of a feature."""
    active = [row[feature] for row in rows if row.get(feature, 0) > THRESHOLD]
    if count == "rows":
        return len(active) / len(rows)
    return max(active, default=0.0) if count == "activation" else float(bool(active))


def slow_share(count: str, rows: list[Row], anchor: list[Row], features: list[int]) -> float:
    of_anchor = {feature: amount(count, anchor, feature) for feature in features}
    return sum(min(amount(count, rows, f), of_anchor[f]) for f in features) / sum(of_anchor.values())


def features_of(rows: list[Row]) -> list[int]:
    return sorted({feature for row in rows for feature, value in row.items() if value > THRESHOLD})


@settings(deadline=None, max_examples=60)
@given(rows_of_values, activating, st.sampled_from(["binary", "rows", "activation"]))
def test_what_counts_is_the_formula_spelled_out(rows: list[Row], anchor: list[Row], count: Any) -> None:
    report = coverage(table(rows), table(anchor), threshold=THRESHOLD, count=count)
    assert report.fac == pytest.approx(slow_share(count, rows, anchor, features_of(anchor)))
    assert report.count == report.to_dict()["count"] == count
    if len(rows) > 1:
        assert report.low is not None and report.high is not None
        assert 0 <= report.low <= report.fac <= report.high <= 1


@settings(deadline=None, max_examples=30)
@given(rows_of_values, activating, st.sampled_from(["binary", "rows", "activation"]))
def test_streams_and_merged_states_count_alike(rows: list[Row], anchor: list[Row], count: Any) -> None:
    sides = [table(rows), table(anchor)]
    plain = coverage(sides[0], sides[1], threshold=THRESHOLD, count=count)
    states = [FeatureCoverage(D_SAE, space(), THRESHOLD).update(side[:]) for side in sides]
    streams = [side.to_iterable_dataset() for side in sides]
    for first, second, reason in ((*states, MERGED), (*streams, STREAMED), (states[0], sides[1], MERGED)):
        report = coverage(first, second, threshold=THRESHOLD, count=count)
        assert report.fac == pytest.approx(plain.fac)
        assert report.missing.tolist() == plain.missing.tolist()
        assert (report.low, report.high, report.no_interval) == (None, None, reason)
    from_anchor = coverage(sides[0], states[1], threshold=THRESHOLD, count=count)
    assert (from_anchor.low, from_anchor.high) == (plain.low, plain.high)


def resampled_interval(count: str, rows: list[Row], anchor: list[Row], features: list[int]) -> tuple[float, float]:
    """The interval by its definition, resample by resample, with another random generator."""
    generator = np.random.default_rng(99)
    shares = [
        slow_share(count, [rows[i] for i in generator.integers(len(rows), size=len(rows))], anchor, features)
        for _ in range(1500)
    ]
    low, high = np.quantile(shares, [0.025, 0.975]) - np.mean(shares)
    measured = slow_share(count, rows, anchor, features)
    return max(0.0, measured + low), min(1.0, measured + high)


@pytest.mark.parametrize("count", ["binary", "rows", "activation"])
def test_the_interval_of_each_set_is_the_bootstrap_spelled_out(count: Any, rng: np.random.Generator) -> None:
    def drawn(n: int) -> list[Row]:
        # Feature f fires in about one row of f + 1, so that some are common and some rare.
        return [{f: float(rng.uniform(0.6, 4)) for f in range(D_SAE) if rng.random() < 1 / (f + 1)} for _ in range(n)]

    rows, anchor = drawn(60), drawn(60)
    relevant, missing = [2, 5, 7], [8, 9, 10, 11]
    options: dict[str, Any] = {"threshold": THRESHOLD, "count": count, "features": relevant, "missing_of": missing}
    report = coverage(table(rows), table(anchor), **options)
    of_anchor = features_of(anchor)
    for share, features in (
        (report.of_anchor, of_anchor),
        (report.of_relevant, [f for f in relevant if f in of_anchor]),
        (report.of_missing, missing if count == "binary" else [f for f in missing if f in of_anchor]),
    ):
        assert share is not None
        if count != "binary" or features != missing:
            assert share.share == pytest.approx(slow_share(count, rows, anchor, features))
        if set(features) <= set(of_anchor):
            assert (share.low, share.high) == pytest.approx(
                resampled_interval(count, rows, anchor, features), abs=0.025
            )


def test_features_in_most_rows_are_counted_once_for_all_resamples(rng: np.random.Generator) -> None:
    # Shares far above, far below and near the anchor's: the three ways of counting give one interval.
    rows = [{f: 2.0 for f, share in enumerate((0.9, 0.1, 0.5, 0.5)) if rng.random() < share} for _ in range(400)]
    anchor: list[Row] = [{f: 2.0 for f, n in enumerate((50, 90, 50, 55)) if i < n} for i in range(100)]
    report = coverage(table(rows), table(anchor), threshold=THRESHOLD, count="rows")
    expected = resampled_interval("rows", rows, anchor, [0, 1, 2, 3])
    assert (report.low, report.high) == pytest.approx(expected, abs=0.01)


def test_strong_rows_beyond_those_that_are_kept_do_not_matter(rng: np.random.Generator) -> None:
    rows: list[Row] = [{0: 1.5 + float(rng.random()), 1: 3.0} for _ in range(150)]
    anchor: list[Row] = [{0: 4.0, 1: 2.0}]
    report = coverage(table(rows), table(anchor), threshold=THRESHOLD, count="activation")
    expected = resampled_interval("activation", rows, anchor, [0, 1])
    assert (report.low, report.high) == pytest.approx(expected, abs=0.01)


ROWS, ANCHOR = table([{1: 3.0, 2: 3.0}, {2: 3.0}]), table([{1: 3.0, 2: 3.0, 3: 3.0}, {3: 3.0, 4: 3.0}])


def test_the_three_denominators_stand_apart() -> None:
    report = coverage(ROWS, ANCHOR, threshold=1, features=[2, 3, 9], missing_of=[1, 3, 4])
    found = report.to_dict()
    shares = [(found[key]["covered"], found[key]["of"], found[key]["share"]) for key in KEYS]
    assert shares == [(2, 4, 0.5), (1, 2, 0.5), (1, 3, 1 / 3)]
    assert all([*found[key]] == ["covered", "of", "share", "low", "high"] for key in KEYS)
    # What the report always said stays.
    assert (found["fac"], found["low"], found["high"]) == (
        found["of_relevant"]["share"],
        found["of_relevant"]["low"],
        found["of_relevant"]["high"],
    )
    assert (found["n_covered"], found["n_relevant"]) == (1, 2)
    assert shares_in_words(json.loads(json.dumps(found)))[2].startswith(
        "of those that the seed was missing: 1 of 3, 0.333 ["
    )


@pytest.mark.parametrize("count", ["rows", "activation"])
def test_shares_in_words_say_what_counts_where_it_is_not_active_features(count: Any) -> None:
    found = coverage(ROWS, ANCHOR, threshold=1, count=count).to_dict()
    assert shares_in_words(found)[0].startswith(
        f"of all the anchor's features: 2 of 4, by {count} {found['fac']:.3f} ["
    )


KEYS = ("of_anchor", "of_relevant", "of_missing")


def test_what_is_not_asked_for_is_none() -> None:
    report = coverage(ROWS, ANCHOR, threshold=1)
    assert (report.of_relevant, report.of_missing) == (None, None)
    assert (report.of_anchor.share, report.of_anchor.low, report.of_anchor.high) == (
        report.fac,
        report.low,
        report.high,
    )
    # A seed that lacked nothing leaves nothing to reach.
    assert coverage(ROWS, ANCHOR, threshold=1, missing_of=[]).of_missing is None


def test_a_seed_is_named_by_its_report_however_it_is_kept() -> None:
    seed = coverage(table([{1: 3.0}]), ANCHOR, threshold=1)
    assert seed.missing.tolist() == [2, 3, 4]
    kept = json.loads(json.dumps(seed.to_dict()))
    for named in (seed, kept, seed.missing, [2, 3, 4]):
        found = coverage(ROWS, ANCHOR, threshold=1, missing_of=named).of_missing
        assert found is not None
        assert (found.covered, found.of) == (1, 3)


def test_a_seed_s_report_of_another_space_or_threshold_is_refused() -> None:
    other = table([{1: 3.0, 2: 3.0}], space(layer=4))
    with pytest.raises(FeatureSpaceMismatch):
        coverage(ROWS, ANCHOR, threshold=1, missing_of=coverage(other, other, threshold=1))
    with pytest.raises(OptionError, match="at threshold 2, and this coverage is at 1"):
        coverage(ROWS, ANCHOR, threshold=1, missing_of=coverage(ROWS, ANCHOR, threshold=2))
    with pytest.raises(ColumnError, match="'3' is not a feature space"):
        coverage(ROWS, ANCHOR, threshold=1, missing_of={"missing": [2], "feature_space": 3})
    with pytest.raises(OptionError, match="no 'missing'"):
        coverage(ROWS, ANCHOR, threshold=1, missing_of={"fac": 1.0})
    wrong: Any
    for wrong in ("all", [-1], [1.5], 3):
        with pytest.raises(OptionError, match="missing_of"):
            coverage(ROWS, ANCHOR, threshold=1, missing_of=wrong)


@settings(deadline=None, max_examples=40)
@given(rows_of_values, activating, st.lists(st.integers(0, 2**31 - 1), min_size=1, unique=True))
def test_ids_are_counted_as_columns_are(rows: list[Row], anchor: list[Row], missing: list[int]) -> None:
    ids = [[[f for f, value in row.items() if value > THRESHOLD] for row in side] for side in (rows, anchor)]
    reports: list[CoverageReport] = []
    for count in ("binary", "rows"):
        options: Any = {"count": count, "missing_of": missing}
        reports = [
            coverage_of_ids(*ids, **options),
            coverage(table(rows), table(anchor), threshold=THRESHOLD, **options),
        ]
        shares = [[report.fac, report.of_anchor.share] for report in reports]
        assert shares[0] == pytest.approx(shares[1])
        of_missing = [report.of_missing and report.of_missing[:3] for report in reports]
        assert of_missing[0] == pytest.approx(of_missing[1])


@pytest.mark.parametrize("count", ["mean", None, 1, ["rows"]])
def test_what_cannot_count_is_refused(count: Any) -> None:
    with pytest.raises(OptionError, match=r"count=.* is not of \['binary', 'rows', 'activation'\]"):
        coverage(ROWS, ANCHOR, threshold=1, count=count)
    with pytest.raises(OptionError, match="ids do not have"):
        coverage_of_ids([[1]], [[1]], count="activation")


def test_a_merged_state_of_other_thresholds_or_without_rows_is_refused() -> None:
    state = FeatureCoverage(D_SAE, space(), 2.0).update(ROWS[:])
    with pytest.raises(OptionError, match=r"dataset is a merged state .* other thresholds than 1"):
        coverage(state, ANCHOR, threshold=1)
    with pytest.raises(DatasetError, match="the anchor has no rows"):
        coverage(ROWS, FeatureCoverage(D_SAE, space(), 1.0), threshold=1)


def test_relevant_features_may_come_from_a_table() -> None:
    report = coverage(ROWS, ANCHOR, threshold=1, features=judged(space("q50"), 1, 3))
    assert report.of_relevant is not None
    assert (report.of_relevant.covered, report.of_relevant.of) == (1, 2)
    assert report.of_anchor.of == 4
