"""Pairs: every figure of every feature is that of a few lines over dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets import compare_pairs
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch
from fac_datasets.interpretation import paired
from fac_datasets.interpretation.comparison import Comparison, comparison_in_words
from fac_datasets.interpretation.style import StyleCounts, style_counts
from tests.interpretation.comparing import N_FEATURES, answers_with, texts_with
from tests.interpretation.test_contrast import SPACE

activations = st.sampled_from([0.0, 0.0, 0.0, 0.25, 1.0, 2.5])
rows = st.lists(activations, min_size=N_FEATURES, max_size=N_FEATURES)
answers = st.sampled_from(["Hello!", "- a\n- b", "**Yes** and no", "a b c d", ".", "Thanks, of course.", "1. x"])


def by_feature(found: Comparison) -> dict[int, dict[str, Any]]:
    return {row["feature_id"]: row for row in found.table.to_list()}


@settings(max_examples=30)
@given(st.lists(st.tuples(rows, rows, answers, answers), min_size=2, max_size=12), st.integers(0, 3))
def test_every_figure_is_that_of_its_definition(pairs: list[Any], seed: int) -> None:
    chosen, rejected = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    texts = [[pair[side] for pair in pairs] for side in (2, 3)]
    n = len(pairs)
    found = by_feature(
        compare_pairs(answers_with(chosen, rejected, (texts[0], texts[1])), threshold=0.5, seed=seed, spans=0)
    )
    active = np.stack([chosen, rejected]) > 0.5
    assert sorted(found) == np.flatnonzero(active.any(axis=(0, 1))).tolist()
    halves = np.random.default_rng(seed).permutation(n) % 2
    style = np.array([np.subtract(style_counts(a), style_counts(b)) for a, b in zip(*texts, strict=True)])
    for feature, row in found.items():
        differences = active[0, :, feature].astype(int) - active[1, :, feature]
        assert row["effect"] == pytest.approx(differences.mean())
        assert (row["rows_a"], row["rows_b"]) == tuple(active[:, :, feature].sum(axis=1))
        more, fewer = int((differences > 0).sum()), int((differences < 0).sum())
        assert row["p"] == pytest.approx(scipy.stats.binomtest(more, more + fewer).pvalue if more + fewer else 1.0)
        by_pair = (chosen - rejected)[:, feature]
        assert row["activation"] == pytest.approx(by_pair.mean(), abs=1e-9)
        half = scipy.stats.t.ppf(0.975, n - 1) * by_pair.std(ddof=1) / np.sqrt(n)
        # The quantile of Student's t is Wallace's, which is rough at one degree of freedom.
        assert row["activation_high"] - row["activation"] == pytest.approx(half, rel=0.9 if n == 2 else 0.08, abs=1e-9)
        signs = [np.sign(differences[halves == which].sum()) for which in (0, 1)]
        assert row["split_half"] == (signs[0] == signs[1] != 0)
        r = [
            float(np.corrcoef(by_pair, counts)[0, 1]) if np.ptp(by_pair) and np.ptp(counts) else 0.0
            for counts in style.T
        ]
        assert abs(row["style_r"]) == pytest.approx(max(map(abs, r)), abs=1e-6)
        if abs(abs(row["style_r"]) - 0.5) > 1e-6:
            assert (row["style"] is not None) == (max(map(abs, r)) >= 0.5)
        if row["style"]:
            assert r[StyleCounts._fields.index(row["style"])] == pytest.approx(row["style_r"], abs=1e-6)


def test_rows_read_in_batches_are_counted_as_those_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    chosen, rejected = (np.maximum(rng.normal(size=(50, 4)), 0).round(2) for _ in range(2))
    # The highest feature fires in the last rows alone.
    chosen[:40, 3], rejected[:40, 3] = 0, 0
    pairs = answers_with(chosen, rejected)
    at_once = compare_pairs(pairs, threshold=0.5).table.to_list()
    from fac_datasets.coverage import active_rows

    monkeypatch.setattr(active_rows, "BATCH_ROWS", 7)
    monkeypatch.setattr(paired, "BATCH_ROWS", 7)
    in_batches = compare_pairs(pairs, threshold=0.5).table.to_list()
    for row, expected in zip(in_batches, at_once, strict=True):
        assert row == {
            name: pytest.approx(value) if isinstance(value, float) else value for name, value in expected.items()
        }


def length_and_content(n: int = 200) -> Any:
    """Pairs whose chosen answers are longer at times; feature 0 goes with their length, 1 with what is said."""
    rng = np.random.default_rng(0)
    extra = rng.integers(0, 20, n)
    about_tea = rng.random(n) < 0.7
    chosen, rejected = np.zeros((n, 2)), np.zeros((n, 2))
    chosen[:, 0] = extra / 4
    chosen[:, 1] = about_tea * 3
    rejected[:, 1] = (rng.random(n) < 0.1) * 3
    texts = [" ".join(["word"] * (5 + more)) for more in extra.tolist()], ["word " * 5] * n
    return answers_with(chosen, rejected, texts)


def test_a_feature_that_goes_with_the_length_is_marked_and_one_of_content_is_not() -> None:
    found = compare_pairs(length_and_content(), threshold=0.5)
    rows = by_feature(found)
    assert (rows[0]["style"], rows[1]["style"]) == ("length", None)
    assert rows[0]["style_r"] == pytest.approx(1)
    assert (rows[1]["more_in"], rows[1]["split_half"]) == ("a", True)
    lines = comparison_in_words(found.to_dict())
    assert lines[0].startswith("2 features in 200 pairs of chosen and rejected: 2 are more in chosen, 0 in rejected")
    assert sum("style: length, r +1.00" in line for line in lines) == 1
    assert "style: length" in found.to_html()


def test_a_sign_that_does_not_hold_in_both_halves_is_said() -> None:
    halves = np.random.default_rng(0).permutation(40) % 2
    chosen = (halves == 0)[:, None] * 2.0
    found = compare_pairs(answers_with(chosen, np.zeros((40, 1))), threshold=0.5)
    assert by_feature(found)[0]["split_half"] is False
    assert any("the halves differ in sign" in line for line in comparison_in_words(found.to_dict()))
    assert "the halves differ in sign" in found.to_html()


def test_equal_answers_teach_nothing() -> None:
    same = np.array([[1.0, 0.0], [2.0, 3.0], [0.0, 1.0]])
    found = compare_pairs(answers_with(same, same), threshold=0.5)
    for name in ("effect", "activation", "style_r"):
        assert set(found.table[name]) == {0.0}
    assert set(found.table["more_in"]) == {None}
    assert set(found.table["split_half"]) == {False}


def test_rows_of_two_datasets_belong_together_by_their_place() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.maximum(rng.normal(size=(30, 3)), 0).round(2) for _ in range(2))
    texts = [f"answer {i}" for i in range(30)]
    two = compare_pairs(texts_with(a, texts), texts_with(b, texts), threshold=0.5)
    assert two.names == ("A", "B")
    one = compare_pairs(answers_with(a, b), threshold=0.5)
    assert one.names == ("chosen", "rejected")
    assert two.table["effect"] == one.table["effect"]
    with pytest.raises(DatasetError, match="a has 30 rows and b has 29"):
        compare_pairs(texts_with(a), texts_with(b[:29]), threshold=0.5)


def test_what_holds_no_pairs_is_refused_in_a_sentence() -> None:
    pairs = answers_with(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ColumnError, match=r"there is no column 'chosen' among .*name the two columns"):
        compare_pairs(texts_with(np.ones((3, 2))), threshold=0.5)
    with pytest.raises(ColumnError, match="there is no column 'worse' among"):
        compare_pairs(pairs, other_column="worse", threshold=0.5)
    with pytest.raises(ColumnError, match="no column 'rejected_feature_space'"):
        compare_pairs(pairs.remove_columns("rejected_feature_space"), threshold=0.5)
    with pytest.raises(DatasetError, match=r"^one pair does not tell how pairs differ; give at least two$"):
        compare_pairs(pairs.select([0]), threshold=0.5)
    with pytest.raises(DatasetError, match="a has no rows"):
        compare_pairs(pairs.select([]), threshold=0.5)
    with pytest.raises(FeatureSpaceMismatch):
        other = {"rejected_feature_space": SPACE.replace("layer1", "layer2")}
        compare_pairs(pairs.map(lambda _: other), threshold=0.5)
