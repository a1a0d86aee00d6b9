"""Contrast of labelled rows, compared with independent implementations of the same statistics."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets import (
    FeatureExtractor,
    contrast_relevance,
    relevant_features,
)
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError, RowError
from fac_datasets.interpretation.contrast import contrast, distinct_features, split_by_label
from tests.coverage.cases import DAMAGED, stored

SPACE = f"m@{1:016x}/layer1/raw/s@{2:016x}/sae/max/>0/cut512"


def rows_of(activations: np.ndarray, tokens: Any = None) -> datasets.Dataset:
    """Feature columns of dense activations, [n_rows, n_features], of rows that are all equally long by default."""
    kinds = {
        "feature_ids": datasets.List(datasets.Value("int32")),
        "feature_activations": datasets.List(datasets.Value("float32")),
        "feature_tokens": datasets.Value("int32"),
        "feature_space": datasets.Value("string"),
    }
    columns = {
        "feature_ids": [np.flatnonzero(row) for row in activations],
        "feature_activations": [row[row > 0] for row in activations],
        "feature_tokens": [0] * len(activations) if tokens is None else tokens,
        "feature_space": [SPACE] * len(activations),
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def table_of(n_features: int) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"feature_id": range(n_features), "feature_space": [SPACE] * n_features})


def sample(n_rows: int, n_features: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Activations with many zeros and many ties."""
    rng = np.random.default_rng(seed)
    values = np.maximum(rng.normal(shift, 1.0, size=(n_rows, n_features)), 0).round(1)
    return values.astype(np.float32)


def test_the_contrast_of_every_feature_is_mann_and_whitneys() -> None:
    positive, background = sample(60, 30, 0, 0.4), sample(90, 30, 1)
    positive[:, 7], background[:, 7] = 0, 0
    found = contrast(rows_of(positive), rows_of(background), np.arange(30))
    rng = np.random.default_rng(0)
    for feature in range(30):
        if feature == 7:
            assert (found.effect[7], found.p[7]) == (0, 1)
            continue
        sides = (part[:, feature].astype(float) for part in (positive, background))
        expected = scipy.stats.mannwhitneyu(*sides, method="asymptotic", use_continuity=False)
        assert found.effect[feature] == pytest.approx(2 * expected.statistic / (60 * 90) - 1)
        # The p-value is that of labels dealt out at random, however many rows are tied at 0.
        ranks = scipy.stats.rankdata(np.concatenate([positive[:, feature], background[:, feature]]))
        sums = rng.permuted(np.tile(ranks, (4_000, 1)), axis=1)[:, :60].sum(axis=1)
        observed = ranks[:60].sum()
        dealt = 2 * min((sums >= observed).mean(), (sums <= observed).mean())
        assert found.p[feature] == pytest.approx(min(dealt, 1), rel=0.3, abs=0.01)
    assert found.adjusted_p == pytest.approx(scipy.stats.false_discovery_control(found.p))


def test_the_log_odds_of_firing_are_those_of_the_table_with_half_a_pair_more() -> None:
    positive, background = sample(60, 20, 0, 0.4), sample(90, 20, 1)
    found = contrast(rows_of(positive), rows_of(background), np.arange(20), measure="log_odds")
    for feature in range(20):
        cells = np.array(
            [[(part[:, feature] > 0).sum(), (part[:, feature] == 0).sum()] for part in (positive, background)]
        )
        pairs = cells[0, 0] * cells[1, 1] / 150 + 0.5, cells[0, 1] * cells[1, 0] / 150 + 0.5
        assert found.effect[feature] == pytest.approx(np.log(pairs[0] / pairs[1]))
        assert found.p[feature] == pytest.approx(exact_p(int(cells[0, 0]), int(cells[1, 0]), 60, 90), rel=0.3)


