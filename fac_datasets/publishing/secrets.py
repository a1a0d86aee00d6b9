"""Looking for keys in what is about to be published, and letting through those that were named."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fac_datasets.errors import OptionError, PublishError
from fac_datasets.publishing.secret_files import secrets_in_streams
from fac_datasets.publishing.secret_rules import secrets_in, secrets_in_text, without_secrets

if TYPE_CHECKING:
    import datasets

_NAMED = 5
"""Places that an error names."""

_ROWS = 10_000
"""Rows that are looked through at once."""


class Found(NamedTuple):
    """What looks like a key, and where; not the key itself."""

    place: str
    kind: str
    digest: str | None
    """Lets it through; None for the token in use, which nothing does."""

    def __str__(self) -> str:
        return f"{self.place} holds what looks like {self.kind}" + (f" ({self.digest})" if self.digest else "")


def require_allowed(found: Iterable[Found], allowed: Collection[str] = ()) -> list[Found]:
    """What looks like a key and may be published; raises where something may not.

    Args:
        found: of `secrets_in_files` and `secrets_in_rows`.
        allowed: digests of what is let through.

    Raises:
        OptionError: a digest is none.
        PublishError: something is not allowed.
    """
    for digest in allowed:
        if not re.fullmatch("[0-9a-f]{12}", digest):
            # It may be the key itself.
            raise OptionError(
                "what is let through is named by the 12 hexadecimal digits that the error shows beside it"
            )
    seen = list(found)
    refused = [one for one in seen if one.digest not in allowed]
    if refused:
        more = f", and {len(refused) - _NAMED:,} more" if len(refused) > _NAMED else ""
        raise PublishError(
            f"{'; '.join(map(str, refused[:_NAMED]))}{more}. Nothing was published. Take it out (and revoke it where "
            f"it is real), then publish again; what is no key is let through by its digest in brackets "
            f"(allow_secrets=, --allow-secret)"
        )
    return seen


def secrets_in_files(files: Mapping[str, bytes | Path], own: str | None = None) -> list[Found]:
    """Where files hold what looks like a key, in their names too.

    Args:
        files: or their contents, by name.
        own: see `secrets_in_rows`.

    Raises:
        PublishError: see `secrets_in_streams`.
    """
    found: list[Found] = []

    def opened() -> Iterator[tuple[str, IO[bytes]]]:
        for name, content in files.items():
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
                if (table := _as_parquet(stream)) is not None:
                    # What is compressed in it would not be seen.
                    found.extend(_in_parquet(table, without_secrets(name, own), own))
                    stream = io.BytesIO()
                yield name, stream

    found += [Found(place, secret.kind, secret.digest) for place, secret in secrets_in_streams(opened(), own)]
    return found


def secrets_in_rows(rows: datasets.Dataset, place: str, own: str | None = None) -> list[Found]:
    """Where rows hold what looks like a key, also in the names of columns and classes.

    Args:
        rows: with columns of any type.
        place: what to call them.
        own: a key that is known, such as the token in use.
    """
    found = _in_names(str(rows.features), place, own)
    first = 0
    for batch in rows.with_format("arrow").iter(_ROWS):
        found += _in_table(batch, first, place, own)
        first += len(batch)
    return found


def _as_parquet(stream: IO[bytes]) -> pq.ParquetFile | None:
    """A file as a table; None where it is none."""
    is_one = stream.read(4) == b"PAR1"
    stream.seek(0)
    try:
        return pq.ParquetFile(stream) if is_one else None
    except pa.ArrowException:
        return None


def _in_parquet(table: pq.ParquetFile, place: str, own: str | None) -> list[Found]:
    found = _in_names(str(table.schema_arrow), place, own)
    first = 0
    for batch in table.iter_batches(_ROWS):
        found += _in_table(pa.Table.from_batches([batch]), first, place, own)
        first += len(batch)
    return found


def _in_names(schema: str, place: str, own: str | None) -> list[Found]:
    return [Found(f"a name in the columns of {place}", each.kind, each.digest) for each in secrets_in_text(schema, own)]


def _in_table(table: pa.Table, first: int, place: str, own: str | None) -> list[Found]:
    """Where a table holds what looks like a key.

    Args:
        table: of at most `_ROWS` rows.
        first: number of its first row.
        place: see `secrets_in_rows`.
        own: see `secrets_in_rows`.
    """
    found: list[Found] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        inside = f"column {without_secrets(name, own)!r} of {place}"
        for rows, strings in _strings(column, pa.array(range(first, first + len(table)))):
            texts, numbers = strings, rows
            if any(is_bytes(strings.type) for is_bytes in _BYTES):
                are_files = pc.fill_null(pc.match_substring_regex(strings, _FILE), False)
                found += _in_cells(rows.filter(are_files), strings.filter(are_files), inside, own)
                texts, numbers = strings.filter(pc.invert(are_files)), rows.filter(pc.invert(are_files))
            found += [
                Found(f"row {numbers[index]}, {inside}", secret.kind, secret.digest)
                for index, secret in secrets_in(texts, own)
            ]
    return found


def _in_cells(rows: Any, cells: Any, inside: str, own: str | None) -> list[Found]:
    """Where cells that hold a file each, such as a picture, hold what looks like a key."""
    files = (
        (f"row {row}, {inside}", io.BytesIO(cell))
        for row, cell in zip(rows.to_pylist(), cells.to_pylist(), strict=True)
    )
    return [Found(place, secret.kind, secret.digest) for place, secret in secrets_in_streams(files, own)]


_FILE = r"^(?:\x89PNG|PK|\x1f\x8b|BZh|\xfd7zXZ|\xff\xfe|\xfe\xff)|\x00"
"""Bytes that are not simply text."""

_BYTES = (pa.types.is_binary, pa.types.is_large_binary)
_STRINGS = (pa.types.is_string, pa.types.is_large_string, *_BYTES)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def _strings(array: Any, rows: Any) -> Iterator[tuple[Any, Any]]:
    """All strings in an array, whatever they are nested in, with the row of each.

    Args:
        array: of any type.
        rows: number of each of its elements' row.
    """
    kind = array.type
    if isinstance(array, pa.ChunkedArray):
        first = 0
        for chunk in array.chunks:
            yield from _strings(chunk, rows.slice(first, len(chunk)))
            first += len(chunk)
    elif isinstance(array, pa.ExtensionArray):
        yield from _strings(array.storage, rows)
    elif pa.types.is_dictionary(kind):
        yield from _strings(array.dictionary_decode(), rows)
    elif any(is_string(kind) for is_string in _STRINGS):
        yield rows, array
    elif pa.types.is_string_view(kind):
        yield rows, array.cast(pa.large_string())
    elif pa.types.is_binary_view(kind):
        yield from _strings(array.cast(pa.large_binary()), rows)
    elif pa.types.is_struct(kind):
        for part in array.flatten():
            yield from _strings(part, rows)
    elif pa.types.is_map(kind):
        pairs = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        yield from _strings(array.cast(pa.list_(pairs)), rows)
    elif any(is_list(kind) for is_list in _LISTS):
        yield from _strings(array.flatten(), rows.take(pc.list_parent_indices(array)))
