"""The rows of a task's data, of which those that cannot be read are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.errors import ColumnError, OptionError, RowError
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import Row

if TYPE_CHECKING:
    import datasets

UNREADABLE, NO_TEXT = "cannot be read", "without text"

_DRAW = 0
"""Seed of the rows that are drawn: all trials see the same ones."""


def drawn(rows: datasets.Dataset, most: int | None) -> datasets.Dataset:
    """At most so many rows, drawn at random and always the same, in their order.

    Args:
        rows: of one set.
        most: at least 1; None for all.

    Example:
        >>> from datasets import Dataset
        >>> len(drawn(Dataset.from_dict({"text": ["a", "b", "c"]}), 2))
        2
    """
    if most is not None and most < 1:
        raise OptionError(f"max_rows={most} leaves no row; the least is 1")
    if most is None or most >= len(rows):
        return rows
    return rows.select(drawn_places(len(rows), most))


def drawn_places(number: int, most: int | None, seed: int = _DRAW) -> list[int]:
    """Places of at most so many of some things, drawn at random, in their order.

    Args:
        number: of the things.
        most: None for all.
        seed: of the draw; by default always the same.

    Example:
        >>> drawn_places(3, None), len(drawn_places(3, 2))
        ([0, 1, 2], 2)
    """
    return sorted(np.random.default_rng(seed).permutation(number)[:most].tolist())


def read_rows(rows: datasets.Dataset, column: ColumnChoice) -> tuple[list[Row], set[int]]:
    """The rows of a dataset, and which of them cannot be read, which are None.

    Args:
        rows: in any schema that is known.
        column: what is read; see `RowReader`.

    Raises:
        ColumnError: there is nothing to read.

    Example:
        >>> from datasets import Dataset
        >>> read_rows(Dataset.from_dict({"text": ["a", "b"]}), None)
        (['a', 'b'], set())
    """
    reader = RowReader(rows.features, column)
    refused: list[RowError] = []
    found = reader.read(rows.select_columns(list(reader.columns))[:], refused)
    return found, {error.row for error in refused}


def require_columns(rows: datasets.Dataset, *names: str, of: str, otherwise: str) -> None:
    """Raise ColumnError unless rows have these columns.

    Args:
        rows: of a set.
        names: of the columns.
        of: what the rows are, such as `train`.
        otherwise: how columns of other names are named.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"good": ["Yes."]})
        >>> require_columns(rows, "chosen", of="train", otherwise="rename it")
        Traceback (most recent call last):
        ...
        fac_datasets.errors.ColumnError: train has no column 'chosen'; looked for: 'chosen' among ['good']; rename it
    """
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise ColumnError(
            f"{of} has no column {missing[0]!r}; looked for: {' and '.join(map(repr, names))} among "
            f"{rows.column_names}; {otherwise}"
        )
