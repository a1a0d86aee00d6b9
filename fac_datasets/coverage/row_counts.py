"""How many rows activate each feature, whatever stands for the rows: a dataset, a stream, or merged state."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fac_datasets.coverage.active_rows import Cutoffs, feature_batches, row_features
from fac_datasets.coverage.state import FeatureCoverage, require_thresholds
from fac_datasets.coverage.streams import count_rows
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
    if isinstance(rows, FeatureCoverage):
        found = FeatureSpace.parse(rows.feature_space)
        require_same_space(space or found, found)
        require_thresholds(rows, threshold, role)
        n_rows, counts = rows.n_rows, rows.counts
    elif is_stream(rows):
        counts, _, found, _ = count_rows(rows, threshold, role=role, space=space, prefix=prefix)
        return counts, found
    else:
        require_dataset(rows, f"the {role}", stream=True)
        n_rows = len(rows)
    if not n_rows:
        raise DatasetError(f"the {role} has no rows; coverage needs at least one")
    if isinstance(rows, FeatureCoverage):
        return counts, found
    found = dataset_space(rows, prefix)
    require_same_space(space or found, found)
    cutoffs = Cutoffs(found, threshold)
    counts, start = np.zeros(0, np.int64), 0
    for batch in feature_batches(rows, prefix):
        features = row_features(batch, prefix, first_row=start)
        new = np.bincount(features.ids[cutoffs.exceeded(features)], minlength=len(counts))
        new[: len(counts)] += counts
        counts = new
        start += len(batch)
    return counts, found
