"""What a dataset is: the name, size and fingerprint that every score carries."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fac_datasets.errors import DatasetError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


class DatasetIdentity(NamedTuple):
    """What a dataset is, so that others can check a score."""

    id: str
    """Name given by the user, or the builder's."""
    revision: str
    """Commit of the Hub that the rows were read from; empty where they are of no commit."""
    split: str
    rows: int
    tokens: int | None
    """Own tokens; None where they are not known of every row, as where the features were given as ids only."""
    fingerprint: str
    """First 16 hex digits of the sha256 over the rows without their feature columns."""


def identify(dataset: datasets.Dataset, name: str | None = None, prefix: str = "") -> DatasetIdentity:
    """Describe a dataset.

    Args:
        dataset: with or without feature columns.
        name: what to call it; by default what its builder is called.
        prefix: of the feature columns.
    """
    return DatasetIdentity(
        id=name or _name_of(dataset),
        revision=_hub_commit(dataset),
        split=str(dataset.split or ""),
        rows=len(dataset),
        tokens=_tokens_of(dataset, f"{prefix}feature_tokens"),
        fingerprint=content_fingerprint(dataset),
    )


class StreamIdentity:
    """The identity of a stream, made while its rows pass: that of the same rows in a dataset, but for the revision.

    Args:
        stream: whose rows will pass.
        name: what to call it; by default what its builder is called.
        prefix: of the feature columns.

    Example:
        >>> passing = StreamIdentity(seed.to_iterable_dataset())
        >>> for batch in seed.with_format("arrow").iter(2):
        ...     passing.update(batch)
        >>> passing.finish() == identify(seed)
        True
    """

    def __init__(self, stream: datasets.IterableDataset, name: str | None = None, prefix: str = "") -> None:
        self._id, self._split = name or _name_of(stream), str(stream.split or "")
        self._tokens_name = f"{prefix}feature_tokens"
        self._tokens: int | None = 0
        self._rows = 0
        self._digest: _RowDigest | None = None

    def update(self, batch: pa.Table | Mapping[str, list[Any]]) -> None:
        """Take in the next rows, as columns of Arrow or as lists."""
        rows = _rows_of(batch)
        self._digest = self._digest or _RowDigest([*rows[0]])
        self._digest.update(rows)
        self._rows += len(rows)
        counts = [row.get(self._tokens_name) for row in rows]
        tokens = sum(count for count in counts if count is not None) if None not in counts else None
        self._tokens = None if tokens is None or self._tokens is None else self._tokens + tokens

    def finish(self) -> DatasetIdentity:
        """The identity of all rows that have passed."""
        fingerprint = (self._digest or _RowDigest([])).finish()
        return DatasetIdentity(self._id, "", self._split, self._rows, self._tokens, fingerprint)


def _name_of(rows: datasets.Dataset | datasets.IterableDataset) -> str:
    return str(rows.info.dataset_name or rows.info.builder_name or "dataset")


def _tokens_of(dataset: datasets.Dataset, name: str) -> int | None:
    if name not in dataset.column_names:
        return None
    tokens = 0
    for batch in dataset.select_columns([name]).with_format("arrow").iter(batch_size=10_000):
        counts = batch.column(name)
        if counts.null_count:
            return None
        tokens += int(counts.to_numpy().sum())
    return tokens


def _hub_commit(dataset: datasets.Dataset) -> str:
    """Commit that rows loaded from the Hub came from: datasets names the folder of its cache by it."""
    folders = (Path(file["filename"]).parts for file in dataset.cache_files)
    found = (part for parts in folders for part in parts if re.fullmatch("[0-9a-f]{40}", part))
    return next(found, "")


def content_fingerprint(dataset: datasets.Dataset) -> str:
    """First 16 hex digits of the sha256 over the rows; equal rows give equal fingerprints, wherever they are stored."""
    digest = _RowDigest(dataset.column_names)
    for batch in dataset.select_columns(digest.columns).with_format("arrow").iter(batch_size=10_000):
        digest.update(_rows_of(batch))
    return digest.finish()


def _rows_of(batch: pa.Table | Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    if isinstance(batch, Mapping):
        return [dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True)]
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError as error:
        raise DatasetError(f"the dataset holds text that is not UTF-8: {error}") from error
    return rows


class _RowDigest:
    """The sha256 over rows without their feature columns, in which rows that hold nothing else count whole."""

    def __init__(self, names: Sequence[str]) -> None:
        self.columns = _source_names(names) or sorted(names)
        self._digest = hashlib.sha256(json.dumps(self.columns).encode())

    def update(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            # Rows of a stream without declared features can lack a column.
            content = {name: row.get(name) for name in self.columns}
            self._digest.update(json.dumps(content, sort_keys=True, default=str).encode())

    def finish(self) -> str:
        return self._digest.hexdigest()[:16]


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
    return _source_names(dataset.column_names)


def _source_names(names: Sequence[str]) -> list[str]:
    from fac_datasets.feature_space import feature_columns

    added = {
        name
        for prefix in ("", "chosen_", "rejected_")
        for name in feature_columns(prefix, spans=True, chat=True, errors=True)
    }
    return sorted(name for name in names if name not in added)
