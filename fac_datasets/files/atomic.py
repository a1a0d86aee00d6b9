"""The user's cache folder, and writing files so that nobody ever reads half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fac_datasets.errors import OutputError

_UNFINISHED = ".unfinished"
"""How the names of files end that are not written to their end yet."""


def cache_folder(name: str) -> Path:
    """A folder below `FAC_DATASETS_CACHE`, by default `~/.cache/fac-datasets`, made when missing.

    Args:
        name: what is cached there, such as `"digests"`.

    Raises:
        OutputError: the user has no folder that can be written, as in a container without an entry in passwd.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    folder = Path(os.environ.get("FAC_DATASETS_CACHE") or caches / "fac-datasets") / name
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        # A RuntimeError says that nobody knows this user's home.
        raise OutputError(
            f"the cache folder {folder} cannot be made ({getattr(error, 'strerror', None) or error}); name another by "
            f"the environment variable FAC_DATASETS_CACHE"
        ) from error
    return folder


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed have left below a folder; nobody else may be writing there."""
    for path in folder.rglob(f".*{_UNFINISHED}"):
        path.unlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    try:
        _replace(path, content)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); what was there before is kept. Make room or choose "
            f"another folder, and run again"
        ) from error


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; what is written here is as readable as any other file of the user's.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