def exact_p(fired: int, fired_there: int, n_positive: int, n_background: int) -> float:
    """Fisher's test, whose two tails are taken to be alike."""
    chance = scipy.stats.hypergeom(n_positive + n_background, fired + fired_there, n_positive)
    return float(min(1.0, 2 * min(chance.sf(fired - 1), chance.cdf(fired))))


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
@pytest.mark.parametrize("fired", [1, 2, 5, 12])
def test_a_feature_that_fires_in_few_rows_is_as_significant_as_an_exact_test_says(measure: str, fired: int) -> None:
    # Where a normal distribution would say 1e-5 of one row among 5 % that is positive, chance gives it in 0.05.
    for others in (0, 3):
        positive, background = np.zeros((30, 1), np.float32), np.zeros((570, 1), np.float32)
        positive[:fired], background[:others] = 1, 1
        found = contrast(rows_of(positive), rows_of(background), [0], measure=measure).p[0]
        exact = exact_p(fired, others, 30, 570)
        assert 0.8 * exact < found < max(exact**0.6, 1e-9), "rather too large than too small"


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
def test_labels_dealt_out_at_random_find_nothing_however_few_are_positive(measure: str) -> None:
    # 2,000 features, most of which fire in a handful of 600 rows, and labels that have nothing to do with them.
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-3, -0.3, size=2_000)
    values = ((rng.random((600, 2_000)) < rates) * rng.gamma(2.0, size=(600, 2_000))).astype(np.float32)
    lengths = rng.integers(10, 200, 600)
    discoveries = []
    for _ in range(4):
        order = rng.permutation(600)
        sides = [rows_of(values[part], lengths[part]) for part in (order[:30], order[30:])]
        judged = contrast_relevance(table_of(2_000), *sides, measure=measure)
        discoveries.append(len(relevant_features(judged)))
    assert sum(discoveries) <= 2, discoveries


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
def test_a_feature_of_a_rare_task_is_found_among_thousands(measure: str) -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((600, 2_000)) < 0.02).astype(np.float32)
    values[:10, 0], values[10:, 0] = 1, 0
    sides = rows_of(values[:30]), rows_of(values[30:])
    assert relevant_features(contrast_relevance(table_of(2_000), *sides, measure=measure)).tolist() == [0]


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
def test_a_feature_that_fires_less_is_no_evidence_however_unequal_the_sides(measure: str) -> None:
    # 0 of 100 rows of the task against 400 of 10,000 others; the second feature fires nowhere.
    positive, background = np.zeros((100, 2), np.float32), np.zeros((10_000, 2), np.float32)
    background[:400, 0] = 1
    lengths = [np.random.default_rng(0).integers(10, 200, len(side)) for side in (positive, background)]
    sides = [rows_of(side, length) for side, length in zip((positive, background), lengths, strict=True)]
    found = contrast(sides[0], sides[1], [0, 1], measure=measure)
    assert found.effect[0] < 0
    assert (found.effect[1], found.p[1]) == (0, 1)


@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
def test_a_feature_of_long_texts_is_no_feature_of_the_task(measure: str) -> None:
    # Feature 0 fires in long rows, of which the task has more; feature 1 in rows of the task, whatever their length.
    rng = np.random.default_rng(0)
    sides = []
    for longer, harm in ((0.8, 1.0), (0.2, 0.0)):
        is_long = rng.random(400) < longer
        values = np.stack([is_long * (1 + rng.random(400)), (rng.random(400) < 0.2 + 0.3 * harm) * 1.0], axis=1)
        sides.append(rows_of(values.astype(np.float32), np.where(is_long, 200, 20) + rng.integers(0, 9, 400)))
    found = contrast(sides[0], sides[1], [0, 1], measure=measure)
    assert found.p[0] > 0.01 > 1e-6 > found.p[1]
    assert abs(found.effect[0]) < 0.1 < found.effect[1] or measure == "log_odds"
    alike = [side.remove_columns("feature_tokens").add_column("feature_tokens", [0] * 400) for side in sides]
    assert contrast(alike[0], alike[1], [0, 1], measure=measure).p[0] < 1e-20


