"""The statistics behind scores and relevance: AUROC, intervals of shares, false discovery rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NORMAL_95 = 1.959963984540054
"""Standard normal quantile of a 95 % interval."""

_NO_SKEWNESS = 1e-4
"""Below it a distribution is as good as normal."""


class Interval(NamedTuple):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Chance that a positive scores above a negative; ties count half. NaN where either is empty.

    Example:
        >>> auroc([3, 2], [2, 1])
        0.875
    """
    high, low = np.asarray(positive, dtype=np.float64), np.sort(np.asarray(negative, dtype=np.float64))
    if not len(high) or not len(low):
        return float("nan")
    below = np.searchsorted(low, high, side="left") + np.searchsorted(low, high, side="right")
    return float(below.sum() / (2 * len(high) * len(low)))


def wilson(successes: int, n: int) -> Interval:
    """A share and its Wilson score interval (Wilson 1927).

    Example:
        >>> tuple(round(value, 3) for value in wilson(9, 10))
        (0.9, 0.596, 0.982)
    """
    share = successes / n
    # Not the share plus or minus its error: that has no width at 0 and 1.
    centre = (share + NORMAL_95**2 / (2 * n)) / (1 + NORMAL_95**2 / n)
    half = NORMAL_95 / (1 + NORMAL_95**2 / n) * math.sqrt(share * (1 - share) / n + NORMAL_95**2 / (4 * n**2))
    return Interval(share, centre - half, centre + half)


def balanced_accuracy(hits: int, positives: int, rejections: int, negatives: int) -> Interval:
    """Mean of the shares of positives and of negatives that were told right.

    The interval combines those of both shares by the square-and-add rule (Newcombe 1998, "Interval estimation for the
    difference between independent proportions", method 10).

    Example:
        >>> balanced_accuracy(10, 10, 5, 10).value
        0.75
    """
    first, second = wilson(hits, positives), wilson(rejections, negatives)
    value = (first.value + second.value) / 2
    return Interval(
        value,
        value - math.hypot(first.value - first.low, second.value - second.low) / 2,
        value + math.hypot(first.high - first.value, second.high - second.value) / 2,
    )


def student_z(t: float, degrees: int) -> float:
    """The standard normal value that is as far out as a value of Student's t; within 0.03 from 3 degrees of freedom on.

    Wallace 1959, "Bounds on normal approximations to Student's and the chi-square distributions".

    Example:
        >>> round(student_z(2.776, 4), 2)
        1.95
    """
    scale = (8 * degrees + 1) / (8 * degrees + 3)
    return math.copysign(scale * math.sqrt(degrees * math.log1p(t * t / degrees)), t)


def student_quantile(degrees: int) -> float:
    """Quantile of Student's t of a 95 % interval, the inverse of `student_z`.

    Example:
        >>> round(student_quantile(4), 2), round(student_quantile(100), 2)
        (2.79, 1.98)
    """
    scale = (8 * degrees + 1) / (8 * degrees + 3)
    return math.sqrt(degrees * math.expm1((NORMAL_95 / scale) ** 2 / degrees))


