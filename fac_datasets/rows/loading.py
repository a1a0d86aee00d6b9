"""Datasets by name: files, a folder, or a Hub id."""

from __future__ import annotations

import logging
import lzma
import zlib
from pathlib import Path
from typing import Any

import datasets

from fac_datasets.errors import DatasetError, FacDatasetsError
from fac_datasets.files.credentials import hub_token
from fac_datasets.rows.data_files import files_below, load_files, local_path, named_files

logger = logging.getLogger(__name__)

_DAMAGED = (EOFError, lzma.LZMAError, zlib.error)
"""What reading a damaged compressed file ends with, beside the errors of files and values."""


def load_rows(name: str, split: str | None = None) -> datasets.Dataset:
    r"""Load one split of a dataset argument of the command line.

    Args:
        name: a file (.jsonl, .json, .csv, .tsv, .txt, .parquet or .arrow, in letters of any case; those of texts also
            compressed, .gz, .bz2, .xz or .zst); a glob such as `data/*.jsonl`; several of these, joined by commas; a
            folder of such files, of this project (with optional `:config`) or of `save_to_disk`; or a Hub id with
            optional `:config` and `@revision`. What looks like a file of this machine is never asked of the Hub.
        split: needed where there are several; by default the only one, or `train`.

    Raises:
        DatasetError: nothing is there, it cannot be read, it has no such split, or it has no rows.

    Example:
        >>> _ = Path("mine.jsonl").write_text('{"text": "Hello."}\n')
        >>> load_rows("mine.jsonl").num_rows
        1
    """
    loaded: datasets.Dataset = _one_split(name, _read(name, streaming=False), split)
    if not len(loaded):
        raise DatasetError(f"dataset {name!r} has no rows")
    return loaded


def stream_rows(name: str, split: str | None = None) -> datasets.IterableDataset:
    r"""Stream one split of a dataset argument, without downloading or converting it as a whole; see `load_rows`.

    Example:
        >>> _ = Path("mine.jsonl").write_text('{"text": "Hello."}\n')
        >>> next(iter(stream_rows("mine.jsonl")))["text"]
        'Hello.'
    """
    loaded: datasets.IterableDataset = _one_split(name, _read(name, streaming=True), split)
    return loaded


def header_of(name: str) -> dict[str, Any]:
    """Header of the card that belongs to a dataset argument, such as its licence; empty where there is none.

    Args:
        name: see `load_rows`; files have no card.

    Raises:
        DatasetError: it names files that are missing.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RemoteEntryNotFoundError

    from fac_datasets.rows.card_header import split_card

    if named_files(name):
        return {}
    path = local_path(name)
    try:
        if path.is_dir():
            card = path / "README.md"
        else:
            identifier, _, revision = name.partition("@")
            repository = identifier.partition(":")[0]
            hub_token()
            card = Path(hf_hub_download(repository, "README.md", repo_type="dataset", revision=revision or None))
        return split_card(card.read_text(encoding="utf-8"))[0] if card.is_file() else {}
    except RemoteEntryNotFoundError:
        return {}
    except (LocalEntryNotFoundError, HfHubHTTPError, ValueError) as error:
        logger.warning("the card of %s cannot be read, so its licence is not inherited: %s", name, error)
        return {}


def _one_split(name: str, loaded: Any, split: str | None) -> Any:
    if isinstance(loaded, dict):
        wanted = split or (next(iter(loaded)) if len(loaded) == 1 else "train")
        if wanted not in loaded:
            raise DatasetError(f"dataset {name!r} has no split {wanted!r}; it has {list(loaded)} (--split)")
        return loaded[wanted]
    if split and loaded.split is not None and str(loaded.split) != split:
        raise DatasetError(f"dataset {name!r} has no split {split!r}; it has {[str(loaded.split)]} (--split)")
    return loaded


def _read(name: str, *, streaming: bool) -> Any:
    try:
        return _load(name, streaming=streaming)
    except FacDatasetsError:
        raise
    except (OSError, ValueError, datasets.exceptions.DatasetsError, *_DAMAGED) as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise DatasetError(f"dataset {name!r} cannot be read: {error}{cause}") from error


def _load(name: str, *, streaming: bool) -> Any:
    """A dataset, or several by split."""
    files = named_files(name)
    if files:
        return load_files(files, streaming=streaming)
    if local_path(name).is_dir():
        return _load_folder(local_path(name).resolve(), streaming=streaming)
    identifier, _, revision = name.partition("@")
    repository, _, config = identifier.partition(":")
    hub_token()
    return datasets.load_dataset(repository, config or None, revision=revision or None, streaming=streaming)


def _load_folder(path: Path, *, streaming: bool) -> Any:
    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        saved = datasets.load_from_disk(str(path))
        if not streaming:
            return saved
        if isinstance(saved, dict):
            return {split: part.to_iterable_dataset() for split, part in saved.items()}
        return saved.to_iterable_dataset()
    try:
        return datasets.load_dataset(str(path), streaming=streaming)
    except datasets.exceptions.DataFilesNotFoundError:
        # It does not know suffixes in capitals.
        files = files_below(path)
        if not files:
            raise
        return load_files(files, streaming=streaming)
