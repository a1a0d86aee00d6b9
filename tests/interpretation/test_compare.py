"""Two datasets side by side: built on the contrast, told with rows and spans of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets import compare
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError, RowError
from fac_datasets.interpretation.comparison import Comparison, comparison_in_words
from fac_datasets.interpretation.contrast import contrast
from tests.coverage.cases import judged
from tests.coverage.cases import table as feature_rows
from tests.interpretation.comparing import answers_with, texts_with
from tests.interpretation.test_contrast import SPACE, sample


@pytest.fixture(scope="module")
def sides() -> tuple[datasets.Dataset, datasets.Dataset]:
    """60 and 90 rows of 8 features, of which 1 fires in the first alone, 2 in the second alone, and 7 in neither."""
    a, b = sample(60, 8, 0, 0.2), sample(90, 8, 1)
    a[:, 2], b[:, 1], a[:, 7], b[:, 7] = 0, 0, 0, 0
    return texts_with(a), texts_with(b)


def dense(rows: datasets.Dataset) -> np.ndarray:
    found = np.zeros((len(rows), 8))
    for row, (ids, values) in enumerate(zip(rows["feature_ids"], rows["feature_activations"], strict=True)):
        found[row, ids] = values
    return found


def by_feature(found: Comparison) -> dict[int, dict[str, Any]]:
    return {row["feature_id"]: row for row in found.table.to_list()}


def test_effects_intervals_and_q_values_are_those_of_the_contrast(
    sides: tuple[datasets.Dataset, datasets.Dataset],
) -> None:
    found = compare(*sides, threshold=0.5)
    ids = sorted(found.table["feature_id"])
    expected = contrast(*sides, ids)
    for place, feature in enumerate(ids):
        row = by_feature(found)[feature]
        assert [row[name] for name in ("effect", "low", "high", "p", "q")] == [
            values[place] for values in (expected.effect, expected.low, expected.high, expected.p, expected.adjusted_p)
        ]


def test_rows_are_those_above_the_threshold_and_features_that_no_row_activates_are_left_out(
    sides: tuple[datasets.Dataset, datasets.Dataset],
) -> None:
    found = compare(*sides, threshold=0.5)
    counts = [(dense(rows) > 0.5).sum(axis=0) for rows in sides]
    assert 7 not in by_feature(found)
    for feature, row in by_feature(found).items():
        assert [row["rows_a"], row["rows_b"]] == [of_side[feature] for of_side in counts]


def test_features_that_differ_come_first_and_name_the_side_that_has_more(
    sides: tuple[datasets.Dataset, datasets.Dataset],
) -> None:
    found = compare(*sides, threshold=0.5)
    rows = found.table.to_list()
    assert [row["more_in"] is None for row in rows] == sorted(row["more_in"] is None for row in rows)
    for row in rows:
        side = ("a" if row["effect"] > 0 else "b") if row["q"] <= 0.05 else None
        assert row["more_in"] == side
    assert 1 in found.more_in("a")["feature_id"]
    assert 2 in found.more_in("b")["feature_id"]
    sizes = [abs(effect) for effect in found.more_in("a")["effect"]]
    assert sizes == sorted(sizes, reverse=True)
    assert not len(compare(*sides, threshold=0.5, alpha=1e-30).more_in("a"))


def test_spans_are_of_the_rows_where_a_feature_fires_most_on_each_side(
    sides: tuple[datasets.Dataset, datasets.Dataset],
) -> None:
    row = by_feature(compare(*sides, threshold=0.5, spans=1))[3]
    for side, rows in zip("ab", sides, strict=True):
        (span,) = row[f"spans_{side}"]
        assert span["activation"] == pytest.approx(dense(rows)[:, 3].max())
        assert span["row"] == dense(rows)[:, 3].argmax()
        assert (span["text"], span["start"], span["end"]) == ("r", 0, 1)


def test_without_spans_neither_texts_nor_offsets_are_needed(
    sides: tuple[datasets.Dataset, datasets.Dataset],
) -> None:
    names = ["feature_ids", "feature_activations", "feature_tokens", "feature_space"]
    bare = [rows.select_columns(names) for rows in sides]
    found = compare(*bare, threshold=0.5, spans=0)
    assert found.table["effect"] == compare(*sides, threshold=0.5).table["effect"]
    assert found.table[0]["spans_a"] == []


def test_a_dataset_compared_with_itself_differs_in_nothing(
    sides: tuple[datasets.Dataset, datasets.Dataset],
) -> None:
    found = compare(sides[0], sides[0], threshold=0.5)
    assert set(found.table["effect"]) == {0.0}
    assert set(found.table["more_in"]) == {None}
    assert all(low < 0 < high for low, high in zip(found.table["low"], found.table["high"], strict=True))


def test_a_side_without_features_lacks_all_that_the_other_has() -> None:
    found = compare(texts_with(sample(40, 3, 0, 1.0)), texts_with(np.zeros((40, 3))), threshold=0.5)
    assert sorted(found.more_in("a")["feature_id"]) == [0, 1, 2]
    assert set(found.table["rows_b"]) == {0}
    assert found.table[0]["spans_b"] == []


def test_where_no_side_has_features_the_table_has_no_rows_and_all_else_still_works(tmp_path: Path) -> None:
    nothing = texts_with(np.zeros((5, 3)))
    found = compare(nothing, nothing, threshold=0.5)
    assert len(found.table) == 0
    found.plot(tmp_path / "nothing.png")
    assert "0 features" in found.to_html()
    assert comparison_in_words(found.to_dict()) == [
        "0 features in 5 rows of A and 5 of B: 0 are more in A, 0 in B (false discovery rate 0.05)"
    ]


def test_one_row_on_a_side_tells_nothing_for_sure() -> None:
    found = compare(texts_with(sample(1, 3, 0, 2.0)), texts_with(np.zeros((30, 3))), threshold=0.5)
    assert set(found.table["low"]) == {-1.0}
    assert set(found.table["more_in"]) == {None}


def test_only_features_that_count_are_compared(sides: tuple[datasets.Dataset, datasets.Dataset]) -> None:
    assert sorted(compare(*sides, threshold=0.5, features=[3, 7, 99]).table["feature_id"]) == [3]
    assert sorted(compare(*sides, threshold=0.5, features=judged(SPACE, 0, 2)).table["feature_id"]) == [0, 2]


def test_names_are_those_given(sides: tuple[datasets.Dataset, datasets.Dataset]) -> None:
    found = compare(*sides, threshold=0.5, feature_names={1: "coffee"})
    assert {row["feature_id"]: row["name"] for row in found.table if row["name"]} == {1: "coffee"}
    assert any("1 (coffee): +" in line for line in comparison_in_words(found.to_dict()))


def test_each_side_may_have_a_column_of_its_own() -> None:
    a, b = sample(50, 4, 0, 0.5), sample(50, 4, 1)
    pairs = answers_with(a, b)
    expected = compare(texts_with(a), texts_with(b), threshold=0.5, spans=0).table["effect"]
    assert compare(pairs, pairs, column="chosen", other_column="rejected", threshold=0.5).table["effect"] == expected
    mixed = compare(texts_with(a), pairs, other_column="rejected", column="text", threshold=0.5)
    assert mixed.table["effect"] == expected


def test_a_report_with_its_table_is_the_comparison_again(sides: tuple[datasets.Dataset, datasets.Dataset]) -> None:
    found = compare(*sides, threshold=0.5, names=("one", "two"))
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    again = Comparison.from_dict(found.table, report)
    assert again.to_dict() == found.to_dict()
    assert again.to_html() == found.to_html()


def test_rows_without_counterpart_of_their_length_are_told() -> None:
    rows = [texts_with(sample(60, 3, seed, 0.5)) for seed in (0, 1)]
    lengths = np.repeat([1, 2], 30), np.repeat([1, 90], 30)
    rows = [
        each.remove_columns("feature_tokens").add_column("feature_tokens", of_side)
        for each, of_side in zip(rows, lengths, strict=True)
    ]
    with pytest.warns(UserWarning, match="are not compared"):
        found = compare(rows[0], rows[1], threshold=0.5)
    assert found.left_out == 60
    assert "60 rows are not compared" in comparison_in_words(found.to_dict())[1]
    assert "60 rows have no counterpart" in found.to_html()


def test_what_cannot_be_compared_is_refused_in_a_sentence(
    sides: tuple[datasets.Dataset, datasets.Dataset],
) -> None:
    a, b = sides
    with pytest.raises(DatasetError, match=r"^b has no rows; a comparison needs some on both sides$"):
        compare(a, b.select([]), threshold=0.5)
    with pytest.raises(FeatureSpaceMismatch, match="two different spaces"):
        compare(a, b.map(lambda _: {"feature_space": SPACE.replace("layer1", "layer2")}), threshold=0.5)
    with pytest.raises(ColumnError, match="no column 'feature_space'"):
        compare(a, b.select_columns(["text"]), threshold=0.5)
    with pytest.raises(ColumnError, match=r"hold only activations above 0.5.*threshold=0"):
        compare(feature_rows([{1: 2.0}]), feature_rows([{1: 2.0}]), threshold=1, spans=0)
    with pytest.raises(DatasetError, match="a is a stream"):
        compare(a.to_iterable_dataset(), b, threshold=0.5)
    with pytest.raises(RowError, match="row 0 has no features"):
        compare(a.map(lambda _: {"feature_ids": None}), b, threshold=0.5)
    far = b.map(lambda _: {"feature_tokens": 500})
    with pytest.raises(DatasetError, match="no row of one set is about as long as a row of the other"):
        compare(a, far, threshold=0.5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"alpha": 0.0}, "alpha=0.0 is not in"),
        ({"alpha": "5 %"}, "alpha='5 %' is not in"),
        ({"spans": 33}, "spans=33 is no number of spans from 0 to 32"),
        ({"threshold": "q17"}, "threshold='q17'"),
        ({"features": []}, "features= holds no id"),
    ],
)
def test_options_without_meaning_are_refused(
    sides: tuple[datasets.Dataset, datasets.Dataset], options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(OptionError, match=problem):
        compare(*sides, **{"threshold": 0.5, **options})


def test_there_are_two_sides(sides: tuple[datasets.Dataset, datasets.Dataset]) -> None:
    with pytest.raises(OptionError, match="side='c' is neither 'a' nor 'b'"):
        compare(*sides, threshold=0.5).more_in("c")
