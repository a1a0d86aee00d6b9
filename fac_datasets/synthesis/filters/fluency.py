"""Samples that the language model finds unlikelier than nearly all that it writes without an aim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from fac_datasets.errors import OptionError
from fac_datasets.synthesis.filters.base import Demands, Filter, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANTILE = 0.95
"""Share of unguided samples that are fluent enough."""


def highest_nll(unguided: Sequence[float] | NDArray[np.float64]) -> float:
    """What the mean negative log-likelihood of a sample may be at most.

    Args:
        unguided: those of samples that were written without an aim, in nats a token; ones that are not finite, of texts
            without tokens, are left out.

    Returns:
        Their 95 % quantile.

    Raises:
        OptionError: there are none.

    Example:
        >>> round(highest_nll([2.0, 2.5, 3.0]), 2)
        2.95
    """
    values = np.asarray(unguided, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        raise OptionError("there is no likelihood of unguided samples to tell fluent ones by; generate some first")
    return float(np.quantile(values, QUANTILE))


class Fluency(Filter):
    """Rejects samples whose mean negative log-likelihood exceeds that of fluent text.

    Likely text that repeats itself is left to the filter of repetition.

    Args:
        nll: mean negative log-likelihood of each text of a batch; see `fac_datasets.backbone.likelihood.Likelihood`.
        highest: what it may be at most; see `highest_nll`.
    """

    reason = "not fluent"
    turn = 60

    def __init__(self, nll: Callable[[Sequence[str]], NDArray[np.float64]], highest: float) -> None:
        self._nll, self._highest = nll, highest
        self._known: dict[str, float] = {}

    @classmethod
    def for_run(cls, demands: Demands) -> Self | None:
        """See `Filter.for_run`."""
        if demands.nll is None or demands.highest_nll is None:
            return None
        return cls(demands.nll, demands.highest_nll)

    def prepare(self, samples: Sequence[Sample]) -> None:
        """See `Filter.prepare`."""
        new = [sample.text for sample in samples if sample.text not in self._known]
        if new:
            self._known.update(zip(new, np.asarray(self._nll(new)).tolist(), strict=True))

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        self.prepare([sample])
        # A text without tokens has none.
        return not self._known[sample.text] <= self._highest
