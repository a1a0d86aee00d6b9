"""The cells of one column of a batch, in whatever form a library hands it over, as plain Python values."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def cells_of(column: Any) -> list[Any]:
    """The cells of a column: texts, numbers, lists, dictionaries or None.

    Args:
        column: a list, array, Series, tensor, or an array of Arrow.

    Example:
        >>> import numpy as np
        >>> cells_of(np.array([{"role": "user", "content": "Hi."}]))
        [{'role': 'user', 'content': 'Hi.'}]
    """
    import pyarrow as pa

    if isinstance(column, pa.Array | pa.ChunkedArray):
        cells: list[Any] = column.to_pylist()
        return [_decoded(cell, column.type) for cell in cells] if _holds_json(column.type) else cells
    if isinstance(column, list) and all(type(cell) is str for cell in column):
        return column
    return [_plain(cell) for cell in column]


def _holds_json(kind: pa.DataType) -> bool:
    """Whether JSON is among the types that a type of Arrow is made of."""
    return _is_json(kind) or any(_holds_json(kind.field(number).type) for number in range(kind.num_fields))


def _is_json(kind: pa.DataType) -> bool:
    return getattr(kind, "extension_name", "") == "arrow.json"


def _decoded(cell: Any, kind: pa.DataType) -> Any:
    """A cell with the JSON in it decoded."""
    if cell is None:
        return None
    if _is_json(kind):
        return json.loads(cell)
    if isinstance(cell, dict):
        types = {kind.field(number).name: kind.field(number).type for number in range(kind.num_fields)}
        return {name: _decoded(value, types[name]) for name, value in cell.items()}
    if isinstance(cell, list) and kind.num_fields:
        return [_decoded(value, kind.field(0).type) for value in cell]
    return cell


def _plain(cell: Any) -> Any:
    """A cell without the types of numpy, pandas or torch in it; a missing one is None."""
    if cell is None or isinstance(cell, str):
        return str(cell) if isinstance(cell, np.str_) else cell
    if isinstance(cell, dict):
        return {name: _plain(value) for name, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_plain(value) for value in cell]
    if isinstance(cell, np.ndarray):
        return _plain(cell.tolist())
    if isinstance(cell, np.generic):
        return _plain(cell.item())
    if isinstance(cell, float) and math.isnan(cell):
        return None
    torch, pandas = sys.modules.get("torch"), sys.modules.get("pandas")
    if torch is not None and isinstance(cell, torch.Tensor):
        return cell.tolist()
    return None if pandas is not None and cell is pandas.NA else cell


def quoted_json(column: Any) -> str | None:
    """The key whose values are all JSON, texts in their quotes among them, as Ray hands over columns of JSON as arrays.

    Example:
        >>> quoted_json([[{"role": "user", "content": '"Hi."'}, {"role": "assistant", "content": '[{"text": "A."}]'}]])
        'content'
    """
    found: dict[str, list[str]] = {}
    for cell in cells_of(column):
        for message in cell if isinstance(cell, list) else ():
            for name, value in message.items() if isinstance(message, dict) else ():
                if isinstance(value, str):
                    found.setdefault(name, []).append(value)
    for name, values in found.items():
        if any(value.startswith('"') for value in values) and all(map(_is_json_text, values)):
            return name
    return None


def _is_json_text(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
