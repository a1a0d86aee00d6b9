"""Expected coverage of a random part of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RarefactionPoint(NamedTuple):
    """Expected coverage of a random part of the dataset."""

    n_rows: int
    """Rows drawn without replacement."""
    fac: float
    """Expected feature activation coverage of them."""


def expected_coverage(row_counts: NDArray[np.int64], total: int, n: int) -> float:
    """Expected share of features active among n of `total` rows drawn without replacement; see `rarefaction`."""
    if n == 0 or not len(row_counts):
        return 0.0
    # log of C(N - N_i, n) / C(N, n), by cumulative sums of logarithms instead of huge factorials.
    log_factorial = np.concatenate([[0.0], np.log(np.arange(1, total + 1)).cumsum()])
    absent = total - row_counts
    possible = absent >= n
    log_missed = np.full(len(row_counts), -np.inf)
    log_missed[possible] = (
        log_factorial[absent[possible]]
        - log_factorial[absent[possible] - n]
        - log_factorial[total]
        + log_factorial[total - n]
    )
    return float(np.mean(1 - np.exp(log_missed)))
