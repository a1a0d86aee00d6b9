"""Which features of a judged feature table are relevant for the task, and so count in its coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from fac_datasets.errors import DatasetError, OptionError
from fac_datasets.feature_space import FeatureSpace, Threshold, format_threshold, require_table_space
from fac_datasets.rows.inputs import feature_ids
from fac_datasets.rows.one_dataset import is_stream, require_dataset
from fac_datasets.rows.tables import require_columns

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

EVIDENCE = ("llm", "contrast", "effect", "review")
"""Kinds of evidence: verdicts of a language model, different activation, what ablation changes, and people."""


def relevant_features(
    table: datasets.Dataset, *, evidence: Sequence[str] = EVIDENCE, together: bool = False
) -> NDArray[np.int64]:
    """Ids of the features that are relevant for the task.

    `coverage(features=...)` takes them, or the table itself, of which it also checks the feature space.

    Args:
        table: a feature table that was judged.
        evidence: kinds that count.
        together: every one of these kinds is needed; by default one is enough.

    Raises:
        ColumnError: the table was not judged.
        DatasetError: it is no single table.
        OptionError: a kind is unknown.

    Example:
        >>> report = coverage(seed, anchor, features=relevant_features(judged))
        >>> len(report.relevant) <= len(judged)
        True
    """
    require_dataset(table, "the feature table")
    require_columns(table, "feature_id", "evidence")
    unknown = sorted({*evidence} - {*EVIDENCE})
    if unknown or not evidence:
        raise OptionError(f"evidence={list(evidence)} is not of {list(EVIDENCE)}")
    needed = len({*evidence}) if together else 1
    chosen = [
        feature
        for feature, kinds in zip(table["feature_id"], table["evidence"], strict=True)
        if len({*evidence} & {*(kinds or ())}) >= needed
    ]
    return np.array(sorted(chosen), dtype=np.int64)


def ids_of(features: Sequence[int] | NDArray[np.int64] | datasets.Dataset | None) -> NDArray[np.int64] | None:
    """Features given as ids, or as a judged feature table, as ids; None where all count.

    Raises:
        ColumnError: the table was not judged.
        DatasetError: it is several tables, or a stream.
        OptionError: it is neither a table nor a list of ids, or holds no id.
    """
    if features is None:
        return None
    if _is_table(features):
        ids = relevant_features(features)
        if not len(ids):
            raise OptionError("no feature of the table in features= is relevant; judge it anew, or leave it out")
        return ids
    ids = feature_ids(features, "features")
    if not len(ids):
        raise OptionError("features= holds no id; give some, or None for all")
    return ids


def require_features_of(features: Any, space: FeatureSpace) -> None:
    """Raise where features are a table of another space, see `require_table_space`; ids alone do not say of which."""
    if features is not None and _is_table(features):
        require_table_space(features, space)


def _is_table(features: Any) -> TypeGuard[datasets.Dataset]:
    """Whether features are given as a table; ids come in a column."""
    return hasattr(features, "column_names") or is_stream(features)


def relevant_of_anchor(
    anchor_counts: NDArray[np.int64],
    features: NDArray[np.int64] | None,
    threshold: Threshold,
    role: str = "anchor",
) -> NDArray[np.int64]:
    """The anchor's features, sorted, and of these only the ones asked for.

    Args:
        anchor_counts: rows of the anchor that activate each feature, [highest id + 1].
        features: ids that count; by default all.
        threshold: for the error.
        role: of the rows, for the error.

    Raises:
        DatasetError: there are none, so that coverage is not defined.
    """
    relevant: NDArray[np.int64] = np.flatnonzero(anchor_counts)
    if features is not None:
        relevant = np.intersect1d(relevant, features)
    if not len(relevant):
        of_those = " of those asked for" if features is not None else ""
        raise DatasetError(
            f"the {role} activates no feature{of_those} at threshold {format_threshold(threshold)}, so coverage is not "
            f"defined; lower the threshold or use another {role}"
        )
    return relevant
