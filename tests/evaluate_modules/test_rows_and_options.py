"""Each of the ten metrics of evaluate takes rows as evaluate does, checks options first, and loses no rows that were
added."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import datasets
import evaluate
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fac_datasets import diversity, load_metric
from fac_datasets.errors import ColumnError, DatasetError, FacDatasetsError, OptionError, RowError
from fac_datasets.evaluate_modules.registry import metric_names

pytestmark = pytest.mark.slow

TEXTS = ["How do I cook rice?", "It rains.", "It rains.", "Sort the list."]
CHATS = [[{"role": "user", "content": text}] for text in TEXTS]
VECTORS = [[1.0, 0.5], [0.0, 1.0], [-1.0, 2.0], [0.5, 0.5]]
IDS = [[1, 2], [2], [], [9]]
ANCHOR = [[1, 2, 3], [9]]
OF_VECTORS = ("novelsum", "pair_cosdist", "semantic_entropy", "vendi_score")


def rows_of(name: str) -> list[Any]:
    """Rows that need no model, for each metric."""
    return IDS if name == "fac" else VECTORS if name in OF_VECTORS else TEXTS


def options_of(name: str) -> dict[str, Any]:
    of_some: dict[str, dict[str, Any]] = {"fac": {"references": ANCHOR}, "semantic_entropy": {"k": 2}}
    return of_some.get(name, {})


def measured(name: str, rows: Any) -> dict[str, Any]:
    values: dict[str, Any] = load_metric(name).compute(predictions=rows, **options_of(name))
    return values


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        first[key] == second[key] or math.isclose(first[key], second[key], rel_tol=1e-6) for key in first
    )


@pytest.mark.parametrize("name", metric_names())
def test_rows_have_one_value_whatever_holds_them(name: str) -> None:
    rows = rows_of(name)
    expected = measured(name, rows)
    held: dict[str, Any] = {
        "Series": pd.Series(rows, index=[3, 3, 9, 1]),
        "Arrow": pa.array(rows),
        "column": datasets.Dataset.from_dict({"rows": rows})["rows"],
        "generator": (row for row in rows),
        "tuple": tuple(rows),
    }
    for kind, column in held.items():
        assert same(measured(name, column), expected), kind


@pytest.mark.parametrize("name", [name for name in metric_names() if name not in (*OF_VECTORS, "fac")])
def test_chats_are_measured_as_their_texts(name: str) -> None:
    assert measured(name, CHATS) == measured(name, TEXTS)


WHOLE_DATASETS = [
    datasets.Dataset.from_dict({"text": TEXTS}),
    pd.DataFrame({"text": TEXTS}),
    {"text": TEXTS},
    set(TEXTS),
    5,
]


@pytest.mark.parametrize("name", metric_names())
@pytest.mark.parametrize("given", WHOLE_DATASETS, ids=lambda given: type(given).__name__)
def test_what_holds_no_column_is_refused(name: str, given: Any) -> None:
    for take in ("compute", "add_batch"):
        with pytest.raises(ColumnError, match=r"predictions are .*; give "):
            getattr(load_metric(name), take)(predictions=given)
    if name == "fac":
        with pytest.raises(ColumnError, match=r"references are .*; give "):
            load_metric(name).compute(predictions=IDS, references=given)


@pytest.mark.parametrize("name", metric_names())
def test_a_lone_surrogate_is_an_error_with_its_row(name: str) -> None:
    with pytest.raises(RowError, match="row 1 is not valid Unicode"):
        load_metric(name).compute(predictions=["fine", "broken \ud800"], **options_of(name))
    with pytest.raises(RowError, match="row 1 of the batch is not valid Unicode"):
        load_metric(name).add_batch(predictions=["fine", "broken \ud800"])


@pytest.mark.parametrize("bad", [[0.3, 1.7], [1.0], ["1"], [True], [-1], [10**12], [2**31], [math.nan]])
def test_fac_takes_nothing_but_ids_for_ids(bad: list[Any]) -> None:
    with pytest.raises(RowError, match="row 1 "):
        load_metric("fac").compute(predictions=[[1], bad], references=ANCHOR)
    with pytest.raises(FacDatasetsError, match="row 1 "):
        load_metric("fac").compute(predictions=IDS, references=[[1], bad])


def test_ids_of_vendi_score_keep_their_value_on_the_way_through_evaluate() -> None:
    ids = [[2**24, 2**31 - 1], [2**24 + 1, 2**31 - 2]]
    values = load_metric("vendi_score").compute(predictions=ids, kernel="features")
    assert values["vendi_score"] == pytest.approx(2)
    assert load_metric("vendi_score").compute(predictions=[[3.0], [5.0, 3.0]], kernel="features")["n_rows"] == 2
    for bad in ([0.5], [-1], [2**31], [math.nan], [1e300]):
        with pytest.raises(RowError, match="row 1 is no list of feature ids"):
            load_metric("vendi_score").compute(predictions=[[1], bad], kernel="features")


@pytest.mark.parametrize("name", OF_VECTORS)
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_the_size_of_vectors_is_of_no_account(name: str, size: float) -> None:
    rows = np.array(VECTORS)
    assert same(measured(name, rows * size), measured(name, rows))


@pytest.mark.parametrize("name", [name for name in OF_VECTORS if name != "vendi_score"])
@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_vectors_beyond_float32_are_an_error_when_they_are_added(name: str, size: float) -> None:
    metric = load_metric(name)
    with pytest.raises(RowError, match="row 1 of the batch has an embedding beyond float32"):
        metric.add_batch(predictions=[[1.0, 0.0], [size, size]])
    with pytest.raises(RowError, match="row 0 of the batch has an embedding that is of length 0"):
        metric.add(prediction=[0.0, 0.0])


# --- adding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", metric_names())
def test_a_row_may_be_added_by_either_name(name: str) -> None:
    metric = load_metric(name)
    first, second, *others = rows_of(name)
    metric.add(prediction=first, reference="of no account")
    metric.add(predictions=second, references="of no account")
    metric.add_batch(predictions=others, references=["of", "no account"])
    metric.add_batch(predictions=[])
    assert len(metric) == 4
    assert same(metric.compute(**options_of(name)), measured(name, rows_of(name)))


def test_metrics_that_are_combined_take_rows_one_by_one() -> None:
    together = evaluate.combine(["distinct_n", "compression_ratio", "near_duplicate_rate"])
    together.add(prediction=TEXTS[0], reference="of no account")
    together.add(predictions=TEXTS[1], references="of no account")
    together.add_batch(predictions=TEXTS[2:], references=TEXTS)
    values = together.compute()
    assert values["distinct_2"] == diversity.distinct_n(TEXTS)["distinct_2"]
    assert values["near_duplicate_rate"] == 0.5
    assert values["compression_ratio_n_rows"] == 4


def test_ids_that_are_combined_are_measured_against_an_anchor() -> None:
    together = evaluate.combine({"coverage": load_metric("fac")})
    for row in IDS:
        together.add(predictions=row)
    assert together.compute(references=ANCHOR)["fac"] == 0.75


@pytest.mark.parametrize("name", ["fac", *OF_VECTORS])
def test_rows_of_another_kind_than_those_before_are_an_error(name: str) -> None:
    metric = load_metric(name)
    metric.add_batch(predictions=TEXTS[:2])
    with pytest.raises(ColumnError, match="add rows of one kind"):
        metric.add_batch(predictions=rows_of(name))
    assert len(metric) == 2


def test_vectors_of_another_length_than_those_before_are_an_error() -> None:
    metric = load_metric("pair_cosdist")
    metric.add(prediction=[1, 0])
    metric.add(prediction=[0.5, 1])
    with pytest.raises(RowError, match="of length 3, those added before one of 2"):
        metric.add(prediction=[1.0, 2.0, 3.0])
    assert metric.compute()["n_rows"] == 2


# --- options ----------------------------------------------------------------------------------------------------------

WRONG: dict[str, dict[str, list[Any]]] = {
    "compression_ratio": {"level": [9]},
    "distinct_n": {
        "n": [math.nan, math.inf, "2", None, {1: 2}, 0, True],
        "vocabulary_size": [math.nan, "9", None, 1],
        "tokenize": ["words"],
    },
    "fac": {
        "threshold": [None, math.nan, math.inf, "q42", -1, {"q90"}, {"q90": 1}, [], [None], True, ["q90", math.nan]],
        "features": [5, {1}, {1: 2}, [1.5], ["1"], [-1], math.nan, "1"],
        "rarefaction": ["yes", math.nan, None],
        "budget_tokens": [0, math.nan, "9", 1.5, {1}],
        "control": ["shuffled", math.nan, {"random_sae"}],
        "backbone": [None, 5],
        "sae": [None, 5],
        "layer": [math.nan, "15", 1.5, {1}, -1],
        "seed": [-1, math.nan, "0", None, {1}],
    },
    "near_duplicate_rate": {
        "threshold": [None, math.nan, math.inf, "0.8", 0, {0.8}, {0.8: 1}],
        "seed": [None, "0", math.nan],
        "tokenize": [5],
    },
    "ngram_entropy": {"n": [math.nan, "2", None, {1: 2}], "tokenize": [5]},
    "novelsum": {
        "include_self": [None, "yes"],
        "distance_power": [math.nan, math.inf, "1", None, -1, {1}],
        "density_power": [math.nan, math.inf, "1", None, -1, {1}],
        "neighbors": [math.nan, "10", None, 0, {10}],
        "model": [5, None],
    },
    "pair_cosdist": {"model": [5, None, {1}]},
    "pos_distinct_n": {"n": [math.nan, "2", None, {1: 2}], "pipeline": [5, {1}, "no_such_pipeline"]},
    "semantic_entropy": {"k": ["2", None, math.nan, 2.0, {2}, 0], "seed": [None, "0"], "model": [5, None]},
    "vendi_score": {"kernel": [None, "words", {"features"}], "seed": [math.nan, "0"], "model": [5, None]},
}


def test_wrong_options_of_all_metrics_are_tried() -> None:
    assert list(WRONG) == metric_names()


@pytest.mark.parametrize("name", metric_names())
def test_wrong_options_are_named_and_the_rows_that_were_added_stay(name: str) -> None:
    metric = load_metric(name)
    metric.add_batch(predictions=rows_of(name))
    for option, values in {**WRONG[name], "no_such_option": [1]}.items():
        for value in values:
            with pytest.raises(OptionError):
                metric.compute(**{**options_of(name), option: value})
            assert len(metric) == 4
    assert same(metric.compute(**options_of(name)), measured(name, rows_of(name)))


def never() -> Iterator[Any]:
    raise AssertionError("a row was read")
    yield  # type: ignore[unreachable]


@pytest.mark.parametrize("name", metric_names())
def test_options_are_checked_before_rows_are_read(name: str) -> None:
    option, values = next(iter(WRONG[name].items()))
    with pytest.raises(OptionError, match=option):
        load_metric(name).compute(predictions=never(), **{**options_of(name), option: values[0]})


def test_an_option_that_is_unknown_is_named_with_those_that_are_there() -> None:
    with pytest.raises(OptionError, match=r"distinct_n has no option 'k'; .*'vocabulary_size'"):
        load_metric("distinct_n").compute(predictions=TEXTS, k=3)


@pytest.mark.parametrize("in_memory", [False, True])
def test_rows_that_were_added_stay_where_they_cannot_be_measured(in_memory: bool) -> None:
    metric = evaluate.load("semantic_entropy", keep_in_memory=in_memory)
    metric.add_batch(predictions=VECTORS[:2])
    metric.add(prediction=VECTORS[2])
    # How many clusters there can be shows only when all rows are there.
    with pytest.raises(OptionError, match=r"choose k in \[1, 4\]"):
        metric.compute(predictions=VECTORS[3:], k=5)
    # Those given to `compute` are not added, or they would count twice when they are given again.
    assert len(metric) == 3
    values = metric.compute(predictions=VECTORS[3:], k=2)
    assert same(values, measured("semantic_entropy", VECTORS))
    assert len(metric) == 0
    assert metric.compute(predictions=VECTORS[:2], k=1)["n_rows"] == 2


def test_rows_may_be_added_after_a_failure() -> None:
    metric = load_metric("fac")
    metric.add_batch(predictions=IDS[:2])
    with pytest.raises(DatasetError, match="as references"):
        metric.compute()
    metric.add_batch(predictions=IDS[2:])
    assert same(metric.compute(references=ANCHOR), measured("fac", IDS))


def test_many_rows_are_put_back() -> None:
    metric = load_metric("pair_cosdist")
    rows = np.random.default_rng(0).standard_normal((25_000, 3)).astype(np.float32)
    metric.add_batch(predictions=rows)

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    measure = type(metric).measure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(metric), "_compute", lambda self, predictions, **_: len(predictions) and interrupted())
        with pytest.raises(KeyboardInterrupt):
            metric.compute()
    assert metric.compute() == measure(rows)


@pytest.mark.parametrize("name", metric_names())
def test_no_rows_at_all_are_an_error(name: str) -> None:
    with pytest.raises(DatasetError, match="needs at least one"):
        load_metric(name).compute(**options_of(name))