def test_groups_of_lengths_are_compared_each_by_itself() -> None:
    positive, background = sample(200, 10, 0, 0.3), sample(200, 10, 1)
    lengths = [np.repeat([10, 90], 100), np.repeat([10, 90], [60, 140])]
    found = contrast(rows_of(positive, lengths[0]), rows_of(background, lengths[1]), np.arange(10))
    for feature in range(10):
        weighted = []
        for length in (10, 90):
            one = positive[lengths[0] == length, feature].astype(float)
            other = background[lengths[1] == length, feature].astype(float)
            u = scipy.stats.mannwhitneyu(one, other).statistic
            half = len(one) * len(other) / 2
            weighted.append(np.array([u - half, half]) / (len(one) + len(other) + 1))
        difference, whole = np.sum(weighted, axis=0)
        assert found.effect[feature] == pytest.approx(difference / whole)


def test_rows_without_any_of_their_length_on_the_other_side_are_not_left_out_in_silence() -> None:
    positive, background = sample(60, 3, 0), sample(60, 3, 1)
    with pytest.raises(DatasetError, match="medians 90 and 10"):
        contrast(rows_of(positive, [90] * 60), rows_of(background, [10] * 60), [0])
    with pytest.warns(UserWarning, match="40 of 120 rows"):
        contrast(rows_of(positive, [90] * 40 + [10] * 20), rows_of(background, [10] * 60), [0])


def test_features_that_fire_alike_are_taken_once() -> None:
    values = sample(100, 4, 0)
    values[:, 2] = values[:, 0] * 2
    rows, judged = rows_of(values), table_of(4).add_column("contrast", [0.5, -0.4, -0.6, 0.1])
    assert distinct_features(judged, rows, 4).tolist() == [2, 1, 3]
    assert distinct_features(judged, rows, 2).tolist() == [2, 1]
    assert distinct_features(judged, rows, 4, alike=1.01).tolist() == [2, 0, 1, 3]
    assert distinct_features(judged.select([3, 0]), rows, 4).tolist() == [0, 3]
    with pytest.raises(ColumnError, match="'contrast', which contrast_relevance makes"):
        distinct_features(table_of(4), rows, 2)
    foreign = judged.remove_columns("feature_space").add_column(
        "feature_space", [SPACE.replace("layer1", "layer2")] * 4
    )
    with pytest.raises(FeatureSpaceMismatch):
        distinct_features(foreign, rows, 2)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(["auroc", "log_odds"]))
def test_exchanging_the_sides_turns_the_direction(seed: int, measure: str) -> None:
    one, other = rows_of(sample(12, 6, seed, 0.5)), rows_of(sample(17, 6, seed + 1))
    forth = contrast(one, other, np.arange(6), measure=measure)
    back = contrast(other, one, np.arange(6), measure=measure)
    assert forth.effect == pytest.approx(-back.effect)
    assert forth.p == pytest.approx(back.p)


def test_few_of_many_features_without_a_difference_pass() -> None:
    same = contrast_relevance(table_of(400), rows_of(sample(80, 400, 0)), rows_of(sample(80, 400, 1)))
    assert len(relevant_features(same)) <= 4
    shifted = sample(80, 400, 0)
    shifted[:, :20] += 1
    found = contrast_relevance(table_of(400), rows_of(shifted), rows_of(sample(80, 400, 1)))
    assert {*range(20)} <= {*relevant_features(found).tolist()}
    assert len(relevant_features(found)) <= 24


def test_a_feature_that_fires_less_in_the_task_is_reported_but_no_evidence() -> None:
    positive, background = sample(80, 3, 0), sample(80, 3, 1)
    background[:, 1] += 1
    found = contrast_relevance(table_of(3), rows_of(positive), rows_of(background))
    assert found["contrast"][1] < -0.5
    assert found["relevance_p"][1] < 0.001
    assert found["evidence"][1] == []
    assert set(found["contrast_measure"]) == {"auroc"}


