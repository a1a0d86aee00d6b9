"""Rows of tasks: drawn the same for all seeds, and those that cannot be read told."""

from __future__ import annotations

import pytest
from datasets import Dataset

from fac_datasets.downstream.reading import drawn, read_rows
from fac_datasets.errors import OptionError


def test_rows_are_drawn_at_random_and_always_the_same_in_their_order() -> None:
    rows = Dataset.from_dict({"text": [str(i) for i in range(100)]})
    some = [int(text) for text in drawn(rows, 10)["text"]]
    assert some == sorted(some) == [int(text) for text in drawn(rows, 10)["text"]]
    assert some != list(range(10))
    assert len(drawn(rows, None)) == len(drawn(rows, 1000)) == 100
    with pytest.raises(OptionError, match="max_rows=0"):
        drawn(rows, 0)


def test_rows_that_cannot_be_read_are_told() -> None:
    asked = {"question": ["Which?"] * 2, "choices": [["a plum", "a fig"]] * 2, "answer": ["A", "Z"]}
    rows, refused = read_rows(Dataset.from_dict(asked), None)
    assert refused == {1}
    assert rows[0] is not None
    assert rows[1] is None
