"""The bootstrap intervals of a coverage, and how they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import ActiveRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

Count = Literal["binary", "rows", "activation"]
"""What of a feature counts: that it is active, in how many rows, or how strongly; see `coverage`."""

RESAMPLES = 1000
"""Bootstrap resamples behind an interval."""

ONE_ROW = "one row does not tell how much rows differ"
"""Why a coverage of a single row has no interval: every resample is that row again."""

STREAMED = "the rows of a stream are counted as they pass and are not drawn again"
"""Why a coverage of a stream has no interval."""

MERGED = "a merged state does not know which row activates what"
"""Why a coverage of a merged state has no interval."""

_SURELY_DRAWN = 40
"""A feature active in more rows than this is absent from a resample with probability below e^-40."""

_SURELY_BESIDE = 4
"""A share of rows that lies more standard deviations beside another counts as on its side in every resample; what that
changes in a mean over resamples is below 1e-5 of a deviation."""


def bootstrap_intervals(
    measured: Sequence[float],
    active: ActiveRows,
    ids: NDArray[np.int64],
    caps: NDArray[np.float64],
    members: NDArray[np.bool_],
    *,
    count: Count,
    seed: int,
) -> list[tuple[float, float]]:
    """95 % bootstrap intervals of the coverage of several sets of features over the same rows, the anchor fixed.

    A resample holds fewer distinct rows than the dataset and so covers less; its deviations from the resamples' mean
    are therefore put around the measured value, and the result clipped to [0, 1]. A percentile interval would lie
    below the value that it belongs to.

    Args:
        measured: the coverage of each set, [n_sets].
        active: the dataset's rows; with values where these count.
        ids: features of any set, sorted, [n].
        caps: what the anchor has of each, as `count` says, [n].
        members: which of them are of each set, [n_sets, n].
        count: what of a feature counts; see `coverage`.
        seed: of the resamples, which are the same for all sets.

    Returns:
        The lower and the upper end for each set.
    """
    kept, places = _places_of(active.ids, ids)
    pairs = _Pairs(active.rows[kept], places[kept], None if active.values is None else active.values[kept])
    resampled = _row_shares if count == "rows" else _largest
    weights = members.astype(np.float64)
    found = resampled(pairs, caps, weights, active.n_rows, seed) / (weights @ caps)
    ends = np.quantile(found, [0.025, 0.975], axis=0) - found.mean(axis=0)
    return [
        (float(np.clip(share + low, 0, share)), float(np.clip(share + high, share, 1)))
        for share, low, high in zip(measured, *ends, strict=True)
    ]


class _Pairs(NamedTuple):
    """Which row has which of the features that count."""

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    """Of each feature among those that count."""
    values: NDArray[np.float32] | None


def _places_of(found: NDArray[np.int64], ids: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of the features found are among `ids`, which are sorted, and where."""
    places = np.searchsorted(ids, found)
    places[places == len(ids)] = 0
    return ids[places] == found, places


def _starts(sorted_places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each feature begins."""
    return np.flatnonzero(np.concatenate([[True], sorted_places[1:] != sorted_places[:-1]])[: len(sorted_places)])


def _largest(
    pairs: _Pairs, caps: NDArray[np.float64], members: NDArray[np.float64], n_rows: int, seed: int
) -> NDArray[np.float64]:
    """Sums, over the features of each set, of the largest value among rows drawn, but at most its cap.

    Returns:
        Of each resample, [RESAMPLES, n_sets].
    """
    if pairs.values is None:
        of_each = np.bincount(pairs.places, minlength=len(caps))
        best = np.where(of_each > 0, caps, 0)
        is_sure = of_each > _SURELY_DRAWN
    else:
        capped = np.minimum(pairs.values, caps[pairs.places])
        best = np.zeros(len(caps))
        np.maximum.at(best, pairs.places, capped)
        is_sure = np.bincount(pairs.places[capped >= best[pairs.places]], minlength=len(caps)) > _SURELY_DRAWN
    # Only features whose largest value stands in few rows can lose it; the others are counted once for all resamples.
    rare = ~is_sure[pairs.places]
    rows, places = pairs.rows[rare], pairs.places[rare]
    given = caps[places] if pairs.values is None else np.minimum(pairs.values[rare], caps[places])
    order = np.lexsort((-given, places))
    rows, places, given = rows[order], places[order], given[order]
    starts = _starts(places)
    lengths = np.diff(np.append(starts, len(places)))
    # That none of a feature's strongest rows is drawn does not happen, so that weaker ones do not matter.
    strong = np.arange(len(places)) - np.repeat(starts, lengths) <= _SURELY_DRAWN
    rows, places, given = rows[strong], places[strong], given[strong]
    starts = _starts(places)
    sure = members @ np.where(is_sure, best, 0)
    drawable = members[:, places[starts]]
    found = np.tile(sure, (RESAMPLES, 1))
    generator = np.random.default_rng(seed)
    for resample in found if len(starts) else ():
        drawn = np.zeros(n_rows, dtype=bool)
        # How often a row is drawn makes no difference to a maximum, only whether it is.
        drawn[generator.integers(n_rows, size=n_rows)] = True
        if pairs.values is None:
            largest = np.where(np.logical_or.reduceat(drawn[rows], starts), given[starts], 0)
        else:
            largest = np.maximum.reduceat(np.where(drawn[rows], given, 0), starts)
        resample += drawable @ largest
    return found


def _row_shares(
    pairs: _Pairs, caps: NDArray[np.float64], members: NDArray[np.float64], n_rows: int, seed: int
) -> NDArray[np.float64]:
    """Sums, over the features of each set, of the share of rows that activate it, but at most its cap; see `_largest`.

    A feature whose share lies far above its cap adds the cap to every resample, and one far below adds its share, so
    that all of these together are one number a row. The others are counted one by one.
    """
    shares = np.bincount(pairs.places, minlength=len(caps)) / n_rows
    slack = _SURELY_BESIDE * np.sqrt(shares * (1 - shares) / n_rows)
    is_below, is_above = shares + slack < caps, shares - slack > caps
    is_near = ~(is_below | is_above)
    below = is_below[pairs.places]
    of_row = np.array(
        [np.bincount(pairs.rows[below], weights=of_set[pairs.places[below]], minlength=n_rows) for of_set in members]
    )
    near = is_near[pairs.places]
    order = np.argsort(pairs.places[near], kind="stable")
    rows, places = pairs.rows[near][order], pairs.places[near][order]
    starts = _starts(places)
    near_caps, drawable = caps[places[starts]], members[:, places[starts]]
    sure = members @ np.where(is_above, caps, 0)
    found = np.empty((RESAMPLES, len(members)))
    generator = np.random.default_rng(seed)
    for resample in found:
        times = np.bincount(generator.integers(n_rows, size=n_rows), minlength=n_rows).astype(np.int32)
        resample[:] = sure + of_row @ times / n_rows
        if len(starts):
            resample += drawable @ np.minimum(np.add.reduceat(times[rows], starts) / n_rows, near_caps)
    return found


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
