"""The one door for rows that callers hand over: texts, chats, feature ids or vectors, in whatever holds a column.

A column is a list or tuple, a generator or iterator, a numpy array, a Series of pandas, a tensor of torch, an array of
Arrow, or a column of a dataset. Whatever else is given (a whole dataset, a set, a single text) would be read as
something that it is not, so it is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fac_datasets.errors import ColumnError, DatasetError, OptionError, RowError
from fac_datasets.rows.cells import cells_of
from fac_datasets.rows.messages import Messages
from fac_datasets.rows.row import plain_text

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["texts", "chats", "numbers"]
"""What rows hold; lists of numbers are feature ids or vectors, which the measure has to know."""

ID_LIMIT = 2**31
"""Feature ids lie below it, as in the feature columns."""


def rows_of(given: Any, name: str = "rows") -> list[Any] | NDArray[Any]:
    """The rows of a column in any form, as a list or, where it holds numbers, an array that is not copied.

    Args:
        given: see above.
        name: of the rows, for the error.

    Raises:
        ColumnError: it is no column.

    Example:
        >>> rows_of(text for text in ("a", "b"))
        ['a', 'b']
    """
    if isinstance(given, list):
        return given
    if isinstance(given, np.ndarray) and given.ndim:
        return list(given) if given.dtype == object else given
    if is_instance(given, "torch", "Tensor") and given.ndim:
        return _array(given)
    if is_instance(given, "pyarrow", "Array") or is_instance(given, "pyarrow", "ChunkedArray"):
        return _of_arrow(given)
    if is_instance(given, "datasets.arrow_dataset", "Column"):
        return _of_column(given)
    is_sequence = isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray | memoryview)
    if is_sequence or isinstance(given, Iterator):
        return list(given)
    if is_instance(given, "pandas", "Series") or is_instance(given, "datasets.iterable_dataset", "IterableColumn"):
        return list(given)
    raise ColumnError(f"{name} are {_instead(given)}")


def _instead(given: Any) -> str:
    """What is given in place of rows, and what to give."""
    if isinstance(given, str):
        return "a single text; put it into a list"
    if hasattr(given, "column_names") or hasattr(given, "columns") or isinstance(given, Mapping):
        return f"a whole {type(given).__name__}; give one of its columns, such as [...]['text']"
    if isinstance(given, set | frozenset):
        return f"a {type(given).__name__}, which has no order and holds equal rows once; give a list"
    return f"of type {type(given).__name__}; give a list of texts, chats, feature ids or vectors"


def is_instance(given: Any, module: str, name: str) -> bool:
    """Whether it is of a class of a library, which is not imported for it: if it is not loaded, it cannot be."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(given, getattr(loaded, name, ()))


def _array(given: Any) -> NDArray[Any]:
    if is_instance(given, "torch", "Tensor"):
        given = given.detach().cpu()
        # numpy has no numbers of 16 bits with the range of 32.
        given = given.float() if given.dtype is sys.modules["torch"].bfloat16 else given
    array: NDArray[Any] = np.asarray(given)
    return array


