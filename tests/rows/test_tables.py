"""Columns of tables."""

from __future__ import annotations

import datasets

from fac_datasets.rows.tables import add_columns


def test_a_column_that_is_replaced_keeps_its_place() -> None:
    table = datasets.Dataset.from_dict({"a": [1], "b": [2]})
    changed = add_columns(table, {"a": ([3], datasets.Value("int64")), "c": ([4], datasets.Value("int64"))})
    assert (changed.column_names, changed[0]) == (["a", "b", "c"], {"a": 3, "b": 2, "c": 4})
