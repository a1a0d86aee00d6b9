"""How often a model's answers are preferred to a baseline's: AlpacaEval 2's win rate, raw and length-controlled."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

logger = logging.getLogger(__name__)

FEWEST_BEYOND = 0.05
"""Of fewer pairs than this share a model's answer is at least as long as the baseline's, or at most as long: there the
rate at equal lengths is told by the shape of the curve, and by hardly any pair."""

_STEPS = 100
_CONVERGED = 1e-10
_ANY_SLOPE = 30.0
"""Log-odds beyond which a probability is 0 or 1: a fit that goes there has no maximum."""


@dataclass(frozen=True)
class WinRate:
    """How often answers are preferred to a baseline's, in per cent."""

    raw: float
    """Mean preference; a tie is a half."""
    standard_error: float | None
    """Of the raw rate; None for a single pair."""
    length_controlled: float | None
    """What the raw rate would be if both answers to every instruction were equally long; None where the fit has no
    maximum."""
    pairs: int
    """Pairs that have a preference."""
    left_out: int
    """Pairs that have none."""
    longer: float
    """Share of pairs in which the model's answer is the longer one."""
    shorter: float
    """Share of pairs in which it is the shorter one."""
    extrapolates: bool
    """Whether the length-controlled rate is read off where hardly any pair is; see `FEWEST_BEYOND`."""

    @property
    def warning(self) -> str:
        """Why the length-controlled rate is no measurement; empty where it is one."""
        if self.length_controlled is None:
            return (
                f"no length-controlled win rate: among these {self.pairs} pairs preference follows from the lengths, "
                f"or is always the same, so that the fit has no maximum"
            )
        if self.extrapolates:
            mostly, long = ("shorter", "long") if self.shorter > self.longer else ("longer", "short")
            return (
                f"the length-controlled win rate of {self.length_controlled:.1f} (raw {self.raw:.1f}) extrapolates: "
                f"answers are {mostly} than the baseline's, and only {1 - max(self.longer, self.shorter):.1%} of them "
                f"at least as {long}, fewer than {FEWEST_BEYOND:.0%}"
            )
        return ""

    def to_dict(self) -> dict[str, Any]:
        """The figures, and the warning where there is one."""
        return {**asdict(self), "warning": self.warning}


def win_rates(preferences: ArrayLike, model_characters: ArrayLike, baseline_characters: ArrayLike) -> WinRate:
    """How often a model's answers are preferred, and how often they would be if lengths were equal.

    Length control is AlpacaEval 2's generalised linear model (Dubois et al. 2024, arXiv 2404.04475) without its term of
    each instruction's difficulty, which rests on the answers of many models, and without its penalty: the log-odds of
    a preference are a + b * tanh(difference of lengths / its standard deviation), fitted to preferences between 0 and 1
    by maximum likelihood, and the rate is what it says at a difference of 0. Where equal lengths are at the edge of the
    data the fit extrapolates, which is logged as a warning.

    Args:
        preferences: for the model, from 0 to 1, with 0.5 for a tie and NaN for none, [n]; those of AlpacaEval's files
            come from `alpaca_preferences`.
        model_characters: lengths of the model's answers, [n].
        baseline_characters: lengths of the baseline's, [n].

    Raises:
        DatasetError: no pair has a preference, one is outside of 0 to 1, or there are not as many of each.

    Example:
        >>> rate = win_rates([1, 1, 0, 1, 0, 0.5], [9, 5, 4, 6, 7, 5], [5, 6, 7, 3, 8, 5])
        >>> round(rate.raw, 1), round(rate.length_controlled, 1), rate.extrapolates
        (58.3, 70.6, False)
    """
    wanted = np.asarray(preferences, dtype=np.float64)
    lengths = [np.asarray(each, dtype=np.float64) for each in (model_characters, baseline_characters)]
    if not len(wanted) == len(lengths[0]) == len(lengths[1]):
        raise DatasetError(
            f"{len(wanted)} preferences do not go with {len(lengths[0])} lengths of a model's answers and "
            f"{len(lengths[1])} of a baseline's; give one of each a pair"
        )
    known = ~np.isnan(wanted)
    held, difference = wanted[known], (lengths[0] - lengths[1])[known]
    if not len(held):
        raise DatasetError(f"none of {len(wanted)} pairs has a preference; at least one is needed for a win rate")
    if held.min() < 0 or held.max() > 1:
        raise DatasetError(
            f"a preference of {held.max() if held.max() > 1 else held.min():g} is not between 0 and 1; those of "
            f"AlpacaEval's files, from 1 to 2, go through alpaca_preferences"
        )
    longer, shorter = float((difference > 0).mean()), float((difference < 0).mean())
    rate = WinRate(
        raw=100 * float(held.mean()),
        standard_error=100 * float(held.std(ddof=1)) / math.sqrt(len(held)) if len(held) > 1 else None,
        length_controlled=_at_equal_lengths(held, difference),
        pairs=len(held),
        left_out=int((~known).sum()),
        longer=longer,
        shorter=shorter,
        extrapolates=1 - max(longer, shorter) < FEWEST_BEYOND,
    )
    if rate.warning:
        logger.warning("%s", rate.warning)
    return rate


def alpaca_preferences(preferences: Sequence[float | None]) -> NDArray[np.float64]:
    """Preferences of AlpacaEval's files, from 1 (the baseline) to 2 (the model), as shares from 0 to 1.

    A tie is 1.5 there, or 0 in older files.

    Args:
        preferences: None or NaN where the judge gave none, [n].

    Returns:
        Preferences for the model, NaN where there is none, [n].

    Raises:
        DatasetError: one is neither 0 nor between 1 and 2.

    Example:
        >>> alpaca_preferences([1, 1.25, 0, 2, None])
        array([0.  , 0.25, 0.5 , 1.  ,  nan])
    """
    held = np.array([math.nan if each is None else each for each in preferences], dtype=np.float64)
    held[held == 0] = 1.5
    outside = held[(held < 1) | (held > 2)]
    if len(outside):
        raise DatasetError(
            f"a preference of {outside[0]:g} is neither 0, a tie, nor between 1, the baseline, and 2, the model; "
            f"preferences from 0 to 1 need no alpaca_preferences"
        )
    return held - 1


def _at_equal_lengths(preferences: NDArray[np.float64], difference: NDArray[np.float64]) -> float | None:
    """The rate that the fit has at a difference of lengths of 0, in per cent; None where there is no fit."""
    spread = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    columns = [np.ones_like(difference)]
    if spread:
        columns.append(np.tanh(difference / spread))
    x = np.stack(columns, axis=1)
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        predicted = 1 / (1 + np.exp(-x @ weights))
        # Newton's method on the log-likelihood, which is concave; preferences may lie between 0 and 1.
        curvature = (x * (predicted * (1 - predicted))[:, None]).T @ x
        try:
            step = np.linalg.solve(curvature, x.T @ (preferences - predicted))
        except np.linalg.LinAlgError:
            return None
        # From far away a whole step may lead past the maximum.
        while _log_likelihood(x @ (weights + step), preferences) < _log_likelihood(x @ weights, preferences) - 1e-9:
            step = step / 2
        weights = weights + step
        if np.abs(weights).max() > _ANY_SLOPE:
            return None
        if np.abs(step).max() < _CONVERGED:
            return 100 / (1 + math.exp(-weights[0]))
    return None


def _log_likelihood(log_odds: NDArray[np.float64], preferences: NDArray[np.float64]) -> float:
    return float((preferences * log_odds - np.logaddexp(0, log_odds)).sum())