def two_sided_p(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance of a standard normal value at least as far from 0."""
    return np.array([math.erfc(abs(value) / math.sqrt(2)) for value in z.tolist()])


def permutation_p(
    difference: NDArray[np.float64],
    variance: NDArray[np.float64],
    third: NDArray[np.float64],
    step: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Chance that labels dealt out at random would give a difference at least as large, in either direction.

    Where few rows have one of the labels or few rows count, the differences that chance gives are skewed, and a normal
    distribution calls far too much significant. Pearson's type III distribution has their first three moments (Mielke,
    Berry and Johnson 1976, "Multi-response permutation procedures for a priori classifications"). Beside exact tests of
    counts it is rather too large than too small: by a tenth around 0.1, tenfold around 1e-4 where five rows count.

    Args:
        difference: from what is expected, [n].
        variance: of the difference under such labels, [n]; where it is 0, p is 1.
        third: third central moment of the difference under such labels, [n].
        step: between neighbouring values of the difference, of which half is the correction for continuity, [n].

    Returns:
        p-values, [n].

    Example:
        >>> permutation_p(np.array([9.8, 0.0]), np.array([25.0, 25.0]), np.zeros(2), np.zeros(2)).round(2)
        array([0.05, 1.  ])
    """
    import torch

    p = np.ones_like(difference)
    varies = variance > 0
    error = np.sqrt(variance[varies])
    nearer = np.maximum(np.abs(difference[varies]) - step[varies] / 2, 0.0)
    z = nearer / error
    # Skewness in the direction of the difference, at which a gamma distribution has this shape.
    skewness = np.sign(difference[varies]) * third[varies] / error**3
    # A gamma distribution of shape k has skewness 2 / sqrt(k).
    shape = 4 / np.maximum(np.abs(skewness), _NO_SKEWNESS) ** 2
    towards, against = (torch.from_numpy(np.maximum(shape + sign * z * np.sqrt(shape), 0.0)) for sign in (1, -1))
    shapes = torch.from_numpy(shape)
    tail = np.where(
        skewness > 0, torch.special.gammaincc(shapes, towards).numpy(), torch.special.gammainc(shapes, against).numpy()
    )
    # Without skewness the shape is infinite, and the distribution the normal one.
    symmetric = np.abs(skewness) < _NO_SKEWNESS
    tail[symmetric] = two_sided_p(z[symmetric]) / 2
    p[varies] = np.where(nearer > 0, np.minimum(1.0, 2 * tail), 1.0)
    return p


def adjusted_p(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values adjusted so that those of at most q have a false discovery rate of at most q.

    Benjamini and Hochberg 1995, "Controlling the false discovery rate".

    Example:
        >>> adjusted_p(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.04, 0.04])
    """
    order = np.argsort(p)
    # The running minimum from the largest on keeps adjusted values in the order of the p-values.
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    result = np.empty_like(p)
    result[order] = np.minimum(1, np.minimum.accumulate(scaled[::-1])[::-1])
    return result


def sign_test_p(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Exact two-sided p-values of the sign test: chance that fair coins fall at least as unevenly.

    Of pairs that differ in whether something holds, this is McNemar's exact test.

    Args:
        first: how often it fell on one side, [n].
        second: how often on the other, [n].

    Example:
        >>> sign_test_p(np.array([5, 3, 0]), np.array([0, 3, 0]))
        array([0.0625, 1.    , 1.    ])
    """
    counts, place = np.unique(np.stack([np.minimum(first, second), first + second]), axis=1, return_inverse=True)
    # Logarithms of the factorials, so that large numbers of pairs do not overflow.
    factorials = np.concatenate([[0.0], np.log(np.arange(1, counts[1].max(initial=0) + 1)).cumsum()])
    p = np.empty(counts.shape[1])
    for i, (fewer, total) in enumerate(counts.T.tolist()):
        ways = factorials[total] - factorials[: fewer + 1] - factorials[total - fewer : total + 1][::-1]
        p[i] = np.exp(ways - total * math.log(2)).sum()
    return np.minimum(1.0, 2 * p)[place.reshape(-1)]


def paired_share_difference(
    first: NDArray[np.int64], second: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The difference of two shares over the same pairs, with its 95 % interval.

    The interval is the adjusted one of Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data", which keeps its width where few pairs differ, or none.

    Args:
        first: pairs in which something holds of the first side alone, [n_features].
        second: pairs in which it holds of the second alone, [n_features].
        n: pairs.

    Returns:
        Difference, lower end, upper end, [n_features] each.

    Example:
        >>> [float(value.round(3)) for value in paired_share_difference(np.int64(8), np.int64(2), 40)]
        [0.15, -0.013, 0.299]
    """
    above, below = (first + 1) / (n + 2), (second + 1) / (n + 2)
    centre = above - below
    error = NORMAL_95 * np.sqrt((above + below - centre**2) / (n + 2))
    difference = (first - second) / n
    return (
        difference,
        np.minimum(difference, np.maximum(centre - error, -1)),
        np.maximum(difference, np.minimum(centre + error, 1)),
    )