def test_other_evidence_stays_and_the_same_kind_is_replaced() -> None:
    table = table_of(2).add_column("evidence", [["llm", "contrast"], ["contrast"]])
    positive, background = sample(80, 2, 0), sample(80, 2, 1)
    positive[:, 1] += 1
    found = contrast_relevance(table, rows_of(positive), rows_of(background))
    assert found["evidence"] == [["llm"], ["contrast"]]


def test_features_of_the_table_alone_are_compared() -> None:
    rows = rows_of(sample(20, 50, 0))
    found = contrast_relevance(table_of(50).select([40, 2]), rows, rows)
    assert found["feature_id"] == [40, 2]
    assert found["contrast"] == pytest.approx([0, 0])


def test_labels_of_a_dataset_make_the_two_sides() -> None:
    rows = datasets.Dataset.from_dict({"text": list("abcde"), "toxic": [1, 0, None, 1, 0]})
    positive, background = split_by_label(rows, "toxic", "1")
    assert (positive["text"], background["text"]) == (["a", "d"], ["b", "e"])
    with pytest.raises(ColumnError, match="'harm'"):
        split_by_label(rows, "harm", 1)
    with pytest.raises(ColumnError, match=r"label 2.*\['0', '1', 'None'\]"):
        split_by_label(rows, "toxic", 2)


def test_a_contrast_without_meaning_is_refused(tiny_backbone: str, tiny_sae: str) -> None:
    rows = rows_of(sample(5, 3, 0))
    with pytest.raises(DatasetError, match="background"):
        contrast_relevance(table_of(3), rows, rows.select([]))
    with pytest.raises(OptionError, match="measure="):
        contrast_relevance(table_of(3), rows, rows, measure="f1")
    for alpha in (0.0, 1.0):
        with pytest.raises(OptionError, match="alpha="):
            contrast_relevance(table_of(3), rows, rows, alpha=alpha)
    other = datasets.Dataset.from_dict({"text": ["a"]}).map(
        FeatureExtractor(tiny_backbone, tiny_sae, threshold=0), batched=True
    )
    with pytest.raises(FeatureSpaceMismatch):
        contrast_relevance(table_of(3), other, rows)
    stored = datasets.Dataset.from_dict({"text": ["a"]}).map(FeatureExtractor(tiny_backbone, tiny_sae), batched=True)
    with pytest.raises(ColumnError, match="threshold=0"):
        contrast(stored, stored, [0])


def test_sides_that_are_no_dataset_are_refused() -> None:
    rows = rows_of(sample(4, 3, 0))
    given: Any
    for given in (datasets.DatasetDict(train=rows), rows.to_iterable_dataset(), None):
        for sides in ((given, rows), (rows, given)):
            with pytest.raises(DatasetError, match=r"(positive|background)= (is|holds)"):
                contrast_relevance(table_of(3), *sides)
            with pytest.raises(DatasetError, match=r"(positive|background)= (is|holds)"):
                contrast(*sides, features=np.arange(3))
        with pytest.raises(DatasetError, match="the feature table"):
            contrast_relevance(given, rows, rows)


