"""The two sides of a comparison: rows with their feature columns, and the table of what is found between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.coverage.names import names_at_hand
from fac_datasets.coverage.relevant import ids_of, require_features_of
from fac_datasets.errors import DatasetError, OptionError
from fac_datasets.feature_space import FeatureSpace, Threshold, dataset_space, parse_threshold, require_same_space
from fac_datasets.interpretation.comparison import SIDES
from fac_datasets.interpretation.spans import require_all_activations
from fac_datasets.interpretation.table import KEPT, feature_table
from fac_datasets.rows.one_dataset import require_dataset
from fac_datasets.rows.reader import ColumnChoice, RowReader

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


class Side(NamedTuple):
    """One of two sets of rows that are compared."""

    rows: datasets.Dataset
    """With texts and feature columns."""
    column: ColumnChoice
    """Of the texts."""
    features: datasets.Dataset
    """The feature columns alone, without prefix."""
    space: FeatureSpace

    @classmethod
    def of(cls, rows: datasets.Dataset, column: ColumnChoice, role: str) -> Side:
        """Rows with the feature columns of a column of texts.

        Raises:
            DatasetError: it is no dataset, or has no rows.
            ColumnError: there is no such column, or it has no feature columns that hold every activation.
            FeatureSpaceMismatch: the rows are of several spaces.
        """
        require_dataset(rows, role)
        if not len(rows):
            raise DatasetError(f"{role} has no rows; a comparison needs some on both sides")
        # Where no column is named, columns without prefix are meant, with their texts or without.
        is_plain = column is None and "feature_space" in rows.column_names
        prefix = "" if is_plain else RowReader(rows.features, column).prefix
        space = dataset_space(rows, prefix)
        require_all_activations(space)
        names = {name: name.removeprefix(prefix) for name in rows.column_names if name.startswith(f"{prefix}feature_")}
        renamed = {name: plain for name, plain in names.items() if name != plain}
        return cls(rows, column, rows.select_columns([*names]).rename_columns(renamed), space)

    def spans(self, features: NDArray[np.int64], most: int, seed: int) -> list[list[dict[str, Any]]]:
        """Where each feature fires most, [n_features]."""
        if not most or not len(features):
            return [[] for _ in features]
        table = feature_table(self.rows, features=features, top=most, column=self.column, seed=seed)
        spans = dict(zip(table["feature_id"], table["spans"], strict=True))
        return [spans[feature] for feature in features.tolist()]


class Question(NamedTuple):
    """How two sides are compared, whatever by."""

    threshold: Threshold
    alpha: float
    features: NDArray[np.int64] | datasets.Dataset | None
    """Only these count; see `coverage`."""
    feature_names: Any
    """See `coverage`."""
    spans: int
    """Example spans of each side."""
    seed: int

    def checked(self, a: Side, b: Side) -> Question:
        """The same, once every option is found to have a meaning, and all to be of one feature space.

        Raises:
            OptionError: an option has no meaning.
            ColumnError: a table of features was not judged, or has no names.
            FeatureSpaceMismatch: sides or tables are of different spaces.
        """
        if not isinstance(self.alpha, int | float) or not 0 < self.alpha < 1:
            raise OptionError(f"alpha={self.alpha!r} is not in (0, 1)")
        if not isinstance(self.spans, int | np.integer) or not 0 <= self.spans <= KEPT:
            raise OptionError(f"spans={self.spans!r} is no number of spans from 0 to {KEPT}")
        require_same_space(a.space, b.space)
        require_features_of(self.features, a.space)
        names = names_at_hand(self.feature_names, self.features, a.space).names
        return self._replace(
            threshold=parse_threshold(self.threshold), features=ids_of(self.features), feature_names=names
        )

    def compared(self, active: NDArray[np.int64]) -> NDArray[np.int64]:
        """The features that are compared, of those that any row activates, sorted."""
        return np.unique(active) if self.features is None else np.intersect1d(active, self.features)


def comparison_table(
    a: Side, b: Side, question: Question, ids: NDArray[np.int64], found: Mapping[str, NDArray[Any]]
) -> datasets.Dataset:
    """The table of a comparison; see `Comparison.table`.

    Args:
        a: one side.
        b: the other.
        question: how they were compared, checked.
        ids: the features, [n].
        found: columns, of which `effect` and `q` decide the order, [n] each.
    """
    import datasets
    from datasets import Features, List, Value

    effect, q = found["effect"], found["q"]
    differs = (q <= question.alpha) & (effect != 0)
    order = np.lexsort((ids, -np.abs(effect), ~differs))
    more = [(SIDES[0] if effect[i] > 0 else SIDES[1]) if differs[i] else None for i in order.tolist()]
    span = {
        **{name: Value("string") for name in ("text",)},
        **{name: Value("int32") for name in ("start", "end")},
        "activation": Value("float32"),
        "row": Value("int64"),
        "cut": Value("bool"),
    }
    kinds = {"f": Value("float64"), "i": Value("int64"), "b": Value("bool"), "O": Value("string")}
    content: dict[str, tuple[Any, Any]] = {
        "feature_id": (ids[order].tolist(), Value("int32")),
        "feature_space": ([str(a.space)] * len(ids), Value("string")),
        "name": ([_as_utf8(question.feature_names.get(feature)) for feature in ids[order].tolist()], Value("string")),
        "more_in": (more, Value("string")),
        **{name: (values[order].tolist(), kinds[values.dtype.kind]) for name, values in found.items()},
    }
    for name, side in zip(SIDES, (a, b), strict=True):
        content[f"spans_{name}"] = (side.spans(ids[order], question.spans, question.seed), List(span))
    return datasets.Dataset.from_dict(
        {name: values for name, (values, _) in content.items()},
        features=Features({name: kind for name, (_, kind) in content.items()}),
    )


def _as_utf8(name: str | None) -> str | None:
    """A name as a column of texts can hold it: halves of surrogates, which no text has, are replaced."""
    return None if name is None else name.encode("utf-8", "replace").decode()
