"""Reading feature columns: which row activates which feature above a threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.errors import ThresholdBelowStored
from fac_datasets.feature_space import FeatureSpace, Threshold, format_threshold
from fac_datasets.sae.calibration import thresholds_of

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


class ActiveRows(NamedTuple):
    """Which row activates which feature, as pairs sorted by row."""

    rows: NDArray[np.int64]
    """Row of each pair, [n]."""
    ids: NDArray[np.int64]
    """Feature of each pair, [n]."""
    n_rows: int
    """Rows, with and without features."""


def active_rows(
    tables: Sequence[datasets.Dataset], space: FeatureSpace, threshold: Threshold, prefix: str = ""
) -> list[ActiveRows]:
    """Which rows of each dataset activate which features above a threshold.

    Raises:
        ThresholdBelowStored: the threshold lies below the columns' cut-off.
    """
    parts = [list(_id_value_batches(table, prefix)) for table in tables]
    d_sae = 1 + max((int(ids.max()) for part in parts for _, ids, _ in part if len(ids)), default=0)
    stored = thresholds_of(space, space.threshold, d_sae)
    thresholds = thresholds_of(space, threshold, len(stored))
    floor = stored if isinstance(space.threshold, str) else np.float32(space.threshold)
    below = int((thresholds < floor).sum())
    if below:
        raise ThresholdBelowStored(
            f"threshold {format_threshold(threshold)} lies below the cut-off {format_threshold(space.threshold)} of "
            f"the stored columns for {below} features; raise it, or extract anew with "
            f"FeatureExtractor(threshold={threshold!r})"
        )
    result = []
    for table, part in zip(tables, parts, strict=True):
        found_rows, found_ids = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for rows, ids, values in part:
            above = values > thresholds[ids]
            found_rows.append(rows[above])
            found_ids.append(ids[above])
        result.append(ActiveRows(np.concatenate(found_rows), np.concatenate(found_ids), len(table)))
    return result


def _id_value_batches(
    dataset: datasets.Dataset, prefix: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """Rows, ids and activations of all stored features, flat, a batch at a time."""
    names = [f"{prefix}feature_ids", f"{prefix}feature_activations"]
    start = 0
    for batch in dataset.select_columns(names).with_format("arrow").iter(batch_size=10_000):
        lengths, ids = flatten(batch.column(names[0]), np.int64)
        _, values = flatten(batch.column(names[1]), np.float32)
        yield start + np.repeat(np.arange(len(lengths)), lengths), ids, values
        start += len(lengths)


def flatten(column: Any, dtype: type) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Lengths of the rows of a ragged column, and its values in one array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(column, pa.Array | pa.ChunkedArray):
        lengths = np.fromiter((len(row) for row in column), np.int64, len(column))
        parts: list[NDArray[Any]] = [np.asarray(row, dtype=dtype) for row in column if len(row)]
        return lengths, np.concatenate(parts) if parts else np.empty(0, dtype)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    return lengths, pc.list_flatten(column).to_numpy().astype(dtype, copy=False)


def distinct_pairs(rows: NDArray[np.int64], ids: NDArray[np.int64], n_rows: int) -> ActiveRows:
    """Pairs of row and feature, each once."""
    pairs = np.unique(np.stack([rows, ids], axis=1), axis=0) if len(ids) else np.empty((0, 2), np.int64)
    return ActiveRows(pairs[:, 0], pairs[:, 1], n_rows)
