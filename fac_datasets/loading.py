"""Datasets by name: a file, a folder, or a Hub id."""

from __future__ import annotations

from pathlib import Path

import datasets

from fac_datasets.errors import DatasetError

_BUILDERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


def load_rows(name: str, split: str | None = None) -> datasets.Dataset:
    r"""Load one split of a dataset argument of the command line.

    Args:
        name: a .jsonl, .json, .csv or .parquet file, a folder written by this project or by `save_to_disk`, or a Hub
            id with optional `:config` and `@revision`.
        split: needed where there are several; by default the only one, or `train`.

    Raises:
        DatasetError: nothing is there, it cannot be read, it has no such split, or it has no rows.

    Example:
        >>> _ = Path("mine.jsonl").write_text('{"text": "Hello."}\n')
        >>> load_rows("mine.jsonl").num_rows
        1
    """
    try:
        loaded = _load(name)
    except DatasetError:
        raise
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise DatasetError(f"dataset {name!r} cannot be read: {error}{cause}") from error
    if isinstance(loaded, datasets.DatasetDict):
        wanted = split or (next(iter(loaded)) if len(loaded) == 1 else "train")
        if wanted not in loaded:
            raise DatasetError(f"dataset {name!r} has no split {wanted!r}; it has {list(loaded)} (--split)")
        loaded = loaded[wanted]
    elif split and loaded.split is not None and str(loaded.split) != split:
        raise DatasetError(f"dataset {name!r} has no split {split!r}; it has {[str(loaded.split)]} (--split)")
    if not len(loaded):
        raise DatasetError(f"dataset {name!r} has no rows")
    return loaded


def _load(name: str) -> datasets.Dataset | datasets.DatasetDict:
    path = Path(name)
    if path.is_file():
        if path.suffix not in _BUILDERS:
            raise DatasetError(f"{name!r} is no {', '.join(_BUILDERS)} file")
        # datasets stops with a bare StopIteration on an empty file.
        if not path.stat().st_size:
            raise DatasetError(f"{name!r} has no rows")
        return datasets.load_dataset(_BUILDERS[path.suffix], data_files=str(path))
    if path.is_dir():
        if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
            return datasets.load_from_disk(str(path))
        return datasets.load_dataset(str(path))
    identifier, _, revision = name.partition("@")
    repository, _, config = identifier.partition(":")
    return datasets.load_dataset(repository, config or None, revision=revision or None)
