"""Which features the rows of a stream activate, counted as the rows pass; none of them is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import Cutoffs, largest, row_features, spaces_of
from fac_datasets.errors import DatasetError
from fac_datasets.feature_space import FeatureSpace, Threshold, require_same_space
from fac_datasets.rows.dataset_identity import DatasetIdentity, StreamIdentity

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

_BATCH_ROWS = 1_000
"""Rows in memory at once, with all their columns."""


def stream_batches(stream: datasets.IterableDataset, names: Collection[str], batch_rows: int) -> Iterator[Any]:
    """The rows of a stream, a batch at a time, with only some columns where it says which it has."""
    # Where features are not declared, Arrow takes them from the first rows, and others may not fit.
    rows = stream.with_format("arrow" if stream.features else None)
    if rows.column_names:
        rows = rows.select_columns([name for name in rows.column_names if name in names])
    yield from rows.iter(batch_size=batch_rows)


class CountedRows(NamedTuple):
    """What is known of a stream that has passed."""

    counts: NDArray[np.int64]
    """Rows that activate each feature, [highest id + 1]."""
    maxima: NDArray[np.float32]
    """Largest activation of each feature, [highest id + 1]; 0 where no row activates it."""
    space: FeatureSpace
    identity: DatasetIdentity


def count_rows(
    stream: datasets.IterableDataset,
    threshold: Threshold,
    *,
    role: str,
    space: FeatureSpace | None = None,
    name: str | None = None,
    prefix: str = "",
) -> CountedRows:
    """Count the rows of a stream that activate each feature, in one pass.

    Args:
        stream: rows with feature columns.
        threshold: what an activation must exceed.
        role: `"dataset"` or `"anchor"`, for errors.
        space: that the rows must be of; by default that of the first.
        name: see `identify`.
        prefix: of the feature columns.

    Raises:
        ColumnError, RowError, ThresholdBelowStored, CalibrationMissing: see `coverage`.
        DatasetError: no row comes.
        FeatureSpaceMismatch: a row is of another space.
    """
    identity = StreamIdentity(stream, name, prefix)
    counts, maxima = np.zeros(0, np.int64), np.zeros(0, np.float32)
    cutoffs: Cutoffs | None = None
    start = 0
    # Where features are not declared, Arrow takes them from the first rows, and others may not fit.
    rows = stream.with_format("arrow" if stream.features else None)
    for batch in rows.iter(batch_size=_BATCH_ROWS):
        for other in spaces_of(batch, prefix, first_row=start):
            space = space or other
            require_same_space(space, other)
        if space is None:
            continue
        cutoffs = cutoffs or Cutoffs(space, threshold)
        features = row_features(batch, prefix, first_row=start)
        above = cutoffs.exceeded(features)
        ids = features.ids[above]
        maxima = largest(maxima, ids, features.values[above])
        found = np.bincount(ids, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
        identity.update(batch)
        start += len(features.lengths)
    if space is None or not start:
        raise DatasetError(f"the {role} has no rows; coverage needs at least one")
    return CountedRows(counts, maxima, space, identity.finish())
