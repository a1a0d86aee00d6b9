"""How measures of training sets go with the scores of what is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.stats

from tests.benchmarks.record import interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DRAWS, SEED = 2_000, 0
KINDS = ("pearson", "spearman")

Interval = dict[str, float]
"""`value`, `low` and `high`."""


class Sets(NamedTuple):
    """The variant and family of each set, [n_sets]."""

    variants: Sequence[str]
    families: Sequence[str]


def correlation(first: Floats, second: Floats, kind: str) -> Floats:
    """Pearson's r, or Spearman's, along the last axis; NaN where one side is constant."""
    if kind == "spearman":
        first, second = (scipy.stats.rankdata(side, axis=-1) for side in (first, second))
    first, second = (side - side.mean(axis=-1, keepdims=True) for side in (first, second))
    norms = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    # What is constant differs from its mean by rounding alone.
    norms = np.where(norms > 1e-12, norms, np.nan)
    found: Floats = (first * second).sum(axis=-1) / norms
    return found


def draws(variants: Sequence[str]) -> NDArray[np.int64]:
    """Sets of each bootstrap, [DRAWS, n_sets]: whole variants are drawn, since the draws of one are alike.

    Args:
        variants: of each set; every variant has equally many.
    """
    names = [*dict.fromkeys(variants)]
    of = np.array([np.flatnonzero(np.asarray(variants) == name) for name in names])
    drawn = np.random.default_rng(SEED).integers(len(names), size=(DRAWS, len(names)))
    return of[drawn].reshape(DRAWS, -1)


def known_interval(value: float, drawn: Floats) -> Interval | None:
    """The interval of a figure by the bootstraps in which it has a value; None where it has none itself."""
    return interval(value, drawn[np.isfinite(drawn)]) if np.isfinite(value) else None


def correlated(values: Floats, scores: Floats, variants: Sequence[str], kind: str) -> Interval | None:
    """The correlation of a measure with the scores, both [n_sets]; None where one is constant."""
    drawn = draws(variants)
    return known_interval(float(correlation(values, scores, kind)), correlation(values[drawn], scores[drawn], kind))


def difference(one: Floats, other: Floats, scores: Floats, variants: Sequence[str], kind: str) -> Interval | None:
    """How much more strongly one measure goes with the scores than another, without regard to signs."""
    drawn = draws(variants)
    measured, drawn_values = (
        abs(correlation(one[rows], scores[rows], kind)) - abs(correlation(other[rows], scores[rows], kind))
        for rows in (np.arange(len(scores)), drawn)
    )
    return known_interval(float(measured), drawn_values)


def within(values: Floats, families: Sequence[str]) -> Floats:
    """Values less the mean of their family, [n_sets]."""
    _, of = np.unique(families, return_inverse=True)
    means = np.bincount(of, values) / np.bincount(of)
    found: Floats = values - means[of]
    return found


def given(values: Floats, known: Floats) -> Floats:
    """What a line in another measure leaves of values, [n_sets]."""
    line = np.polyfit(known, values, 1)
    found: Floats = values - np.polyval(line, known)
    return found


class Scatter(NamedTuple):
    """How much scores differ between variants, and between draws of one."""

    spread: float
    """Largest less smallest mean of a variant."""
    deviation: float
    """Root of the mean variance within variants, with n - 1."""
    reliability: float
    """Share of the variance of single sets that is between variants (intraclass correlation, at least 0). No measure
    that says the same of all draws of a variant can correlate with scores by more than its root."""

    @property
    def verdict(self) -> str:
        """Whether anything can be seen above the scatter of draws."""
        return "informative" if self.spread >= 2 * self.deviation else "uninformative"


def scatter(scores: Floats, variants: Sequence[str]) -> Scatter:
    """How scores differ, [n_sets]; every variant has equally many sets, at least two."""
    names = [*dict.fromkeys(variants)]
    of = np.array([scores[np.asarray(variants) == name] for name in names])
    means, inside = of.mean(axis=1), float(of.var(axis=1, ddof=1).mean())
    between = max(0.0, float(means.var(ddof=1)) - inside / of.shape[1])
    reliability = between / (between + inside) if between + inside else 0.0
    return Scatter(float(np.ptp(means)), float(np.sqrt(inside)), reliability)
