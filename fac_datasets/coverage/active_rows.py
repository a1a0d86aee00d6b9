"""Reading feature columns: which row activates which feature above a threshold, and whether the columns are whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.errors import ColumnError, DatasetError, RowError, ThresholdBelowStored
from fac_datasets.feature_space import FeatureSpace, Threshold, dataset_space, format_threshold, parse_threshold
from fac_datasets.rows.inputs import ID_LIMIT
from fac_datasets.rows.one_dataset import require_dataset
from fac_datasets.sae.calibration import thresholds_of

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from numpy.typing import NDArray

BATCH_ROWS = 10_000
"""Rows of a dataset that are read at once."""


class ActiveRows(NamedTuple):
    """Which row activates which feature, as pairs sorted by row."""

    rows: NDArray[np.int64]
    """Row of each pair, [n]."""
    ids: NDArray[np.int64]
    """Feature of each pair, [n]."""
    n_rows: int
    """Rows, with and without features."""
    values: NDArray[np.float32] | None = None
    """Activation of each pair, [n], where it was asked for."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows that activate each feature, [highest id + 1]."""
        return np.bincount(self.ids)


class RowFeatures(NamedTuple):
    """The stored features of a batch of rows."""

    lengths: NDArray[np.int64]
    """Features of each row, [n_rows]."""
    ids: NDArray[np.int64]
    """Features, row after row, [sum of lengths]."""
    values: NDArray[np.float32]
    """Activation of each, [sum of lengths]."""


class Cutoffs:
    """What an activation must exceed to count.

    Args:
        space: of the columns.
        threshold: a number, or a quantile.

    Raises:
        ThresholdBelowStored: it lies below the columns' cut-off.
        CalibrationMissing: it is a quantile and the SAE has no calibration.
    """

    def __init__(self, space: FeatureSpace, threshold: Threshold) -> None:
        quantiles = [value for value in (threshold, space.threshold) if isinstance(value, str)]
        # A number needs no array, whose length without a calibration would be that of the highest id.
        d_sae = len(thresholds_of(space, quantiles[0], 0)) if quantiles else 1
        self.of_feature = thresholds_of(space, threshold, d_sae)
        below = int((self.of_feature < thresholds_of(space, space.threshold, d_sae)).sum())
        if below:
            raise ThresholdBelowStored(
                f"threshold {format_threshold(threshold)} lies below the cut-off {format_threshold(space.threshold)} "
                f"of the stored columns{f' for {below} features' if quantiles else ''}; raise it, or extract anew with "
                f"FeatureExtractor(threshold={threshold!r})"
            )
        self.d_sae = d_sae if quantiles else None

    def exceeded(self, features: RowFeatures) -> NDArray[np.bool_]:
        """Which activations count, [sum of lengths].

        Raises:
            ColumnError: an id lies beyond the SAE's features.
        """
        if self.d_sae is None:
            cutoffs = self.of_feature[:1]
        elif len(features.ids) and features.ids.max() >= self.d_sae:
            raise ColumnError(
                f"feature id {features.ids.max()} is beyond the d_sae={self.d_sae} features of the SAE's calibration; "
                f"extract the features anew with the SAE that the column 'feature_space' names"
            )
        else:
            cutoffs = self.of_feature[features.ids]
        above: NDArray[np.bool_] = features.values > cutoffs
        return above


def active_rows(
    dataset: datasets.Dataset, cutoffs: Cutoffs, prefix: str = "", *, with_values: bool = False
) -> ActiveRows:
    """Which rows of a dataset activate which features, and on request how strongly.

    Raises:
        RowError: a row has no features, or damaged ones; see `row_features`.
    """
    found_rows, found_ids = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    found_values = [np.empty(0, np.float32)]
    start = 0
    for batch in feature_batches(dataset, prefix):
        features = row_features(batch, prefix, first_row=start)
        above = cutoffs.exceeded(features)
        rows = np.repeat(np.arange(start, start + len(batch)), features.lengths)
        found_rows.append(rows[above])
        found_ids.append(features.ids[above])
        if with_values:
            found_values.append(features.values[above])
        start += len(batch)
    values = np.concatenate(found_values) if with_values else None
    return ActiveRows(np.concatenate(found_rows), np.concatenate(found_ids), start, values)


def rows_with_features(dataset: Any, threshold: Threshold, prefix: str = "") -> ActiveRows:
    """Which rows of one dataset activate which features, of which there must be some.

    Args:
        dataset: rows with feature columns.
        threshold: a number in the SAE's units, or a quantile.
        prefix: of the feature columns.

    Raises:
        DatasetError: it is no single dataset, or has no rows, or none of them activates a feature.
        ColumnError, RowError, FeatureSpaceMismatch, ThresholdBelowStored, CalibrationMissing, OptionError: see
            `coverage`.
    """
    threshold = parse_threshold(threshold)
    require_dataset(dataset, "the dataset")
    if not len(dataset):
        raise DatasetError("the dataset has no rows; give at least one")
    active = active_rows(dataset, Cutoffs(dataset_space(dataset, prefix), threshold), prefix)
    if not len(active.ids):
        raise DatasetError(
            f"no row of the dataset activates a feature at threshold {format_threshold(threshold)}, so its rows cannot "
            f"be compared; lower the threshold"
        )
    return active


