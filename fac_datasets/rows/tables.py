"""Tables of rows: made from columns of any library, with columns added, and required."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.errors import ColumnError
from fac_datasets.rows.cells import cells_of

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


def as_table(batch: Mapping[str, Any]) -> pa.Table:
    """Columns of arrays, as Ray hands them over, as a table; numbers keep their types."""
    import pyarrow as pa

    def plain(column: Any) -> Any:
        if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype != object:
            return column
        return [cells_of(row) if isinstance(row, np.ndarray) and row.dtype == object else row for row in column]

    return pa.table({name: pa.array(plain(column)) for name, column in batch.items()})


def with_columns(table: pa.Table, columns: Mapping[str, list[Any]], types: Mapping[str, Any]) -> pa.Table:
    """A table with more columns, in the place of those of the same names.

    Args:
        table: of as many rows.
        columns: the new ones, of arrays, numbers or texts.
        types: of `datasets`, by name.
    """
    import datasets
    import pyarrow as pa

    table = table.drop_columns([name for name in table.column_names if name in columns])
    for field in datasets.Features(types).arrow_schema:
        values = columns[field.name]
        if pa.types.is_list(field.type):
            offsets = np.concatenate([[0], np.cumsum([len(value) for value in values])]).astype(np.int32)
            flat = np.concatenate(values) if values else np.empty(0)
            array: Any = pa.ListArray.from_arrays(offsets, pa.array(flat, field.type.value_type))
        else:
            array = pa.array(values, field.type)
        table = table.append_column(field, array)
    return table


def dataset_of(rows: Sequence[Mapping[str, Any]], features: datasets.Features) -> datasets.Dataset:
    """A dataset of rows with the given columns, also where there are no rows (`Dataset.from_list` refuses those)."""
    import datasets

    return datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


def add_columns(table: datasets.Dataset, columns: Mapping[str, tuple[Any, Any]]) -> datasets.Dataset:
    """A table with columns added or replaced, each with its values and its type."""
    order = list(dict.fromkeys([*table.column_names, *columns]))
    table = table.remove_columns([name for name in columns if name in table.column_names])
    for name, (values, kind) in columns.items():
        table = table.add_column(name, list(values), feature=kind)
    return table.select_columns(order)


def require_columns(table: datasets.Dataset, *names: str) -> None:
    """Raise ColumnError unless a feature table has these columns."""
    makers = {
        "explanation": "explain",
        "fits": "explain",
        "evidence": "judge_relevance or contrast_relevance",
        "contrast": "contrast_relevance",
    }
    for name in names:
        if name not in table.column_names:
            raise ColumnError(
                f"the table has no column {name!r}, which {makers.get(name, 'feature_table')} makes; its columns are "
                f"{table.column_names}"
            )


def without_prefix(rows: datasets.Dataset, prefix: str) -> datasets.Dataset:
    """Rows whose feature columns have lost a prefix, so that those of two datasets have the same names."""
    if not prefix:
        return rows
    renamed = {name: name.removeprefix(prefix) for name in rows.column_names if name.startswith(f"{prefix}feature_")}
    hidden = [name for name in renamed.values() if name in rows.column_names]
    return rows.remove_columns(hidden).rename_columns(renamed)
