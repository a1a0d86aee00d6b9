"""Output folders: each belongs to one command with one set of inputs and options."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from fac_datasets.errors import FacDatasetsError, GenerationError, OutputError
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


@contextmanager
def alone_in(
    folder: Path, record: str, *, claimed: bool, lock: str, parts: Sequence[str], dear: Sequence[str]
) -> Iterator[None]:
    """Work in a claimed folder, alone.

    A run that cannot succeed with its data or options gives up a folder that it has just claimed, unless something dear
    is in it. Where a server or the disk failed, which may be back for the next call, everything stays.

    Args:
        folder: see `claim`.
        record: see `claim`.
        claimed: what `claim` returned.
        lock: file in the folder that tells other processes.
        parts: files and folders that the run leaves there.
        dear: of these, what costs to make again, such as answers.

    Raises:
        OutputError: another process is at work there.

    Example:
        >>> folder = Path("a-run")
        >>> claimed = claim(folder, "run.json", {"seed": 0}, parts=["log"], overwrite=False)
        >>> with alone_in(folder, "run.json", claimed=claimed, lock=".lock", parts=["log"], dear=["log"]):
        ...     _ = (folder / "log").write_text("an answer")
    """
    try:
        with FileLock(folder / lock, timeout=0):
            yield
    except Timeout as error:
        raise OutputError(f"another process is at work in {folder}; wait for it, or choose another folder") from error
    except (OutputError, GenerationError):
        raise
    except FacDatasetsError:
        if claimed and not any(_holds_something(folder / part) for part in dear):
            _remove(folder, record, (*parts, lock))
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def _holds_something(part: Path) -> bool:
    files = part.rglob("*") if part.is_dir() else (part,)
    return any(path.is_file() and path.stat().st_size for path in files)


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
