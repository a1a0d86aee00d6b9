"""What a dataset is: the name, size and fingerprint that every score carries."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fac_datasets.errors import DatasetError

if TYPE_CHECKING:
    import datasets


class DatasetIdentity(NamedTuple):
    """What a dataset is, so that others can check a score."""

    id: str
    """Name given by the user, or the builder's."""
    revision: str
    """Commit of the Hub that the rows were read from; empty where they are of no commit."""
    split: str
    rows: int
    tokens: int | None
    """Own tokens; None where the features were given as ids only."""
    fingerprint: str
    """First 16 hex digits of the sha256 over the rows without their feature columns."""


def identify(dataset: datasets.Dataset, name: str | None = None, prefix: str = "") -> DatasetIdentity:
    """Describe a dataset.

    Args:
        dataset: with or without feature columns.
        name: what to call it; by default what its builder is called.
        prefix: of the feature columns.
    """
    tokens = f"{prefix}feature_tokens"
    info = dataset.info
    return DatasetIdentity(
        id=name or info.dataset_name or info.builder_name or "dataset",
        revision=_hub_commit(dataset),
        split=str(dataset.split or ""),
        rows=len(dataset),
        tokens=int(sum(dataset.with_format("numpy")[tokens])) if tokens in dataset.column_names else None,
        fingerprint=content_fingerprint(dataset),
    )


def _hub_commit(dataset: datasets.Dataset) -> str:
    """Commit that rows loaded from the Hub came from: datasets names the folder of its cache by it."""
    folders = (Path(file["filename"]).parts for file in dataset.cache_files)
    found = (part for parts in folders for part in parts if re.fullmatch("[0-9a-f]{40}", part))
    return next(found, "")


def content_fingerprint(dataset: datasets.Dataset) -> str:
    """First 16 hex digits of the sha256 over the rows; equal rows give equal fingerprints, wherever they are stored."""
    columns = source_columns(dataset) or sorted(dataset.column_names)
    digest = hashlib.sha256(json.dumps(columns).encode())
    try:
        for batch in dataset.select_columns(columns).with_format("arrow").iter(batch_size=10_000):
            for row in batch.to_pylist():
                digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    except UnicodeDecodeError as error:
        raise DatasetError(f"the dataset holds text that is not UTF-8: {error}") from error
    return digest.hexdigest()[:16]


def features_fingerprint(dataset: datasets.Dataset, prefix: str = "") -> str:
    """First 16 hex digits of the sha256 over the features of rows and where they peak, wherever they are stored.

    Args:
        dataset: with feature columns.
        prefix: of these columns.
    """
    parts_of_a_peak = ("ids", "activations", "starts", "ends", "messages")
    names = [name for part in parts_of_a_peak if (name := f"{prefix}feature_{part}") in dataset.column_names]
    digest = hashlib.sha256(json.dumps(names).encode())
    for batch in dataset.select_columns(names).with_format("arrow").iter(batch_size=10_000):
        for name in names:
            column = batch.column(name).combine_chunks()
            for part in (column.value_lengths(), column.flatten()):
                digest.update(part.to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()[:16]


def source_columns(dataset: datasets.Dataset) -> list[str]:
    """The columns that are no feature columns, sorted."""
    from fac_datasets.feature_space import feature_columns

    added = {
        name
        for prefix in ("", "chosen_", "rejected_")
        for name in feature_columns(prefix, spans=True, chat=True, errors=True)
    }
    return sorted(name for name in dataset.column_names if name not in added)
