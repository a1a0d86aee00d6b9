"""How many rows activate each feature, whatever stands for the rows: a dataset, a stream, or merged state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fac_datasets.coverage.active_rows import BATCH_ROWS, Cutoffs, feature_batches, row_features, spaces_of
from fac_datasets.coverage.state import FeatureCoverage, require_thresholds
from fac_datasets.coverage.streams import stream_batches
from fac_datasets.errors import DatasetError
from fac_datasets.feature_space import FeatureSpace, Threshold, dataset_space, require_same_space
from fac_datasets.rows.one_dataset import is_stream, require_dataset

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

Rows: TypeAlias = "datasets.Dataset | datasets.IterableDataset | FeatureCoverage"
"""What stands for rows."""


def row_counts(
    rows: Rows, threshold: Threshold, *, role: str, space: FeatureSpace | None = None, prefix: str = ""
) -> tuple[NDArray[np.int64], FeatureSpace]:
    """Rows that activate each feature, [highest id + 1], and their feature space.

    Args:
        rows: a dataset or a stream with feature columns, or merged state. None is kept.
        threshold: what an activation must exceed.
        role: `"dataset"` or `"anchor"`, for errors.
        space: that they must be of; by default their own.
        prefix: of the feature columns.

    Raises:
        DatasetError: there are no rows.
        OptionError: merged state was counted above other thresholds.
        ColumnError, RowError, FeatureSpaceMismatch, ThresholdBelowStored, CalibrationMissing: see `coverage`.
    """
    counts, n_rows = np.zeros(0, np.int64), 0

    def known(*spaces: FeatureSpace) -> FeatureSpace | None:
        for other in spaces:
            require_same_space(space or other, other)
        return space or next(iter(spaces), None)

    if isinstance(rows, FeatureCoverage):
        space = known(FeatureSpace.parse(rows.feature_space))
        require_thresholds(rows, threshold, role)
        counts, n_rows = rows.counts, rows.n_rows
    else:
        require_dataset(rows, f"the {role}", stream=True)
        streamed = is_stream(rows)
        if not is_stream(rows) and len(rows):
            space = known(dataset_space(rows, prefix))
        cutoffs: Cutoffs | None = None
        for batch in _batches(rows, prefix):
            if streamed:
                space = known(*spaces_of(batch, prefix, first_row=n_rows))
            if space is None:
                continue
            cutoffs = cutoffs or Cutoffs(space, threshold)
            features = row_features(batch, prefix, first_row=n_rows)
            new = np.bincount(features.ids[cutoffs.exceeded(features)], minlength=len(counts))
            new[: len(counts)] += counts
            counts = new
            n_rows += len(features.lengths)
    if space is None or not n_rows:
        raise DatasetError(f"the {role} has no rows; coverage needs at least one")
    return counts, space


def _batches(rows: datasets.Dataset | datasets.IterableDataset, prefix: str) -> Iterator[Any]:
    if not is_stream(rows):
        return iter(feature_batches(rows, prefix)) if len(rows) else iter(())
    columns = ("feature_ids", "feature_activations", "feature_space")
    return stream_batches(rows, [f"{prefix}{name}" for name in columns], BATCH_ROWS)
