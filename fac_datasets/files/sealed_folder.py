"""Folders whose files carry their digests, so that what was damaged is not read."""

from __future__ import annotations

import json
from pathlib import Path

from fac_datasets.files.digests import sha256

_SEAL = "seal.json"


def seal(folder: Path) -> None:
    """Note the digests of all files in a folder, as the last step of writing it."""
    (folder / _SEAL).write_text(json.dumps(_digests(folder)))


def is_whole(folder: Path) -> bool:
    """Whether a folder was sealed, and its files are what they were then.

    Example:
        >>> Path("kept").mkdir()
        >>> _ = Path("kept/rows").write_text("one")
        >>> seal(Path("kept"))
        >>> is_whole(Path("kept"))
        True
        >>> _ = Path("kept/rows").write_text("on")
        >>> is_whole(Path("kept"))
        False
    """
    try:
        sealed = json.loads((folder / _SEAL).read_text())
        return bool(sealed == _digests(folder))
    except (OSError, ValueError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / _SEAL)
    return {str(path.relative_to(folder)): sha256(path) for path in files}
