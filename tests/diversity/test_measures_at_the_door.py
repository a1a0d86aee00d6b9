"""All measures of diversity take rows through one door, and name options that have no meaning before they read any."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fac_datasets import diversity
from fac_datasets.coverage.report import coverage_of_ids
from fac_datasets.errors import ColumnError, OptionError, RowError

OF_TEXTS: list[Callable[..., dict[str, Any]]] = [
    diversity.distinct_n,
    diversity.ngram_entropy,
    diversity.pos_distinct_n,
    diversity.compression_ratio,
    diversity.near_duplicate_rate,
]
OF_VECTORS: list[Callable[..., dict[str, Any]]] = [
    diversity.pair_cosdist,
    lambda rows, k=2, **options: diversity.semantic_entropy(rows, k=k, **options),
    diversity.vendi_score,
    diversity.novelsum,
]
NAMES_OF_VECTORS = ["pair_cosdist", "semantic_entropy", "vendi_score", "novelsum"]

TEXTS = ["How do I cook rice?", "It rains.", "It rains."]
CHATS = [[{"role": "user", "content": text}] for text in TEXTS]
VECTORS = [[1.0, 0.5], [0.0, 1.0], [-1.0, 2.0]]


def held_in(rows: list[Any]) -> dict[str, Any]:
    return {
        "Series": pd.Series(rows, index=[3, 3, 9]),
        "Arrow": pa.array(rows),
        "column": datasets.Dataset.from_dict({"rows": rows})["rows"],
        "generator": (row for row in rows),
    }


@pytest.mark.parametrize("measure", OF_TEXTS, ids=lambda f: f.__name__)
def test_texts_have_one_value_whatever_holds_them(measure: Callable[..., dict[str, Any]]) -> None:
    expected = measure(TEXTS)
    for held, rows in held_in(TEXTS).items():
        assert measure(rows) == expected, held
    assert measure(CHATS) == expected


@pytest.mark.parametrize("measure", OF_VECTORS, ids=NAMES_OF_VECTORS)
def test_vectors_have_one_value_whatever_holds_them(measure: Callable[..., dict[str, Any]]) -> None:
    expected = measure(VECTORS)
    for held, rows in held_in(VECTORS).items():
        assert measure(rows) == pytest.approx(expected), held


class Lengths:
    """A model whose embeddings are the lengths of the texts."""

    def encode(self, texts: list[str], **_: object) -> Any:
        return np.array([[len(text), 1.0] for text in texts])


@pytest.mark.parametrize("measure", OF_VECTORS, ids=NAMES_OF_VECTORS)
def test_texts_that_are_embedded_have_one_value_whatever_holds_them(measure: Callable[..., dict[str, Any]]) -> None:
    expected = measure(TEXTS, model=Lengths())
    assert expected["n_tokens"] == 12
    for held, rows in held_in(TEXTS).items():
        assert measure(rows, model=Lengths()) == pytest.approx(expected), held
    assert measure(CHATS, model=Lengths()) == pytest.approx(expected)


def test_feature_ids_have_one_value_whatever_holds_them() -> None:
    ids = [[1, 2], [2], [3]]
    expected = diversity.vendi_score(ids, kernel="features")
    for held, rows in held_in(ids).items():
        assert diversity.vendi_score(rows, kernel="features") == expected, held
        assert coverage_of_ids(rows if held != "generator" else iter(ids), ids).fac == 1


@pytest.mark.parametrize("measure", [*OF_TEXTS, *OF_VECTORS], ids=[*(f.__name__ for f in OF_TEXTS), *NAMES_OF_VECTORS])
@pytest.mark.parametrize(
    "given",
    [datasets.Dataset.from_dict({"text": TEXTS}), pd.DataFrame({"text": TEXTS}), {"text": TEXTS}, set(TEXTS), 5, None],
    ids=lambda given: type(given).__name__,
)
def test_what_holds_no_column_is_refused(measure: Callable[..., dict[str, Any]], given: Any) -> None:
    with pytest.raises(ColumnError, match=r"rows are .*; give "):
        measure(given)


@pytest.mark.parametrize("measure", OF_VECTORS, ids=NAMES_OF_VECTORS)
@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        *((size, np.float64) for size in (1e30, 1e-30, 1e300, 1e-300, 5e-324)),
        *((size, np.float32) for size in (1e30, 1e-30, 1e38, 1e-44)),
    ],
)
def test_the_size_of_vectors_is_of_no_account(measure: Callable[..., dict[str, Any]], size: float, dtype: type) -> None:
    rows: Any = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [3.0, 0.0]])
    expected = {name: value for name, value in measure(rows).items() if name != "n_tokens"}
    values = measure((rows * size).astype(dtype))
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_long_and_short_vectors_stand_beside_others() -> None:
    rows: Any = np.array([[1e30, 0.0], [0.0, 1.0], [-1e-30, 0.0]], dtype=np.float32)
    assert diversity.pair_cosdist(rows)["pair_cosdist"] == pytest.approx(4 / 3)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8])
def test_whole_numbers_are_vectors(dtype: type) -> None:
    rows: Any = np.array([[100, 0], [0, 100]], dtype=dtype)
    assert diversity.pair_cosdist(rows)["pair_cosdist"] == 1


def test_ids_of_no_sae_take_no_memory() -> None:
    report = coverage_of_ids([[2**31 - 1, 5]], [[2**31 - 1], [7]])
    assert (report.fac, report.covered.tolist(), report.missing.tolist()) == (0.5, [2**31 - 1], [7])
    assert report.missing_by_anchor_rows.tolist() == [7]
    of_two = coverage_of_ids([[2**31 - 1, 5]], [[2**31 - 1, 5], [7]], features=[7, 5, 10])
    assert (of_two.relevant.tolist(), of_two.covered.tolist()) == ([5, 7], [5])
    assert diversity.vendi_score([[2**31 - 1], [0]], kernel="features")["vendi_score"] == pytest.approx(2)


def test_the_k_that_was_used_is_among_the_values() -> None:
    assert diversity.semantic_entropy(VECTORS, k=2)["semantic_entropy_k"] == 2


NO_WHOLE_NUMBERS: list[Any] = [nan, inf, "2", 1.5, None, True, {2}, {2: 2}, [[2]], -1, 10**30]
NO_NUMBERS: list[Any] = [nan, inf, "2", None, True, {2}, {2: 2}, [2], -1, 10**400]
OPTIONS: list[tuple[Callable[..., Any], str, list[Any]]] = [
    (diversity.distinct_n, "n", [nan, inf, "2", 1.5, None, True, {2: 2}, [[2]], 0, [], [1, "2"], [1, nan]]),
    (diversity.distinct_n, "vocabulary_size", NO_WHOLE_NUMBERS),
    (diversity.distinct_n, "tokenize", ["words", 5, {1}]),
    (diversity.ngram_entropy, "n", [nan, "2", True, {2: 2}]),
    (diversity.ngram_entropy, "tokenize", ["words", 5]),
    (diversity.pos_distinct_n, "n", [nan, "2", True, {2: 2}]),
    (diversity.pos_distinct_n, "pipeline", [5, nan, {1}, ["en_core_web_sm"]]),
    (diversity.near_duplicate_rate, "threshold", [*NO_NUMBERS, 0, 1.5]),
    (diversity.near_duplicate_rate, "seed", [*NO_WHOLE_NUMBERS, 2**32]),
    (diversity.near_duplicate_rate, "tokenize", ["words", 5]),
    (diversity.pair_cosdist, "model", [5, nan, None, "", {1}]),
    (diversity.semantic_entropy, "k", NO_WHOLE_NUMBERS),
    (diversity.semantic_entropy, "seed", [*NO_WHOLE_NUMBERS, 2**32]),
    (diversity.semantic_entropy, "model", [5, None]),
    (diversity.vendi_score, "kernel", ["words", nan, None, {"features"}, np.array(["features"])]),
    (diversity.vendi_score, "seed", NO_WHOLE_NUMBERS),
    (diversity.vendi_score, "model", [5, None]),
    (diversity.novelsum, "include_self", [nan, "yes", None, 1]),
    (diversity.novelsum, "distance_power", NO_NUMBERS),
    (diversity.novelsum, "density_power", NO_NUMBERS),
    (diversity.novelsum, "neighbors", [*NO_WHOLE_NUMBERS, 0]),
    (diversity.novelsum, "model", [5, None]),
    (coverage_of_ids, "features", [nan, "2", 5, {2}, {2: 2}, [1.5], ["2"], [True], [-1], [2**31]]),
]


def never() -> Any:
    raise AssertionError("a row was read")
    yield  # type: ignore[unreachable]


@pytest.mark.parametrize(
    ("measure", "name", "value"),
    [(measure, name, value) for measure, name, values in OPTIONS for value in values],
    ids=lambda part: part if isinstance(part, str) else getattr(part, "__name__", repr(part)[:20]),
)
def test_an_option_without_meaning_is_named_before_a_row_is_read(
    measure: Callable[..., Any], name: str, value: Any
) -> None:
    rows = (never(), never()) if measure is coverage_of_ids else (never(),)
    with pytest.raises(OptionError, match=name):
        measure(*rows, **{name: value})


@pytest.mark.parametrize(
    ("tokenize", "problem"),
    [
        (str.lower, "tokenize gives str"),
        (iter, "tokenize gives str_"),
        (len, "tokenize gives int"),
        (lambda text: [1.5], "these are double"),
        (lambda text: [None], "these are null"),
        (lambda text: [b"a"], "these are binary"),
        (lambda text: [2**70], "64 bits"),
        (lambda text: ["\ud800"], "64 bits"),
        (lambda text: ["a", 1], "64 bits"),
    ],
)
def test_what_are_no_tokens_is_an_error(tokenize: Any, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        diversity.distinct_n(["A text."], tokenize=tokenize)


def test_the_folder_of_a_model_may_be_a_path(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no sentence-transformers model"):
        diversity.pair_cosdist(["a"], model=tmp_path / "nothing")


@pytest.mark.parametrize("given", [np.ones(3), np.ones((2, 3)), np.array([["a", "b", "c"]] * 3)])
def test_a_model_that_gives_no_vector_for_each_text_is_an_error(given: Any) -> None:
    class Model:
        def encode(self, texts: list[str], **_: object) -> Any:
            return given

    with pytest.raises(OptionError, match="not a vector for each"):
        diversity.pair_cosdist(TEXTS, model=Model())


@pytest.mark.parametrize("measure", [*OF_TEXTS, *OF_VECTORS], ids=[*(f.__name__ for f in OF_TEXTS), *NAMES_OF_VECTORS])
def test_a_lone_surrogate_is_an_error_with_its_row(measure: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(RowError, match="row 1 is not valid Unicode"):
        measure(["fine", "broken \ud800"])


@pytest.mark.parametrize("threshold", [1e-300, 1e-9, 0.01, np.float32(0.5), 1])
def test_every_similarity_above_0_is_a_threshold(threshold: float) -> None:
    values = diversity.near_duplicate_rate(["a b c", "a b c", "x y z"], threshold=threshold)
    assert values["near_duplicate_rate"] == pytest.approx(2 / 3)
