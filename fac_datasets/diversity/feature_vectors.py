"""Rows as unit vectors of features, whose products are the kernel of a Vendi score."""

from __future__ import annotations

from typing import Any

import numpy as np

from fac_datasets.coverage.active_rows import flatten
from fac_datasets.errors import DatasetError, MissingExtra, RowError
from fac_datasets.feature_space import dataset_space


def unit_features(rows: Any) -> Any:
    """Lists of feature ids, of equal weight, or a dataset with feature columns, whose activations weigh.

    Returns:
        A sparse matrix of unit vectors, [n_rows, features that occur].

    Raises:
        DatasetError: there are no rows.
        RowError: a row has no features, or something else than ids.
        FeatureSpaceMismatch: the dataset's rows are of several feature spaces.
        OptionError: scipy is not installed.
    """
    try:
        from scipy.sparse import csr_array, diags_array
    except ImportError as error:
        raise MissingExtra("feature kernels need scipy: pip install 'fac-datasets[metrics]'") from error

    if not len(rows):
        raise DatasetError("there are no rows; a kernel needs at least one")
    weighted = hasattr(rows, "select_columns")
    if weighted:
        dataset_space(rows)
        columns = rows.select_columns(["feature_ids", "feature_activations"]).with_format("arrow")[:]
        lengths, ids = flatten(columns["feature_ids"], np.int64)
        _, values = flatten(columns["feature_activations"], np.float64)
    else:
        lengths, ids = _ids(rows)
        values = np.ones(len(ids))
    if (lengths == 0).any():
        raise RowError(int(np.argmin(lengths)), "has no features, so it has no direction; leave it out", of_batch=False)
    _, used = np.unique(ids, return_inverse=True)
    matrix = csr_array((values, used, np.concatenate([[0], lengths.cumsum()])))
    matrix.sum_duplicates()
    if not weighted:
        matrix.data[:] = 1
    return diags_array(1 / np.sqrt((matrix**2).sum(axis=1))) @ matrix


def _ids(rows: Any) -> tuple[Any, Any]:
    """Lengths of the rows, and their ids in one array; they may come as whole floats, as evaluate reads vectors."""
    for row, ids in enumerate(rows):
        try:
            held = np.asarray(ids, dtype=np.float64)
        except (TypeError, ValueError):
            held = np.empty(())
        if held.ndim != 1 or (held != held.astype(np.int64)).any() or (held < 0).any():
            raise RowError(row, "is no list of feature ids, whole numbers of at least 0", of_batch=False)
    return flatten(rows, np.int64)
