"""Cells come out of every library as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from fac_datasets.rows.cells import cells_of, quoted_json

CHAT = [{"role": "user", "content": "Hi."}]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        (["a", None], ["a", None]),
        (np.array(["a", "b"]), ["a", "b"]),
        (pd.Series(["a", None, float("nan"), pd.NA], dtype=object), ["a", None, None, None]),
        (np.array([np.array(CHAT, dtype=object), None], dtype=object), [CHAT, None]),
        (pa.chunked_array([["a"], [None]]), ["a", None]),
        ([torch.tensor([1, 2])], [[1, 2]]),
        ([{"a": np.array(1), "b": torch.tensor(2)}], [{"a": 1, "b": 2}]),
    ],
)
def test_cells_are_plain_values(column: Any, cells: list[Any]) -> None:
    assert cells_of(column) == cells


def test_json_is_decoded_however_deep_it_lies() -> None:
    stored, decoded = (pa.struct({"role": pa.string(), "content": kind}) for kind in (pa.string(), pa.json_()))
    rows = pa.array([[{"role": "user", "content": '"Hi."'}], None], pa.list_(stored))
    assert cells_of(rows.cast(pa.list_(decoded))) == [CHAT, None]


def test_quoted_json_is_told_from_texts() -> None:
    assert quoted_json([CHAT]) is None
    assert quoted_json(["a", None]) is None
    assert quoted_json([[{"role": "user", "content": "42"}]]) is None
    assert quoted_json([[{"role": "user", "content": '"Hi."'}], [{"role": "user", "content": "Hi."}]]) is None
    assert quoted_json([[{"role": "user", "content": '"Hi."'}], [{"role": "user", "content": "[1]"}]]) == "content"