@pytest.mark.parametrize(("ids", "activations", "said"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_columns_are_refused(ids: list[Any], activations: list[Any], said: str) -> None:
    rows = stored(ids, activations).remove_columns("feature_space")
    damaged = rows.add_column("feature_space", [SPACE] * 2).add_column("feature_tokens", [1, 1])
    sound = rows_of(sample(4, 3, 0))
    for sides in ((damaged, sound), (sound, damaged)):
        with pytest.raises(RowError, match=said):
            contrast(*sides, np.arange(3))


def test_sides_of_two_spaces_are_refused() -> None:
    rows = rows_of(sample(4, 3, 0))
    other = rows.remove_columns("feature_space").add_column("feature_space", [SPACE.replace("layer1", "layer2")] * 4)
    with pytest.raises(FeatureSpaceMismatch):
        contrast(rows, other, np.arange(3))


def test_rows_without_a_number_of_tokens_are_refused() -> None:
    rows = rows_of(sample(4, 3, 0))
    with pytest.raises(ColumnError, match="feature_tokens"):
        contrast(rows, rows.remove_columns("feature_tokens"), np.arange(3))


def test_features_that_are_no_ids_are_refused() -> None:
    rows = rows_of(sample(4, 3, 0))
    wrong: list[Any] = ["12", [-1], [0.5], None]
    for features in wrong:
        with pytest.raises(OptionError, match="features"):
            contrast(rows, rows, features)


def placements(mine: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of the other rows below each row, ties by half."""
    above, tied = mine[:, None] > others, mine[:, None] == others
    return np.array(above.mean(axis=1) + tied.mean(axis=1) / 2)


def test_the_interval_of_an_auroc_is_de_longs_with_a_row_more_on_each_side() -> None:
    positive, background = sample(30, 12, 0, 0.4), sample(45, 12, 1)
    found = contrast(rows_of(positive), rows_of(background), np.arange(12))
    for feature in range(12):
        mine, others = positive[:, feature], background[:, feature]
        first, second = placements(mine, others), 1 - placements(others, mine)
        area = first.mean()
        assert second.mean() == pytest.approx(area)
        variance = 4 * (first.var(ddof=1) / 30 + second.var(ddof=1) / 45) + 1 / 31**2 + 1 / 46**2
        centre = (2 * area - 1) * 30 / 31 * 45 / 46
        expected = np.clip(centre + np.array([-1, 1]) * 1.959964 * np.sqrt(variance), -1, 1)
        assert (found.low[feature], found.high[feature]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* rows are not compared")
@pytest.mark.parametrize("measure", ["auroc", "log_odds"])
@pytest.mark.parametrize(("n_positive", "n_background"), [(8, 100), (60, 60), (200, 300)])
def test_an_interval_holds_the_truth_as_often_as_it_says(measure: str, n_positive: int, n_background: int) -> None:
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-1.5, -0.1, size=200)
    rates_there = np.clip(rates * 10 ** rng.uniform(-0.5, 0.5, size=200), 0, 0.95)
    # Activations of 1 where a feature fires, of which both effects are known.
    truth = rates - rates_there
    if measure == "log_odds":
        truth = np.log(rates / (1 - rates)) - np.log(rates_there / (1 - rates_there))
    held = []
    for _ in range(8):
        positive, background = [
            rows_of((rng.random((n, 200)) < of_side).astype(np.float32), rng.integers(10, 200, n))
            for n, of_side in ((n_positive, rates), (n_background, rates_there))
        ]
        found = contrast(positive, background, np.arange(200), measure=measure)
        held.append((found.low <= truth) & (truth <= found.high))
    assert np.mean(held) > 0.92


def test_a_side_of_one_row_does_not_tell_how_rows_differ() -> None:
    found = contrast(rows_of(sample(1, 5, 0, 1.0)), rows_of(sample(30, 5, 1)), np.arange(5))
    assert (found.low.tolist(), found.high.tolist()) == ([-1.0] * 5, [1.0] * 5)


def test_rows_without_counterpart_of_their_length_are_counted() -> None:
    positive, background = sample(60, 4, 0), sample(60, 4, 1)
    lengths = np.repeat([10, 20], 30), np.repeat([10, 300], 30)
    with pytest.warns(UserWarning, match="are not compared"):
        found = contrast(rows_of(positive, lengths[0]), rows_of(background, lengths[1]), np.arange(4))
    # Rows of 20 tokens have none beside them, and nor have those of 300.
    assert found.left_out == 60
    assert contrast(rows_of(positive), rows_of(background), np.arange(4)).left_out == 0
