"""Rows as unit vectors of features, whose products are the kernel of a Vendi score."""

from __future__ import annotations

from typing import Any

import numpy as np

from fac_datasets.coverage.active_rows import row_features
from fac_datasets.errors import DatasetError, MissingExtra, RowError
from fac_datasets.feature_space import dataset_space
from fac_datasets.rows.inputs import feature_ids_of, is_instance


def unit_features(rows: Any) -> Any:
    """Lists of feature ids, of equal weight, or a dataset with feature columns, whose activations weigh.

    Args:
        rows: a column of lists of ids, see `fac_datasets.rows.inputs.feature_ids_of`; or a dataset.

    Returns:
        A sparse matrix of unit vectors, [n_rows, features that occur].

    Raises:
        ColumnError: neither is given.
        DatasetError: there are no rows.
        RowError: a row has no features, or something else than ids.
        FeatureSpaceMismatch: the dataset's rows are of several feature spaces.
        OptionError: scipy is not installed.
    """
    try:
        from scipy.sparse import csr_array, diags_array
    except ImportError as error:
        raise MissingExtra("feature kernels need scipy: pip install 'fac-datasets[metrics]'") from error

    weighted = is_instance(rows, "datasets", "Dataset")
    if weighted:
        if not len(rows):
            raise DatasetError("there are no rows; a kernel needs at least one")
        dataset_space(rows)
        columns = rows.select_columns(["feature_ids", "feature_activations"]).with_format("arrow")[:]
        lengths, ids, activations = row_features(columns, first_row=0)
        values = activations.astype(np.float64)
    else:
        lengths, ids = feature_ids_of(rows)
        values = np.ones(len(ids))
    if (lengths == 0).any():
        raise RowError(int(np.argmin(lengths)), "has no features, so it has no direction; leave it out", of_batch=False)
    _, used = np.unique(ids, return_inverse=True)
    matrix = csr_array((values, used, np.concatenate([[0], lengths.cumsum()])))
    matrix.sum_duplicates()
    if not weighted:
        matrix.data[:] = 1
    return diags_array(1 / np.sqrt((matrix**2).sum(axis=1))) @ matrix
