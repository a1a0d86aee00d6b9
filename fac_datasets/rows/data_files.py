"""Dataset arguments that name files: what their suffixes mean, and whether they are there."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fac_datasets.errors import DatasetError

_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".ndjson": ("json", {}),
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".txt": ("text", {}),
    ".parquet": ("parquet", {}),
    ".arrow": ("arrow", {}),
}
"""Builder of `datasets` and its options, by suffix."""

_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes that may follow one of a format of texts."""

_PACKED = (".parquet", ".arrow")
"""Formats that compress within themselves."""


def named_files(name: str) -> list[str]:
    r"""The files that a dataset argument names; empty where it names a folder or a dataset of the Hub.

    Args:
        name: a file, a glob such as `"data/*.jsonl"`, or several of them joined by commas.

    Returns:
        Paths, those of a glob in order of their names; none twice.

    Raises:
        DatasetError: a file is missing, or a glob finds none.

    Example:
        >>> for letter in "ab":
        ...     _ = Path(f"rows-{letter}.jsonl").write_text('{"text": "Hello."}\n')
        >>> named_files("rows-*.jsonl")
        ['rows-a.jsonl', 'rows-b.jsonl']
    """
    path = local_path(name)
    if path.is_file():
        return [str(path)]
    if path.is_dir() or local_path(name.partition(":")[0]).is_dir():
        return []
    if "://" in name:
        raise DatasetError(f"{name!r} is an address; download it, or name a dataset of the Hub as OWNER/NAME")
    if "," in name:
        parts = [part.strip() for part in name.split(",")]
        found = [file for part in parts if part for file in _files_of_part(part)]
        return list(dict.fromkeys(found))
    if glob.has_magic(name):
        return _files_of_part(name)
    if _looks_local(name):
        raise DatasetError(f"there is no file or folder {name!r}")
    return []


def local_path(name: str) -> Path:
    """The path of a name, with the home in place of a tilde: a pattern stands in quotes, where no shell expands it."""
    return Path(os.path.expanduser(name))  # noqa: PTH111 - this one raises nothing where nobody knows the home


def require_present(*names: str | None) -> None:
    """Raise DatasetError unless what these dataset arguments name on this machine is there; nothing is read.

    Args:
        names: dataset arguments; those of the Hub are not looked for, and None is skipped.
    """
    for name in names:
        if name is not None:
            named_files(name)


def load_files(files: Sequence[str], *, streaming: bool) -> Any:
    """The splits of files of one format.

    Raises:
        DatasetError: the format of one is not known, they are of several, or they hold nothing.
    """
    import datasets

    kinds = {file: _format_of(file) for file in files}
    builder, options = kinds[files[0]]
    other = next((file for file, kind in kinds.items() if kind != kinds[files[0]]), None)
    if other:
        raise DatasetError(f"{files[0]!r} and {other!r} are of different formats; read them one at a time")
    nothing = DatasetError(f"{', '.join(map(repr, files[:3]))} has no rows")
    if not any(Path(file).stat().st_size for file in files):
        raise nothing
    # `load_dataset` takes every path for a pattern.
    paths = [glob.escape(file) for file in files]
    try:
        return datasets.load_dataset(builder, data_files=paths, streaming=streaming, **options)
    except StopIteration as error:
        # So it ends where it finds nothing to tell columns by.
        raise nothing from error
    except ValueError as error:
        if "corresponds to no data" in str(error):
            raise nothing from error
        raise


def files_below(folder: Path) -> list[str]:
    """The files of known formats in a folder and the folders in it."""
    return [str(path) for path in sorted(folder.rglob("*")) if path.is_file() and has_known_suffix(path.name)]


def has_known_suffix(name: str) -> bool:
    """Whether a name ends like a file that can be read, in letters of any case.

    Example:
        >>> has_known_suffix("TRAIN.JSONL.GZ"), has_known_suffix("me/cooking-v1.1")
        (True, False)
    """
    return _suffix_of(name) in _FORMATS


def absolute_name(name: str) -> str:
    """A dataset argument as every process of this machine understands it: local paths are absolute."""
    if local_path(name).exists():
        return str(local_path(name).absolute())
    files = named_files(name)
    return ",".join(str(Path(file).absolute()) for file in files) if files else name


def short_name(name: str) -> str:
    """What to call a dataset argument in reports: a Hub id or an address as it is, of local paths the last part.

    Example:
        >>> short_name("/home/me/a.jsonl,/home/me/b-*.jsonl"), short_name("me/cooking:default@main")
        ('a.jsonl,b-*.jsonl', 'me/cooking:default@main')
    """
    if "://" in name:
        return name
    if local_path(name).exists():
        return local_path(name).resolve().name
    if "," in name:
        return ",".join(Path(part.strip()).name for part in name.split(",") if part.strip())
    return Path(name).name if glob.has_magic(name) or _looks_local(name) else name


def _files_of_part(part: str) -> list[str]:
    """The files of one name of a list; a name that is none of files is an error."""
    path = local_path(part)
    if path.is_file():
        return [str(path)]
    if path.is_dir():
        raise DatasetError(f"{part!r} is a folder; a list and a glob name files, such as '{part.rstrip('/')}/*.jsonl'")
    # `Path.glob` takes no absolute patterns.
    found = sorted(file for file in glob.glob(str(path), recursive=True) if Path(file).is_file())  # noqa: PTH207
    if not found:
        raise DatasetError(f"no file is named {part!r}" if glob.has_magic(part) else f"there is no file {part!r}")
    return found


def _looks_local(name: str) -> bool:
    """Whether a name can only be one of this machine: no id of the Hub begins or ends like this, or is as deep."""
    below_owner = name.partition("@")[0].partition(":")[0].partition("/")[2]
    return name.startswith((".", "/", "~")) or "\\" in name or "/" in below_owner or has_known_suffix(name)


def _suffix_of(name: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    if len(suffixes) == 2 and suffixes[1] in _COMPRESSIONS and suffixes[0] not in _PACKED:
        return suffixes[0]
    return suffixes[-1] if suffixes else ""


def _format_of(file: str) -> tuple[str, dict[str, str]]:
    if not has_known_suffix(file):
        raise DatasetError(
            f"{file!r} is no {', '.join(_FORMATS)} file, of which those of texts may be compressed "
            f"({', '.join(_COMPRESSIONS)})"
        )
    return _FORMATS[_suffix_of(file)]
