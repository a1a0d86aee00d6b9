"""Output folders: each belongs to one command with one set of inputs and options."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import OutputError
from fac_datasets.files.atomic import write_atomically

if TYPE_CHECKING:
    import datasets

TABLE = "data/train-00000-of-00001.parquet"
"""The one file of a table in its folder, where `load_dataset` looks for it."""


def claim(
    folder: Path,
    record: str,
    identity: dict[str, Any],
    *,
    parts: Sequence[str],
    kept: Sequence[str] = (),
    overwrite: bool,
) -> bool:
    """Make a folder this run's own, unless it is another's.

    Args:
        folder: made when missing.
        record: name of the file that says whose it is.
        identity: what decides the result.
        parts: files and folders that a run leaves there.
        kept: files that may be there before, and stay.
        overwrite: remove what another run left.

    Returns:
        Whether the folder was not this run's before.

    Raises:
        OutputError: it holds something else, or cannot be written.
    """
    wanted = json.dumps(identity, indent=2, sort_keys=True) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = (folder / record).read_text() if (folder / record).exists() else None
        if known == wanted:
            return False
        if known is not None and not _is_record(known, identity):
            raise OutputError(f"{folder / record} is no record of fac-datasets; choose another folder")
        if known is not None and not overwrite:
            raise OutputError(f"{folder} holds a run with other data or options; choose another folder, or --overwrite")
        if known is not None:
            _remove(folder, record, parts)
        elif any(path.name not in kept for path in folder.iterdir()):
            raise OutputError(f"{folder} is not empty and holds no run of fac-datasets; choose another folder")
        write_atomically(folder / record, wanted.encode())
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"the output folder {folder} cannot be written: {error}") from error
    return True


def give_up(folder: Path, record: str, parts: Sequence[str]) -> None:
    """Leave a folder that was just claimed, for a run that cannot succeed.

    Args:
        folder: see `claim`.
        record: see `claim`.
        parts: files and folders that the run left there.
    """
    _remove(folder, record, parts)
    if not any(folder.iterdir()):
        folder.rmdir()


def _remove(folder: Path, record: str, parts: Sequence[str]) -> None:
    # The record goes last, so that an interrupted clean-up can be repeated.
    for part in (*parts, record):
        if (folder / part).is_dir():
            shutil.rmtree(folder / part)
        (folder / part).unlink(missing_ok=True)


def _is_record(content: str, identity: dict[str, Any]) -> bool:
    """Whether a file of a record's name holds most of what such a record holds, which differs between versions."""
    try:
        found = json.loads(content)
    except ValueError:
        return False
    return isinstance(found, dict) and 2 * len(found.keys() & identity.keys()) > len(identity)


def write_table(folder: Path, table: datasets.Dataset) -> None:
    """Write a table's file, whole or not at all."""
    content = io.BytesIO()
    table.to_parquet(content)
    write_atomically(folder / TABLE, content.getvalue())


def kept_table(folder: Path) -> datasets.Dataset:
    """The table in a folder, which may have no rows, as `load_dataset` does not allow."""
    import datasets
    from pyarrow import parquet

    return datasets.Dataset(datasets.table.InMemoryTable(parquet.read_table(folder / TABLE)))
