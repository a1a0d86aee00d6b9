"""Which column of a dataset holds the texts or chats, and reading rows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.errors import ColumnError, RowError

if TYPE_CHECKING:
    import datasets

CANDIDATES = ("messages", "conversations", "text", "instruction", "prompt")
"""Columns that are looked for when none is named."""


_BATCH_ROWS = 1000

_PREFERENCE = ("chosen", "rejected")


_INSTRUCTION_PARTS = ("input", "output")


def resolve_column(columns: Mapping[str, Any] | Sequence[str] | None, column: str | None) -> tuple[str, ...]:
    """The columns that make up a row's text.

    Args:
        columns: the dataset's features or column names.
        column: a name given by the user, or None.

    Returns:
        One column; or `instruction` with those of `input` and `output` that are present.

    Raises:
        ColumnError: the column is missing or of the wrong type, none is known, or several are.

    Example:
        >>> resolve_column(["instruction", "output", "id"], None)
        ('instruction', 'output')
    """
    names = list(columns or ())
    if column is not None:
        if column not in names:
            raise ColumnError(f"there is no column {column!r}; the columns are {names}")
        found: tuple[str, ...] = (column,)
    else:
        candidates = [name for name in CANDIDATES if name in names]
        if not candidates and any(name in names for name in _PREFERENCE):
            raise ColumnError("this is preference data; name the column to read: column='chosen' or column='rejected'")
        if not candidates:
            raise ColumnError(
                f"none of {list(CANDIDATES)} is among the columns {names}; name one with column=... (--column)"
            )
        if len(candidates) > 1:
            raise ColumnError(f"several columns could be meant, {candidates}; name one with column=... (--column)")
        found = (candidates[0],)
        if found == ("instruction",):
            found = ("instruction", *(name for name in _INSTRUCTION_PARTS if name in names))
    if isinstance(columns, Mapping):
        for name in found:
            _check_type(name, columns[name])
    return found


def prefix_of(columns: Sequence[str]) -> str:
    """What the names of the feature columns of these columns of texts start with."""
    return f"{columns[0]}_" if columns[0] in _PREFERENCE else ""


def _check_type(name: str, feature: Any) -> None:
    kind = getattr(feature, "dtype", None)
    if kind in ("string", "large_string", "null", "list", "dict", None) or isinstance(feature, list | dict):
        return
    raise ColumnError(f"column {name!r} holds {kind}; expected texts or lists of messages")


def read_rows(batch: Mapping[str, Sequence[Any]], columns: tuple[str, ...]) -> list[Any]:
    """The rows of a batch: texts, lists of messages, or None.

    The parts of an instruction are joined by blank lines.
    """
    contents = [_plain(batch[name]) for name in columns]
    if len(columns) == 1:
        return contents[0]
    rows: list[Any] = []
    for index, parts in enumerate(zip(*contents, strict=True)):
        for name, part in zip(columns, parts, strict=True):
            if not isinstance(part, str | None):
                raise RowError(index, f"holds {type(part).__name__} in column {name!r}; expected a text")
        rows.append("\n\n".join(part for part in parts if part) or None)
    return rows


def _plain(column: Any) -> list[Any]:
    """A column of a batch in any of the forms in which libraries hand it over, as a list."""
    import pyarrow as pa

    if isinstance(column, pa.Array | pa.ChunkedArray):
        return list(column.to_pylist())
    # Ray hands over lists of messages as arrays of dictionaries.
    return [row.tolist() if isinstance(row, np.ndarray) else row for row in column]


def is_chat(batch: Any, columns: tuple[str, ...]) -> bool:
    """Whether the rows are lists of messages: by the column's type where the batch has one, else by what it holds."""
    import pyarrow as pa

    table = batch if isinstance(batch, pa.Table) else getattr(batch, "pa_table", None)
    if table is not None:
        return bool(pa.types.is_nested(table.schema.field(columns[0]).type))
    held = _plain(batch[columns[0]])
    return columns[0] in ("messages", "conversations") or any(isinstance(row, list) for row in held)


def holds_chats(feature: Any) -> bool:
    """Whether a column of this type of `datasets` holds lists of messages."""
    return bool(not hasattr(feature, "dtype") or feature.dtype == "list")


def row_texts(dataset: datasets.Dataset, column: str | None = None) -> list[str]:
    """The rows of a dataset as plain texts: the messages of a chat a line each, and nothing as an empty text."""
    return list(each_row_text(dataset, column))


def each_row_text(dataset: datasets.Dataset, column: str | None = None) -> Iterator[str]:
    """The texts of `row_texts` one at a time, so that never all of them are in memory."""
    columns = resolve_column(dataset.features, column)
    index = 0
    for batch in dataset.select_columns(list(columns)).iter(_BATCH_ROWS):
        for row in read_rows(batch, columns):
            try:
                yield as_text(row, index)
            except RowError as error:
                raise error.at(error.row) from None
            index += 1


def as_text(row: Any, index: int) -> str:
    """A row as plain text; see `row_texts`."""
    if row is None or isinstance(row, str):
        return row or ""
    if not isinstance(row, Sequence):
        raise RowError(index, f"holds {type(row).__name__} {str(row)[:60]!r}; expected a text or a list of messages")
    return "\n".join(normalise_message(message, index)["content"] for message in row)


def normalise_message(message: Mapping[str, Any], index: int) -> dict[str, Any]:
    """A message with `role` and a text `content`, from the OpenAI or the ShareGPT convention.

    Raises:
        ColumnError: it follows neither; `index` says in which row.
    """
    if not isinstance(message, Mapping):
        raise RowError(index, f"is a list of {type(message).__name__}; expected a text or a list of messages")
    sharegpt_roles = {"human": "user", "gpt": "assistant"}
    if "from" in message and "value" in message:
        role = message["from"]
        message = {"role": sharegpt_roles.get(str(role), role), "content": message["value"]}
    if not isinstance(message.get("role"), str) or "content" not in message:
        raise RowError(index, f"has a message with keys {sorted(message)}; expected `role` and `content`")
    content = message["content"]
    if content is None:
        content = ""
    elif isinstance(content, Sequence) and not isinstance(content, str):
        if not all(isinstance(part, Mapping) for part in content):
            raise RowError(index, "has a message whose content is a list of something else than parts with a `text`")
        content = "".join(str(part.get("text") or "") for part in content)
    if not isinstance(content, str):
        raise RowError(index, f"has a message whose content is {type(content).__name__}; expected a text")
    return {**{key: value for key, value in message.items() if value is not None}, "content": content}