def _of_arrow(column: pa.Array | pa.ChunkedArray) -> list[Any] | NDArray[Any]:
    """Lists of numbers as arrays without a Python object for each number; whatever else as Python has it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if len(column) and is_list and (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)):
        flat = pc.list_flatten(column)
        if not column.null_count and not flat.null_count:
            lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
            if isinstance(flat, pa.ChunkedArray):
                flat = flat.combine_chunks()
            numbers: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
            if (lengths == lengths[0]).all():
                return numbers.reshape(len(column), lengths[0])
            return np.split(numbers, lengths.cumsum()[:-1])
    return cells_of(column)


def _of_column(column: Any) -> list[Any] | NDArray[Any]:
    """A column of a dataset, in the types that it is stored in, unless a transform makes it."""
    import pyarrow as pa

    source = column.source
    if is_instance(source, "datasets.arrow_dataset", "Column") or source.format["type"] == "custom":
        return list(column[:])
    stored = source.with_format("arrow")[column.column_name][:]
    if pa.types.is_nested(stored.type) and not pa.types.is_struct(stored.type):
        rows = _of_arrow(stored)
        if isinstance(rows, np.ndarray) or isinstance(rows[0] if rows else None, np.ndarray):
            return rows
    return list(source.with_format(None)[column.column_name][:])


def kind_of(rows: list[Any] | NDArray[Any]) -> Kind:
    """What all rows hold; lists that are all empty are numbers.

    Args:
        rows: as `rows_of` gives them.

    Raises:
        RowError: a row is no text, chat or list of numbers, or of another kind than those before.
    """
    if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind in "fiu":
        return "numbers"
    found: Kind | None = None
    for number, row in enumerate(rows):
        kind = _kind_of_row(number, row)
        if kind and found and kind != found:
            raise RowError(number, f"holds {_name(row)} after {found}; give rows of one kind", of_batch=False)
        found = found or kind
    return found or "numbers"


def _kind_of_row(number: int, row: Any) -> Kind | None:
    """None for an empty list, which is a chat without messages or a row without features."""
    if isinstance(row, str):
        return "texts"
    held = _sequence(row)
    if held is None or (len(held) and isinstance(held[0], str | bytes)):
        raise RowError(number, f"holds {_name(row)}; expected a text, a chat or a list of numbers", of_batch=False)
    if not len(held):
        return None
    return "chats" if isinstance(held[0], Mapping) else "numbers"


def _sequence(row: Any) -> Any:
    """A row that holds several things as a list or an array, or None."""
    if isinstance(row, list | tuple):
        return row
    if not hasattr(row, "__array__") or not getattr(row, "ndim", 0):
        return None
    held = _array(row)
    # What it holds is told by each of its objects.
    return held.tolist() if held.dtype == object else held


def _name(row: Any) -> str:
    """What a row is, for an error."""
    held = _sequence(row)
    if held is None or not len(held):
        return type(row).__name__
    return f"{type(row).__name__} of {type(held[0]).__name__}"


def texts_of(given: Any, name: str = "rows") -> list[str]:
    """The rows of a column of texts or chats, as texts: the messages of a chat a line each.

    Args:
        given: see `rows_of`.
        name: of the rows, for the error.

    Raises:
        ColumnError: it is no column.
        DatasetError: there are no rows.
        RowError: a row is neither a text nor a chat, or not valid Unicode.

    Example:
        >>> texts_of([[{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]])
        ['Hi.\\nHello.']
    """
    rows = _some_rows(given, name)
    kind = kind_of(rows)
    if kind == "numbers":
        raise RowError(0, f"holds {_name(rows[0])}; expected a text or a chat", of_batch=False)
    texts = [str(row) for row in rows] if kind == "texts" else [_text(row, number) for number, row in enumerate(rows)]
    for number, text in enumerate(texts):
        _require_unicode(text, number)
    return texts


def chats_of(given: Any, name: str = "rows") -> list[list[dict[str, str]]]:
    """The rows of a column of chats, as messages with `role` and `content`; see `texts_of`."""
    chats = []
    for number, row in enumerate(_some_rows(given, name)):
        messages = [_message(message, number) for message in _sequence(row)]
        chats.append([{"role": message["role"], "content": message["content"]} for message in messages])
        for message in messages:
            _require_unicode(message["content"], number)
    return chats


def vectors_of(given: Any, name: str = "rows") -> NDArray[Any]:
    """The rows of a column of vectors, [n_rows, d]; an array that is given is not copied.

    Args:
        given: see `rows_of`.
        name: of the rows, for the error.

    Raises:
        ColumnError: it is no column.
        DatasetError: there are no rows.
        RowError: a row is no list of numbers, or of another length than the first.
    """
    rows = _some_rows(given, name)
    kind_of(rows)
    try:
        vectors = np.asarray(rows if isinstance(rows, np.ndarray) else [_sequence(row) for row in rows])
    except ValueError:
        vectors = np.empty(0, dtype=object)
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise _odd_vector(rows)
    return vectors


def _odd_vector(rows: Any) -> RowError:
    """What is wrong with the first row that is no vector like the first one."""
    expected = None
    for number, row in enumerate(rows):
        held = np.asarray(_sequence(row))
        if held.ndim != 1 or held.dtype.kind not in "fiu":
            return RowError(number, f"holds {_name(row)}; expected a text or an embedding", of_batch=False)
        expected = expected or len(held)
        if len(held) != expected:
            return RowError(number, f"has an embedding of length {len(held)}, row 0 one of {expected}", of_batch=False)
    return RowError(0, f"holds {_name(rows[0])}; expected a text or an embedding", of_batch=False)


def numbers_of(given: Any, name: str = "rows") -> list[NDArray[np.float64]]:
    """The rows of a column of lists of numbers, feature ids or vectors, each as an array; see `vectors_of`."""
    lists = []
    for number, row in enumerate(_some_rows(given, name)):
        held = np.asarray([] if _sequence(row) is None else _sequence(row))
        if _sequence(row) is None or held.ndim != 1 or held.dtype.kind not in "fiu":
            raise RowError(number, f"holds {_name(row)}; expected a list of numbers", of_batch=False)
        lists.append(held.astype(np.float64))
    return lists


def feature_ids_of(given: Any, name: str = "rows") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of a column of lists of feature ids: how many each has, and the ids in one array.

    Args:
        given: see `rows_of`.
        name: of the rows, for the error.

    Raises:
        ColumnError: it is no column.
        DatasetError: there are no rows.
        RowError: a row is no list of whole numbers of at least 0 and below 2^31.

    Example:
        >>> lengths, ids = feature_ids_of([[3, 5], [8]])
        >>> lengths.tolist(), ids.tolist()
        ([2, 1], [3, 5, 8])
    """
    rows = _some_rows(given, name)
    ids = [_ids_of_row(row, number) for number, row in enumerate(rows)]
    return np.array([len(row) for row in ids], dtype=np.int64), np.concatenate(ids)


def feature_ids(given: Any, name: str) -> NDArray[np.int64]:
    """An option that is one list of feature ids.

    Args:
        given: see `rows_of`.
        name: of the option, for the error.

    Raises:
        OptionError: it is no such list.
    """
    try:
        return _ids_of_row(rows_of(given, name), 0)
    except RowError as error:
        raise OptionError(f"{name} {error.problem}") from error
    except ColumnError as error:
        raise OptionError(str(error)) from error


def _ids_of_row(row: Any, number: int) -> NDArray[np.int64]:
    held = None if isinstance(row, str) else _sequence(row)
    if held is None:
        raise _odd_ids(number, f"it is {type(row).__name__} {str(row)[:60]!r}")
    # Types first: numpy takes True for 1.
    if isinstance(held, list | tuple) and not all(map(_is_whole, set(map(type, held)))):
        raise _odd_ids(number, f"it holds {next(value for value in held if not _is_whole(type(value)))!r}")
    ids = np.asarray(held) if len(held) else np.empty(0, np.int64)
    # Numbers beyond 64 bits are objects.
    if ids.ndim != 1 or ids.dtype.kind not in "iuO":
        raise _odd_ids(number, f"it holds {ids.ravel()[0].item()!r}")
    wrong = (ids < 0) | (ids >= ID_LIMIT)
    if wrong.any():
        odd = ids[np.argmax(wrong)]
        raise _odd_ids(number, f"{odd} is {'negative' if odd < 0 else 'too large'}")
    return ids.astype(np.int64, copy=False)


def _is_whole(kind: type) -> bool:
    return issubclass(kind, int | np.integer) and kind is not bool


def _odd_ids(number: int, problem: str) -> RowError:
    return RowError(
        number,
        f"is no list of feature ids: {problem}; ids are whole numbers of at least 0 and below 2^31",
        of_batch=False,
    )


def _some_rows(given: Any, name: str) -> list[Any] | NDArray[Any]:
    rows = rows_of(given, name)
    if not len(rows):
        raise DatasetError(f"{name} are empty; a measure needs at least one")
    return rows


def _text(row: Any, number: int) -> str:
    try:
        return plain_text(Messages().chat(list(_sequence(row)), number))
    except RowError as error:
        raise error.at(number) from None


def _message(message: Any, number: int) -> dict[str, Any]:
    try:
        return Messages().message(message, number)
    except RowError as error:
        raise error.at(number) from None


def _require_unicode(text: str, number: int) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(
            number, f"is not valid Unicode ({error.reason}); repair it or leave it out", of_batch=False
        ) from error
