"""Which rows are most like their dataset by their features, and which least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.active_rows import ActiveRows, rows_with_features
from fac_datasets.errors import OptionError
from fac_datasets.feature_space import Threshold
from fac_datasets.rows.tables import dataset_of

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


def typical_rows(
    dataset: datasets.Dataset, *, top: int = 20, threshold: Threshold = "q90", prefix: str = ""
) -> datasets.Dataset:
    """The rows whose active features are most like those of the whole dataset.

    With r the share of the dataset's rows that activate a feature, the score of a row is the weighted Jaccard
    similarity of its features to these shares: sum of min(x, r) over sum of max(x, r), x being 1 for the row's active
    features and 0 for all others. It lies in [0, 1], and is 1 where all rows have the same features.

    A feature that few rows have counts against a row that has it, and one that many have against a row that lacks it,
    so that the best rows are neither the shortest nor the longest. A row without an active feature has the score 0.

    Args:
        dataset: rows with feature columns.
        top: rows returned, at most.
        threshold: a number in the SAE's units, or a quantile such as `"q90"`.
        prefix: of the feature columns, such as `"chosen_"`.

    Returns:
        A dataset of `row`, `score` and `features` (how many the row activates), highest score first; of equal ones the
        lower row. `dataset.select(found["row"])` are the rows themselves.

    Raises:
        OptionError: `top` is no whole number of at least 1, or the threshold has no meaning.
        DatasetError: it is no single dataset, or has no rows, or none of them activates a feature.
        ColumnError: there are no feature columns.
        RowError: a row has no features, as where rows were added without extraction, or damaged ones.
        FeatureSpaceMismatch: its rows are of several spaces.
        ThresholdBelowStored: the threshold lies below the columns' cut-off.
        CalibrationMissing: the threshold is a quantile and the SAE has no calibration.

    Example:
        >>> typical_rows(texts.map(extractor, batched=True), top=2).column_names
        ['row', 'score', 'features']
    """
    _require_top(top)
    active = rows_with_features(dataset, threshold, prefix)
    shares = active.counts / active.n_rows
    shared = _sums(active, shares)
    sizes = _sizes(active)
    return _ranking(shared / (sizes + shares.sum() - shared), sizes, top)


def unusual_rows(
    dataset: datasets.Dataset, *, top: int = 20, threshold: Threshold = "q90", prefix: str = ""
) -> datasets.Dataset:
    """The rows whose active features are most surprising in their dataset.

    The surprise of a feature is -log2 of the share of the dataset's rows that activate it, in bits: 0 where all rows
    do, log2 of their number where a single one does. The score of a row is the mean over its active features.

    A sum would name the longest rows, for they activate most features. The mean does not grow with their number; but
    the fewer features a row has the further it may lie from others, as any mean of few does, and so `features` says how
    many there are. A row without an active feature surprises by none: its score is 0, the lowest there is.

    Args:
        dataset: rows with feature columns.
        top: rows returned, at most.
        threshold: a number in the SAE's units, or a quantile such as `"q90"`.
        prefix: of the feature columns, such as `"chosen_"`.

    Returns:
        A dataset of `row`, `score` and `features` (how many the row activates), highest score first; of equal ones the
        lower row. `dataset.select(found["row"])` are the rows themselves.

    Raises:
        OptionError, DatasetError, ColumnError, RowError, FeatureSpaceMismatch, ThresholdBelowStored,
            CalibrationMissing: see `typical_rows`.

    Example:
        >>> found = unusual_rows(texts.map(extractor, batched=True), top=2)
        >>> found["score"][0] >= found["score"][1] >= 0
        True
    """
    _require_top(top)
    active = rows_with_features(dataset, threshold, prefix)
    # What no row activates is asked for by none.
    surprise = -np.log2(np.maximum(active.counts, 1) / active.n_rows)
    sizes = _sizes(active)
    return _ranking(_sums(active, surprise) / np.maximum(sizes, 1), sizes, top)


def _require_top(top: Any) -> None:
    if not isinstance(top, int | np.integer) or isinstance(top, bool) or top < 1:
        raise OptionError(f"top={top!r} is no number of rows; choose a whole number from 1")


def _sizes(active: ActiveRows) -> NDArray[np.int64]:
    """Active features of each row, [n_rows]."""
    return np.bincount(active.rows, minlength=active.n_rows)


def _sums(active: ActiveRows, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of a value of each feature over the active ones of each row, [n_rows]."""
    sums = np.bincount(active.rows, weights=values[active.ids], minlength=active.n_rows)
    return sums.astype(np.float64, copy=False)


def _ranking(scores: NDArray[np.float64], sizes: NDArray[np.int64], top: int) -> datasets.Dataset:
    """The rows of the highest scores as a table; of equal ones the lower row."""
    from datasets import Features, Value

    rows = np.argsort(-scores, kind="stable")[:top]
    found = [
        {"row": row, "score": score, "features": size}
        for row, score, size in zip(rows.tolist(), scores[rows].tolist(), sizes[rows].tolist(), strict=True)
    ]
    return dataset_of(found, Features({"row": Value("int64"), "score": Value("float64"), "features": Value("int64")}))
