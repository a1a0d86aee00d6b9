"""Rows are the same in whatever holds a column, and what holds none is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from fac_datasets.errors import ColumnError, DatasetError, OptionError, RowError
from fac_datasets.rows.inputs import chats_of, feature_ids, feature_ids_of, rows_of, texts_of, vectors_of

TEXTS = ["One.", "Zwei, drei."]
CHAT = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
CHATS = [CHAT, CHAT[:1]]
VECTORS = [[1.0, 2.5], [3.0, 4.0]]
IDS = [[1, 2], [], [3]]

COLUMNS: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda rows: rows,
    "tuple": tuple,
    "generator": lambda rows: (row for row in rows),
    "Series": lambda rows: pd.Series(rows, index=[f"row {i}" for i in range(len(rows))]),
    "Series with an index of equal numbers": lambda rows: pd.Series(rows, index=[7] * len(rows)),
    "Series of Arrow": lambda rows: pd.Series(pd.arrays.ArrowExtensionArray(pa.array(rows))),
    "Arrow array": pa.array,
    "Arrow chunks": lambda rows: pa.chunked_array([pa.array(rows[:1]), pa.array(rows[1:])]),
    "slice of Arrow": lambda rows: pa.array([rows[0], *rows])[1:],
    "dataset column": lambda rows: datasets.Dataset.from_dict({"rows": rows})["rows"],
    "column of rows in another order": lambda rows: datasets.Dataset.from_dict({"rows": rows[::-1]}).select(
        range(len(rows))[::-1]
    )["rows"],
    "formatted column": lambda rows: datasets.Dataset.from_dict({"rows": rows}).with_format("numpy")["rows"],
    "column of a stream": lambda rows: datasets.Dataset.from_dict({"rows": rows}).to_iterable_dataset()["rows"],
    "nested column": lambda rows: datasets.Dataset.from_dict({"a": [{"rows": row} for row in rows]})["a"]["rows"],
    "column of pandas": lambda rows: datasets.Dataset.from_dict({"rows": rows}).to_pandas()["rows"],
    "numpy": lambda rows: np.array([*rows, None], dtype=object)[:-1],
}


@pytest.mark.parametrize("held", COLUMNS)
def test_texts_are_read_from_whatever_holds_a_column(held: str) -> None:
    assert texts_of(COLUMNS[held](TEXTS)) == TEXTS


@pytest.mark.parametrize("held", COLUMNS)
def test_chats_are_read_from_whatever_holds_a_column(held: str) -> None:
    assert chats_of(COLUMNS[held](CHATS)) == CHATS
    assert texts_of(COLUMNS[held](CHATS)) == ["Hi.\nHello.", "Hi."]


@pytest.mark.parametrize("held", COLUMNS)
def test_vectors_are_read_from_whatever_holds_a_column(held: str) -> None:
    np.testing.assert_array_equal(vectors_of(COLUMNS[held](VECTORS)), VECTORS)


@pytest.mark.parametrize("held", COLUMNS)
def test_feature_ids_are_read_from_whatever_holds_a_column(held: str) -> None:
    lengths, ids = feature_ids_of(COLUMNS[held](IDS))
    assert (lengths.tolist(), ids.tolist()) == ([2, 0, 1], [1, 2, 3])


def test_a_column_that_a_transform_makes_is_what_it_makes() -> None:
    rows = datasets.Dataset.from_dict({"text": ["a", "b"]}).with_transform(
        lambda batch: {"text": [text.upper() for text in batch["text"]]}
    )
    assert texts_of(rows["text"]) == ["A", "B"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tensors_are_vectors(dtype: torch.dtype) -> None:
    tensor = torch.tensor(VECTORS, dtype=dtype, requires_grad=True)
    np.testing.assert_array_equal(vectors_of(tensor), VECTORS)
    np.testing.assert_array_equal(vectors_of(list(tensor)), VECTORS)


def test_an_array_of_vectors_is_not_copied() -> None:
    rows = np.ones((3, 2), np.float32)
    assert vectors_of(rows) is rows
    arrow = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 2)
    assert np.shares_memory(vectors_of(arrow), vectors_of(arrow))


def test_conversations_of_sharegpt_are_chats() -> None:
    rows = [[{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]]
    assert chats_of(rows) == [CHAT]


DATASET = datasets.Dataset.from_dict({"text": TEXTS})


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (DATASET, "a whole Dataset; give one of its columns"),
        (DATASET.to_iterable_dataset(), "a whole IterableDataset; give one of its columns"),
        (datasets.DatasetDict({"train": DATASET}), "a whole DatasetDict; give one of its columns"),
        (DATASET.to_pandas(), "a whole DataFrame; give one of its columns"),
        (DATASET.data.table, "a whole Table; give one of its columns"),
        ({"text": TEXTS}, "a whole dict; give one of its columns"),
        ({"One.", "Two."}, "a set, which has no order"),
        (frozenset([1]), "a frozenset, which has no order"),
        ("One.", "a single text; put it into a list"),
        (b"One.", "of type bytes; give a list"),
        (5, "of type int; give a list"),
        (np.float64(5), "of type float64; give a list"),
        (None, "of type NoneType; give a list"),
        (torch.tensor(5), "of type Tensor; give a list"),
    ],
)
def test_what_is_no_column_is_refused_with_what_to_give(given: object, instead: str) -> None:
    with pytest.raises(ColumnError, match=f"predictions are {instead}"):
        rows_of(given, "predictions")


@pytest.mark.parametrize("read", [texts_of, chats_of, vectors_of, feature_ids_of])
def test_no_rows_are_an_error(read: Callable[[Any], Any]) -> None:
    without: list[Any] = [[], (), iter(()), np.empty((0, 3)), pa.array([]), pd.Series([], dtype=object)]
    for empty in without:
        with pytest.raises(DatasetError, match="at least one"):
            read(empty)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["a", None], "row 1 holds NoneType; expected a text"),
        (["a", 5], "row 1 holds int; expected a text"),
        (pd.Series(["a", np.nan]), "row 1 holds float; expected a text"),
        (pa.array(["a", None]), "row 1 holds NoneType; expected a text"),
        ([b"a"], "row 0 holds bytes; expected a text"),
        ([["a"]], "row 0 holds list of str; expected a text"),
        (["a", [1]], "row 1 holds list of int after texts; give rows of one kind"),
        (["a", CHAT], "row 1 holds list of dict after texts; give rows of one kind"),
        ([CHAT, "a"], "row 1 holds str after chats; give rows of one kind"),
        ([[1.0]], "row 0 holds list of float; expected a text or a chat"),
        (np.ones((2, 2)), "row 0 holds ndarray of float64; expected a text or a chat"),
        ([pa.scalar("ab"), pa.scalar("cd")], "row 0 holds StringScalar; expected a text"),
        ([{"role": "user"}], "row 0 holds dict; expected a text"),
        ([[{"role": "user"}]], "row 0 has a message with keys"),
        (["a", "b \ud800"], "row 1 is not valid Unicode"),
        ([CHAT, [{"role": "user", "content": "\udc00"}]], "row 1 is not valid Unicode"),
    ],
)
def test_what_are_no_texts_is_an_error_with_its_row(rows: Any, problem: str) -> None:
    with pytest.raises(RowError, match=problem):
        texts_of(rows)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["ab", "cd"], "row 0 holds str; expected a text or an embedding"),
        (pa.array(["ab", "cd"]), "row 0 holds str"),
        ([pa.scalar("ab"), pa.scalar("cd")], "row 0 holds StringScalar"),
        ([b"ab", b"cd"], "row 0 holds bytes"),
        ([["1", "2"]], "row 0 holds list of str"),
        ([[True, False]], "row 0 holds list of bool"),
        (np.zeros((1, 2), complex), "row 0 holds ndarray of complex128"),
        ([[1.0], [1.0, None]], "row 1 holds list of float"),
        (pa.array([[1.0], None]), "row 1 holds NoneType"),
        ([[1.0], [1.0, 2.0]], "row 1 has an embedding of length 2, row 0 one of 1"),
        (pa.array([[1.0], [1.0, 2.0]]), "row 1 has an embedding of length 2, row 0 one of 1"),
        ([[[1.0]]], "row 0 holds list of list"),
        (np.ones(3), "row 0 holds float64"),
        ([CHAT], "row 0 holds list of dict"),
    ],
)
def test_what_are_no_vectors_is_an_error_with_its_row(rows: Any, problem: str) -> None:
    with pytest.raises(RowError, match=problem):
        vectors_of(rows)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([0.3, 1.7], "it holds 0.3"),
        ([1.0, 2.0], "it holds 1.0"),
        (np.array([1.0, 2.0]), "it holds 1.0"),
        (["1"], "it holds '1'"),
        ("1", "it is str '1'"),
        ([1, True], "it holds True"),
        (np.array([True]), "it holds True"),
        ([1, None], "it holds None"),
        ([float("nan")], "it holds nan"),
        ([-1], "-1 is negative"),
        ([10**12], "1000000000000 is too large"),
        ([2**31], "2147483648 is too large"),
        ([10**30], "1000000000000000000000000000000 is too large"),
        ([[1]], r"it holds \[1\]"),
        (3, "it is int '3'"),
        ({1}, "it is set"),
    ],
)
def test_what_are_no_feature_ids_is_an_error_with_its_row(row: Any, problem: str) -> None:
    with pytest.raises(RowError, match=f"row 1 is no list of feature ids: {problem}"):
        feature_ids_of([[0, 2**31 - 1], row])
    with pytest.raises(OptionError, match="features"):
        feature_ids(row if not isinstance(row, str) else [row], "features")