def largest(known: NDArray[np.float32], ids: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest activation of each feature, [highest id + 1], among those known and new ones; 0 of others."""
    found = np.zeros(max(len(known), int(ids.max(initial=-1)) + 1), np.float32)
    found[: len(known)] = known
    np.maximum.at(found, ids, values)
    return found


def feature_batches(dataset: datasets.Dataset, prefix: str = "") -> Any:
    """Ids and activations of a dataset's rows, a `pyarrow.Table` at a time.

    Raises:
        ColumnError: the dataset lacks one of the columns.
    """
    names = [f"{prefix}feature_ids", f"{prefix}feature_activations"]
    for name in names:
        require_column(dataset.column_names, name)
    return dataset.select_columns(names).with_format("arrow").iter(batch_size=BATCH_ROWS)


def token_counts(dataset: datasets.Dataset, prefix: str = "") -> NDArray[np.int64]:
    """Own tokens of each row, [n_rows].

    Raises:
        ColumnError: the dataset does not say.
        RowError: a row does not say.
    """
    name = f"{prefix}feature_tokens"
    require_column(dataset.column_names, name)
    parts = [
        tokens_of(batch.column(name), name, first_row=number * BATCH_ROWS)
        for number, batch in enumerate(dataset.select_columns([name]).with_format("arrow").iter(batch_size=BATCH_ROWS))
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])


def tokens_of(column: Any, name: str, *, first_row: int | None = None) -> NDArray[np.int64]:
    """Own tokens of the rows of a batch, [n_rows]; see `row_features`.

    Raises:
        RowError: a row does not say how many it has.
    """
    found: NDArray[Any] = column.to_numpy(zero_copy_only=False) if hasattr(column, "null_count") else np.asarray(column)
    if len(found) and found.dtype.kind not in "iu":
        # Null among numbers makes them floats, or objects.
        known = np.array([value is not None and value == value and int(value) == value for value in found])
        if not known.all():
            row = int(known.argmin())
            raise RowError(
                row + (first_row or 0),
                f"holds {found[row]} in {name} and no number of tokens; extract its features anew",
                of_batch=first_row is None,
            )
    return found.astype(np.int64, copy=False)


def spaces_of(batch: Any, prefix: str = "", *, first_row: int | None = None) -> set[FeatureSpace]:
    """The feature spaces of a batch of rows; see `row_features`.

    Raises:
        ColumnError: there is no such column.
        RowError: a row has none.
    """
    name = f"{prefix}feature_space"
    require_column(column_names(batch), name)
    column = batch[name]
    if hasattr(column, "null_count") and not column.null_count:
        # Nearly always one for all rows.
        column = column.unique()
    values = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise RowError(
                row + (first_row or 0),
                f"has no features: {name} is null; extract it with FeatureExtractor, or leave it out with filter",
                of_batch=first_row is None,
            )
    return {FeatureSpace.parse(value) for value in set(values)}


def column_names(batch: Any) -> list[str]:
    """Names of the columns of a batch in any form."""
    return list(getattr(batch, "column_names", None) or batch)


def require_column(names: Any, name: str) -> None:
    """Raise ColumnError unless there is a feature column of this name."""
    if name not in names:
        raise ColumnError(
            f"there is no column {name!r} among {[*names]}; add the feature columns with "
            f"map(FeatureExtractor(...), batched=True)"
        )


def row_features(batch: Mapping[str, Any] | pa.Table, prefix: str = "", *, first_row: int | None = None) -> RowFeatures:
    """The features of a batch of rows, which are whole and of which each counts once.

    Args:
        batch: columns by name.
        prefix: of the feature columns.
        first_row: number of its first row in the dataset, for errors; by default they count from the batch's start.

    Raises:
        ColumnError: there are no such columns.
        RowError: a row has none, as rows have that were added without extraction; or ids that are negative, repeated or
            no whole numbers, activations that are negative or not finite, or not as many of the one as of the other.
    """
    names = column_names(batch)
    ids_name, values_name = f"{prefix}feature_ids", f"{prefix}feature_activations"
    for name in (ids_name, values_name):
        require_column(names, name)
    lengths, ids = _flat_numbers(batch[ids_name], ids_name, "iu", np.int64, first_row)
    n_values, values = _flat_numbers(batch[values_name], values_name, "fiu", np.float32, first_row)

    def odd(row: int, problem: str) -> RowError:
        return RowError(row + (first_row or 0), f"{problem}; extract its features anew", of_batch=first_row is None)

    def row_of(place: int) -> int:
        return int(np.searchsorted(lengths.cumsum(), place, side="right"))

    if len(lengths) != len(n_values):
        raise ColumnError(f"{ids_name} has {len(lengths)} rows and {values_name} {len(n_values)}; give whole rows")
    if (differ := lengths != n_values).any():
        row = int(differ.argmax())
        raise odd(row, f"has {lengths[row]} ids in {ids_name} and {n_values[row]} numbers in {values_name}")
    if not len(ids):
        return RowFeatures(lengths, ids, values)
    if not 0 <= ids.min() <= ids.max() < ID_LIMIT:
        place = int(((ids < 0) | (ids >= ID_LIMIT)).argmax())
        raise odd(row_of(place), f"has the id {ids[place]} in {ids_name}; ids are at least 0 and below 2^31")
    # NaN fails every comparison.
    if not 0 <= values.min() <= values.max() < np.inf:
        place = int((~((values >= 0) & (values < np.inf))).argmax())
        raise odd(
            row_of(place), f"has the activation {values[place]} in {values_name}; activations are finite and at least 0"
        )
    again = _repeated(lengths, ids)
    if again is not None:
        raise odd(row_of(again), f"has the id {ids[again]} more than once in {ids_name}, and would count it twice")
    return RowFeatures(lengths, ids, values)


def _repeated(lengths: NDArray[np.int64], ids: NDArray[np.int64]) -> int | None:
    """Place of an id that stands in its row a second time."""
    falls = ids[1:] <= ids[:-1]
    ends = lengths.cumsum()
    falls[ends[(ends > 0) & (ends < len(ids))] - 1] = False
    # Extracted ids rise, so that others are seldom sorted.
    if not falls.any():
        return None
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((ids, rows))
    again = (rows[order][1:] == rows[order][:-1]) & (ids[order][1:] == ids[order][:-1])
    return int(order[1:][again].min()) if again.any() else None


def _flat_numbers(
    column: Any, name: str, kinds: str, dtype: type, first_row: int | None
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Lengths of the rows of a ragged column of numbers, and its values in one array; a row without a list is refused.

    Args:
        column: of Arrow, or rows.
        name: of the column, for errors.
        kinds: of numbers, as numpy abbreviates them.
        dtype: of the values returned.
        first_row: see `row_features`.
    """
    import pyarrow as pa

    def odd(row: int, problem: str) -> RowError:
        return RowError(
            row + (first_row or 0),
            f"{problem}; extract its features with FeatureExtractor, or leave it out with filter",
            of_batch=first_row is None,
        )

    def no_features(row: int) -> RowError:
        return odd(row, f"has no features: {name} is null")

    if not isinstance(column, pa.Array | pa.ChunkedArray):
        rows = [np.asarray(row) for row in column]
        for number, row in enumerate(rows):
            if not row.ndim and (row.item() is None or row.item() != row.item()):
                raise no_features(number)
            if row.ndim != 1 or (len(row) and row.dtype.kind not in kinds):
                raise odd(number, f"holds {str(row.tolist())[:60]} in {name}, which is no list of numbers")
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        filled = [row for row in rows if len(row)]
        return lengths, np.concatenate(filled).astype(dtype, copy=False) if filled else np.empty(0, dtype)
    if column.null_count:
        raise no_features(column.is_null().to_pylist().index(True))
    if not hasattr(column.type, "value_type"):
        raise ColumnError(f"{name} holds {column.type} and no lists of numbers; extract the features anew")
    lengths, flat = flatten_arrow(column)
    if flat.null_count:
        place = flat.is_null().to_pylist().index(True)
        raise odd(int(np.searchsorted(lengths.cumsum(), place, side="right")), f"holds null among its {name}")
    numbers = flat.to_numpy()
    if len(numbers) and numbers.dtype.kind not in kinds:
        raise ColumnError(f"{name} holds lists of {flat.type} and not of numbers; extract the features anew")
    return lengths, numbers.astype(dtype, copy=False)


def flatten_arrow(column: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.ChunkedArray]:
    """Lengths of the rows of a ragged Arrow column, and its values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.list_flatten(column)
    return lengths, flat if isinstance(flat, pa.ChunkedArray) else pa.chunked_array([flat])


def flatten(column: Any, dtype: type) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Lengths of the rows of a ragged column, and its values in one array."""
    import pyarrow as pa

    if not isinstance(column, pa.Array | pa.ChunkedArray):
        lengths = np.fromiter((len(row) for row in column), np.int64, len(column))
        parts: list[NDArray[Any]] = [np.asarray(row, dtype=dtype) for row in column if len(row)]
        return lengths, np.concatenate(parts) if parts else np.empty(0, dtype)
    lengths, flat = flatten_arrow(column)
    return lengths, flat.to_numpy().astype(dtype, copy=False)


def distinct_pairs(rows: NDArray[np.int64], ids: NDArray[np.int64], n_rows: int) -> ActiveRows:
    """Pairs of row and feature, each once."""
    pairs = np.unique(np.stack([rows, ids], axis=1), axis=0) if len(ids) else np.empty((0, 2), np.int64)
    return ActiveRows(pairs[:, 0], pairs[:, 1], n_rows)
