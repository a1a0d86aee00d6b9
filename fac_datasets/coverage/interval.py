"""The bootstrap interval of a coverage, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.active_rows import ActiveRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
"""Bootstrap resamples behind an interval."""

ONE_ROW = "one row does not tell how much rows differ"
"""Why a coverage of a single row has no interval: every resample is that row again."""

STREAMED = "the rows of a stream are counted as they pass and are not drawn again"
"""Why a coverage of a stream has no interval."""

_SURELY_DRAWN = 40
"""A feature active in more rows than this is absent from a resample with probability below e^-40."""


def bootstrap_interval(
    fac: float, active: ActiveRows, relevant: NDArray[np.int64], row_counts: NDArray[np.int64], seed: int
) -> tuple[float, float]:
    """95 % bootstrap interval over the dataset's rows, with the anchor fixed.

    A resample holds fewer distinct rows than the dataset and so covers less; its deviations from the resamples' mean
    are therefore put around the measured value, and the result clipped to [0, 1]. A percentile interval would lie
    below the value that it belongs to.

    Args:
        fac: the measured coverage.
        active: the dataset's rows.
        relevant: features that count, sorted, [n_relevant].
        row_counts: rows of the dataset that activate each, [n_relevant].
        seed: of the resamples.

    Returns:
        The lower and the upper end.
    """
    # Only features of few rows can be absent from a resample; the others are counted once for all resamples.
    rare = relevant[(row_counts > 0) & (row_counts <= _SURELY_DRAWN)]
    sure = int((row_counts > _SURELY_DRAWN).sum())
    index = np.searchsorted(rare, active.ids)
    index[index == len(rare)] = 0
    kept = rare[index] == active.ids if len(rare) else np.zeros(len(active.ids), dtype=bool)
    order = np.argsort(index[kept], kind="stable")
    rows, feature = active.rows[kept][order], index[kept][order]
    starts = np.flatnonzero(np.concatenate([[True], feature[1:] != feature[:-1]])) if len(feature) else feature
    generator = np.random.default_rng(seed)
    covered = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = np.zeros(active.n_rows, dtype=bool)
        # How often a row is drawn makes no difference to a union, only whether it is.
        drawn[generator.integers(active.n_rows, size=active.n_rows)] = True
        covered[i] = sure + (np.logical_or.reduceat(drawn[rows], starts).sum() if len(starts) else 0)
    resampled = covered / len(relevant)
    low, high = np.quantile(resampled, [0.025, 0.975]) - resampled.mean()
    return float(np.clip(fac + low, 0, fac)), float(np.clip(fac + high, fac, 1))


def with_interval(scores: Mapping[str, Any], digits: int = 3) -> str:
    """A coverage with its interval, or with the reason why it has none, as text.

    Args:
        scores: `fac`, `low` and `high` of a report, and `no_interval` where there is none.
        digits: of each number.

    Example:
        >>> with_interval({"fac": 0.5, "low": 0.25, "high": 0.75}, 2)
        '0.50 [0.25, 0.75]'
        >>> with_interval({"fac": 0.5, "low": None, "high": None, "no_interval": "one row"}, 2)
        '0.50 (no interval: one row)'
    """
    value = f"{scores['fac']:.{digits}f}"
    if scores["low"] is not None and scores["high"] is not None:
        return f"{value} [{scores['low']:.{digits}f}, {scores['high']:.{digits}f}]"
    # Reports of earlier versions give no reason.
    reason = scores.get("no_interval")
    return f"{value} (no interval: {reason})" if reason else value
