"""Choosing rows: what is wanted, where the choice ends, and what is said of bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_datasets import FeatureCoverage, Selection, coverage, select_covering_subset
from fac_datasets.coverage import candidates
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError, RowError
from tests.benchmarks.bench_select import stream_of
from tests.coverage.cases import D_SAE, DAMAGED, judged, rows_of_ids, space, stored, table
from tests.memory import forget_peak, peak_mb


def rows(*ids: list[int], **columns: list[Any]) -> datasets.Dataset:
    found = table([dict.fromkeys(of_row, 3.0) for of_row in ids])
    for name, values in columns.items():
        if name in found.column_names:
            found = found.remove_columns(name)
        found = found.add_column(name, values)
    return found


DATASET = rows([1], [1, 2, 3], [3, 4], [5], [4, 5, 6], [])
ANCHOR = rows([1, 2], [2, 4], [9])


def select(dataset: Any = DATASET, **options: Any) -> Selection:
    return select_covering_subset(dataset, **{"threshold": 1, **options})


# --- what is wanted ---------------------------------------------------------------------------------------------------


def test_without_an_anchor_all_features_of_the_dataset_are_wanted() -> None:
    selection = select()
    assert list(selection) == [1, 4]
    assert selection.curve.tolist() == [0.5, 1.0]
    assert selection.gains.tolist() == [3.0, 3.0]
    assert (selection.stopped, len(selection.missing)) == ("exhausted", 0)


def test_with_an_anchor_its_features_are() -> None:
    selection = select(anchor=ANCHOR)
    assert list(selection) == [1, 2]
    assert selection.curve.tolist() == [0.5, 0.75]
    assert (selection.covered.tolist(), selection.missing.tolist()) == ([1, 2, 4], [9])


@pytest.mark.parametrize("form", ["stream", "state"])
def test_an_anchor_and_what_is_given_come_in_any_form(form: str) -> None:
    def of(dataset: datasets.Dataset) -> Any:
        if form == "stream":
            return dataset.to_iterable_dataset()
        return FeatureCoverage(D_SAE, space(), 1.0).update(dataset.with_format("arrow")[:])

    plain = select(anchor=ANCHOR, given=rows([1, 9])).to_dict()
    assert select(anchor=of(ANCHOR), given=of(rows([1, 9]))).to_dict() == plain


def test_features_narrow_what_is_wanted() -> None:
    assert list(select(features=[5, 6])) == [4]
    assert list(select(anchor=ANCHOR, features=[4, 5])) == [2]
    assert list(select(features=judged(space(), 1, 2))) == [1]


def test_only_activations_above_the_threshold_count() -> None:
    assert list(select(table([{1: 0.9}, {1: 1.1}]))) == [1]


@settings(max_examples=60)
@given(rows_of_ids, rows_of_ids.filter(any), st.none() | st.integers(1, 3), st.data())
def test_the_curve_is_the_coverage_of_the_chosen_rows(
    ids: list[list[int]], anchor_ids: list[list[int]], size: int | None, data: st.DataObject
) -> None:
    strengths = st.sampled_from([0.7, 1.5])
    dataset = table([{i: data.draw(strengths) for i in of_row} for of_row in ids])
    anchor = rows(*anchor_ids)
    selection = select(dataset, anchor=anchor, size=size)
    for n_rows, share in enumerate(selection.curve, start=1):
        assert coverage(dataset.select(selection[:n_rows]), anchor, threshold=1).fac == share
    if selection.stopped == "exhausted":
        assert selection.reached == coverage(dataset, anchor, threshold=1).fac


def test_what_is_given_counts_as_covered() -> None:
    selection = select(given=rows([1, 2, 3]))
    assert (selection.start, list(selection), selection.reached) == (0.5, [4], 1.0)
    assert 1 in selection.covered


def test_each_feature_is_wanted_as_often_as_asked_for() -> None:
    dataset = rows([1, 2], [1, 2], [1, 2], [1])
    selection = select(dataset, per_feature=2)
    assert (list(selection), selection.curve.tolist()) == ([0, 1], [0.5, 1.0])
    one_more = select(dataset, per_feature=2, given=rows([1, 2]))
    assert (list(one_more), one_more.curve.tolist()) == ([0], [1.0])


def test_features_weigh_as_many_rows_of_the_anchor_as_activate_them() -> None:
    anchor = rows([1], [1], [1], [2], [3])
    dataset = rows([2, 3], [1])
    assert list(select(dataset, anchor=anchor)) == [0, 1]
    weighed = select(dataset, anchor=anchor, feature_weights="anchor_rows")
    assert (list(weighed), weighed.curve.tolist()) == ([1, 0], [0.6, 1.0])


def test_features_weigh_what_is_said() -> None:
    selection = select(feature_weights={1: 0.5, 5: 2})
    assert list(selection) == [3, 0]
    assert selection.gains.tolist() == [2.0, pytest.approx(0.5)]


def test_quality_multiplies_gains() -> None:
    dataset = rows([1, 2, 3], [1, 2], [4], quality=[0.5, 1.0, 0.0])
    selection = select(dataset, quality="quality")
    assert (list(selection), selection.gains.tolist()) == ([1, 0], [2.0, 0.5])
    assert selection.missing.tolist() == [4]


# --- where it ends ----------------------------------------------------------------------------------------------------


def test_any_first_part_is_the_selection_of_that_size() -> None:
    whole = select(anchor=ANCHOR)
    for size in range(1, len(whole)):
        part = select(anchor=ANCHOR, size=size)
        assert (list(part), part.stopped) == (whole[:size], "size")


def test_a_size_above_the_rows_gives_those_that_add_something() -> None:
    selection = select(size=100)
    assert (list(selection), selection.reason) == ([1, 4], "no other row adds anything")


def test_tokens_are_a_budget_and_longer_rows_are_passed_over() -> None:
    dataset = rows([1, 2, 3], [1], [2], [4], feature_tokens=[100, 2, 2, 90])
    selection = select(dataset, tokens=10)
    assert (list(selection), selection.tokens, selection.stopped) == ([1, 2], 4, "tokens")
    assert select(dataset, tokens=1000).stopped == "exhausted"


def test_the_better_of_two_ways_is_taken_within_a_budget() -> None:
    by_gain = rows([1, 2, 3, 4], [5], feature_tokens=[10, 1])
    assert list(select(by_gain, tokens=10)) == [0]
    by_token = rows([1, 2, 3], [1, 2], [3, 4], feature_tokens=[10, 5, 5])
    assert list(select(by_token, tokens=10)) == [1, 2]


def test_a_target_ends_the_choice() -> None:
    selection = select(target=0.5)
    assert (list(selection), selection.stopped, selection.reached) == ([1], "target", 0.5)
    assert list(select(given=rows([1, 2, 3]), target=0.5)) == []


def test_of_a_target_out_of_reach_it_is_said_what_was_reached() -> None:
    selection = select(anchor=ANCHOR, target=0.9)
    assert selection.stopped == "exhausted"
    assert selection.reason == "no other row adds anything; coverage 0.750 of the 0.9 asked for was reached"


def test_rows_that_have_nothing_of_what_is_wanted_are_no_error() -> None:
    selection = select(rows([5]), anchor=ANCHOR)
    assert (list(selection), selection.reached, selection.missing.tolist()) == ([], 0.0, [1, 2, 4, 9])


# --- within groups ----------------------------------------------------------------------------------------------------


def test_within_groups_it_is_the_choice_of_each_group_alone() -> None:
    dataset = rows([1], [1, 2], [1, 2], [3], [3, 4], [], label=["b", "a", "b", None, "b", "none"])
    selection = select(dataset, per="label", size=2)
    assert list(selection.groups) == ["b", "a", None, "none"]
    expected = []
    for name, group in selection.groups.items():
        places = [row for row, label in enumerate(dataset["label"]) if label == name]
        alone = [] if name == "none" else [places[row] for row in select(dataset.select(places), size=2)]
        assert list(group) == alone
        expected += alone
    assert list(selection) == expected == [2, 4, 1, 3]
    assert selection.curve.tolist() == [0.5, 1.0, 1.0, 1.0]
    assert selection.stopped == "several"
    assert "1 of 4 groups: as many rows as asked for" in selection.reason


@pytest.mark.parametrize("per", [None, "label"])
def test_groups_share_anchor_and_budget_each(per: str | None) -> None:
    dataset = rows([1], [1], feature_tokens=[3, 4], label=["a", "b"])
    selection = select(dataset, anchor=ANCHOR, per=per, tokens=4)
    assert (list(selection), selection.tokens) == (([0, 1], 7) if per else ([0], 3))


# --- what a selection is ----------------------------------------------------------------------------------------------


def test_it_is_a_sequence_of_indices_which_a_dataset_takes() -> None:
    selection = select()
    assert (len(selection), selection[0], selection[:1], 4 in selection) == (2, 1, [1], True)
    assert DATASET.select(selection)["feature_ids"][:] == [[1, 2, 3], [4, 5, 6]]
    assert selection.rows.dtype == np.int64


def test_it_is_told_as_plain_values_and_drawn(tmp_path: Path) -> None:
    selection = select(rows([1], [2], label=["a", "b"]), per="label")
    values = json.loads(json.dumps(selection.to_dict()))
    assert (values["rows"], values["n_covered"], values["n_wanted"]) == ([0, 1], 2, 2)
    assert values["groups"][0] == {"group": "a", "n_rows": 1, "reached": 1.0, "stopped": "exhausted"}
    selection.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


# --- more rows than memory holds --------------------------------------------------------------------------------------


def streamed(dataset: datasets.Dataset) -> datasets.IterableDataset:
    def each() -> Iterator[dict[str, Any]]:
        yield from dataset

    return datasets.IterableDataset.from_generator(each)


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, D_SAE - 1), unique=True, max_size=6), min_size=1, max_size=40).filter(any),
    st.sampled_from([{}, {"per_feature": 2}, {"size": 3}, {"tokens": 9}, {"quality": "quality"}, {"target": 0.8}]),
    st.integers(2, 20),
)
def test_a_stream_and_little_memory_give_the_same_rows(
    ids: list[list[int]], options: dict[str, Any], most_pairs: int
) -> None:
    dataset = rows(*ids, quality=[len(of_row) % 3 for of_row in ids])
    plain = select(dataset, **options).to_dict()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "MOST_PAIRS", most_pairs)
        patch.setattr(candidates, "BATCH_ROWS", 5)
        assert select(dataset, **options).to_dict() == plain
        assert select(dataset.to_iterable_dataset(), **options).to_dict() == plain
    assert select(streamed(dataset), **options).to_dict() == plain


def test_a_stream_that_gives_other_rows_when_read_again_is_refused() -> None:
    lengths = iter([6, 6, 5])

    def each() -> Iterator[dict[str, Any]]:
        yield from DATASET.select(range(next(lengths)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "MOST_PAIRS", 2)
        patch.setattr(candidates, "BATCH_ROWS", 2)
        with pytest.raises(DatasetError, match="6 rows at first and 5 when it was read again"):
            select(datasets.IterableDataset.from_generator(each))


@pytest.mark.slow
def test_a_stream_takes_memory_for_the_best_of_its_rows_alone() -> None:
    stream = stream_of(200_000, features_a_row=60)
    select(stream_of(10_000, features_a_row=60), size=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "MOST_PAIRS", 1_000_000)
        forget_peak()
        before = peak_mb()
        assert len(select(stream, size=5)) == 5
    # All 12 million pairs of row and feature take 180 MB and more.
    assert peak_mb() - before < 90


# --- bad input --------------------------------------------------------------------------------------------------------

GROUPED = rows([1], [2], label=["a", "b"], parts=[["x"], ["y"]])

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "size 0": ({"size": 0}, OptionError, "size=0 is too small"),
    "half a row": ({"size": 1.5}, OptionError, "size=1.5 is too small or no number"),
    "size True": ({"size": True}, OptionError, "size=True"),
    "tokens 0": ({"tokens": 0}, OptionError, "tokens=0"),
    "per_feature 0": ({"per_feature": 0}, OptionError, "per_feature=0"),
    "per_feature None": ({"per_feature": None}, OptionError, "per_feature=None"),
    "target 0": ({"target": 0}, OptionError, "target=0 is no coverage"),
    "target above 1": ({"target": 1.5}, OptionError, "target=1.5 is no coverage to reach"),
    "target in words": ({"target": "all"}, OptionError, "target='all'"),
    "unknown weights": ({"feature_weights": "rare"}, OptionError, "'rare' is neither 'anchor_rows' nor"),
    "negative weight": ({"feature_weights": {1: -1}}, OptionError, "gives feature 1 -1"),
    "weight NaN": ({"feature_weights": {1: float("nan")}}, OptionError, "gives feature 1 nan"),
    "weight of a text": ({"feature_weights": {"1": 1}}, OptionError, "holds the id '1'"),
    "no weight": ({"feature_weights": {7: 1}}, OptionError, "gives none of the 2 wanted features"),
    "no such quality": ({"quality": "score"}, ColumnError, "no column 'score'"),
    "quality in words": ({"quality": "label"}, ColumnError, "'label' holds 'a' and no numbers"),
    "no such group": ({"per": "topic"}, ColumnError, "no column 'topic'"),
    "groups by lists": ({"per": "parts"}, ColumnError, "'parts' holds list"),
    "features of nobody": ({"features": [11]}, DatasetError, "the dataset activates no feature of those asked for"),
    "features of no anchor": ({"features": [1], "anchor": rows([2])}, DatasetError, "the anchor activates no feature"),
    "no features at all": ({"features": []}, OptionError, "features= holds no id"),
    "an empty anchor": ({"anchor": rows([1]).select([])}, DatasetError, "the anchor has no rows"),
    "an empty dataset given": ({"given": rows([1]).select([])}, DatasetError, "the given dataset has no rows"),
    "an anchor of another space": (
        {"anchor": table([{1: 3.0}], space(layer=4))},
        FeatureSpaceMismatch,
        "two different",
    ),
    "given of another space": ({"given": table([{1: 3.0}], space(layer=4))}, FeatureSpaceMismatch, "two different"),
    "a table of another space": ({"features": judged(space(layer=4), 1)}, FeatureSpaceMismatch, "two different"),
    "a state of another threshold": (
        {"given": FeatureCoverage(D_SAE, space(), 2.0).update(rows([1]).with_format("arrow")[:])},
        OptionError,
        "the given dataset is a merged state .* other thresholds than 1",
    ),
    "an anchor that is none": ({"anchor": [1]}, DatasetError, "the anchor is of type list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(case: str) -> None:
    options, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        select(GROUPED, **options)


@pytest.mark.parametrize("bad", [None, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("per", [None, "label"])
def test_a_row_without_quality_is_named(bad: float | None, per: str | None) -> None:
    dataset = rows([1], [2], [3], quality=[1.0, 2.0, bad], label=["a", "a", "b"])
    with pytest.raises(RowError, match="row 2 has the quality"):
        select(dataset, quality="quality", per=per)


def test_an_empty_dataset_and_several_splits_are_refused() -> None:
    with pytest.raises(DatasetError, match="the dataset has no rows"):
        select(DATASET.select([]))
    with pytest.raises(DatasetError, match="splits"):
        select(datasets.DatasetDict({"train": DATASET}))


def test_tokens_need_their_column() -> None:
    with pytest.raises(ColumnError, match="no column 'feature_tokens'"):
        select(DATASET.remove_columns("feature_tokens"), tokens=3)


def test_a_stream_has_no_groups() -> None:
    with pytest.raises(DatasetError, match="per='label' needs rows that can be taken apart"):
        select(GROUPED.to_iterable_dataset(), per="label")


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("stream", [False, True])
def test_damaged_columns_are_refused_also_in_groups(case: str, stream: bool) -> None:
    ids: Any
    activations: Any
    ids, activations, message = DAMAGED[case]
    damaged = stored(ids, activations)
    for options in ({"anchor": ANCHOR}, {}):
        with pytest.raises(RowError, match=message):
            select(damaged.to_iterable_dataset() if stream else damaged, **options)
    if not stream:
        with pytest.raises(RowError, match=message):
            select(damaged.add_column("label", ["a", "b"][: len(ids)]), anchor=ANCHOR, per="label")
