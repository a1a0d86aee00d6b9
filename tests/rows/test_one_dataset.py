"""What is handed over as rows is one dataset, or a stream where that will do."""

from __future__ import annotations

from typing import Any

import datasets
import pytest

from fac_datasets.errors import DatasetError
from fac_datasets.rows.one_dataset import is_stream, require_dataset

ROWS = datasets.Dataset.from_dict({"text": ["a"]})


def test_a_dataset_will_do() -> None:
    require_dataset(ROWS, "the rows")
    require_dataset(ROWS.select([]), "the rows")
    assert not is_stream(ROWS)


def test_a_stream_will_do_where_rows_are_read_once() -> None:
    stream = ROWS.to_iterable_dataset()
    assert is_stream(stream)
    require_dataset(stream, "the rows", stream=True)
    with pytest.raises(DatasetError, match="the rows is a stream"):
        require_dataset(stream, "the rows")


@pytest.mark.parametrize(
    "splits",
    [
        datasets.DatasetDict(train=ROWS, test=ROWS),
        datasets.IterableDatasetDict(train=ROWS.to_iterable_dataset(), test=ROWS.to_iterable_dataset()),
        {"train": ROWS, "test": ROWS},
    ],
)
def test_splits_are_named(splits: Any) -> None:
    with pytest.raises(DatasetError, match=r"the rows holds the splits \['train', 'test'\]; choose one"):
        require_dataset(splits, "the rows", stream=True)


@pytest.mark.parametrize("given", [None, {}, {"text": ["a"]}, [{"text": "a"}], "rows.jsonl", datasets.DatasetDict()])
def test_what_is_no_dataset_is_named_by_its_type(given: Any) -> None:
    with pytest.raises(DatasetError, match=f"the rows is of type {type(given).__name__}"):
        require_dataset(given, "the rows", stream=True)
