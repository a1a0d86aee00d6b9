"""The measures of classifiers and of pairwise judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def auprc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve, as average precision: the sum of (R_k - R_k-1) P_k over thresholds k.

    No line is drawn between points, which would flatter (Davis and Goadrich 2006, "The relationship between
    precision-recall and ROC curves"). Rows of one score are one threshold.

    Args:
        labels: whether each row is positive, [n_rows], at least one.
        scores: higher for positive, [n_rows].

    Example:
        >>> auprc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        0.8333333333333333
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(np.asarray(labels, dtype=bool), np.asarray(scores, dtype=np.float64)))


def best_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """The score from which on rows are called positive where F1 is best, the highest of several.

    Args:
        labels: whether each row is positive, [n_rows], at least one.
        scores: higher for positive, [n_rows].

    Example:
        >>> best_threshold([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        0.7
    """
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(np.asarray(labels, dtype=bool)[order])
    # Rows of one score are called positive together.
    ends = np.flatnonzero(np.append(np.diff(values) != 0, True))
    return float(values[ends][np.argmax(2 * hits[ends] / (ends + 1 + hits[-1]))])


def f1(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Harmonic mean of precision and recall of the rows that score at least a threshold; 0 where none is a hit.

    Args:
        labels: whether each row is positive, [n_rows], at least one.
        scores: higher for positive, [n_rows].
        threshold: see `best_threshold`.

    Example:
        >>> f1([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], 0.7)
        0.8
    """
    from sklearn.metrics import f1_score

    return float(f1_score(np.asarray(labels, dtype=bool), np.asarray(scores) >= threshold, zero_division=0))


def pairwise_accuracy(chosen: ArrayLike, rejected: ArrayLike) -> float:
    """Share of pairs whose better side scores above the worse; ties count half.

    Args:
        chosen: scores of the better sides, [n_pairs], at least one.
        rejected: scores of the worse sides, [n_pairs].

    Example:
        >>> pairwise_accuracy([2.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0])
        0.625
    """
    above = np.sign(np.asarray(chosen, dtype=np.float64) - np.asarray(rejected, dtype=np.float64))
    return float((1 + above.mean()) / 2)
