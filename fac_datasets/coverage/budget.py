"""Coverage at an equal number of tokens, so that datasets of other lengths can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import active_rows
from fac_datasets.coverage.relevant import ids_of, relevant_of_anchor
from fac_datasets.errors import DatasetError
from fac_datasets.feature_space import Threshold, dataset_space, parse_threshold, require_same_space

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

DRAWS = 100
"""Random parts behind a coverage at equal tokens."""


class BudgetCoverage(NamedTuple):
    """Coverage of random parts of a dataset that hold a given number of tokens."""

    fac_at_budget: float
    """Mean over draws."""
    fac_at_budget_std: float
    """Standard deviation over draws."""


def coverage_at_budget(
    dataset: datasets.Dataset,
    anchor: datasets.Dataset,
    budget_tokens: int,
    *,
    threshold: Threshold = "q90",
    features: Sequence[int] | NDArray[np.int64] | datasets.Dataset | None = None,
    prefix: str = "",
    draws: int = DRAWS,
    seed: int = 0,
) -> BudgetCoverage:
    """Coverage at an equal number of tokens, so that datasets of other lengths can be compared.

    Rows are drawn without replacement until their own tokens reach the budget. The row that crosses it is taken with
    the probability that makes the expected number of tokens the budget, so that long rows are not at a disadvantage.

    Args:
        dataset: rows with feature columns.
        anchor: rows with feature columns of the same space.
        budget_tokens: own tokens.
        threshold: see `coverage`.
        features: see `coverage`.
        prefix: of the feature columns.
        draws: number of random parts.
        seed: of the draws.

    Raises:
        DatasetError: the dataset holds fewer tokens, or the anchor activates no feature.

    Example:
        >>> coverage_at_budget(seed, anchor, 3).fac_at_budget <= report.fac
        True
    """
    tokens = np.asarray(dataset[f"{prefix}feature_tokens"], dtype=np.int64)
    if not 0 < budget_tokens <= tokens.sum():
        raise DatasetError(
            f"budget_tokens={budget_tokens} is out of reach: the dataset holds {tokens.sum()} own tokens; choose a "
            f"budget in [1, {tokens.sum()}]"
        )
    space = dataset_space(dataset, prefix)
    require_same_space(space, dataset_space(anchor, prefix))
    active, anchor_active = active_rows([dataset, anchor], space, parse_threshold(threshold), prefix)
    relevant = relevant_of_anchor(anchor_active, ids_of(features, space), threshold)
    index = np.searchsorted(relevant, active.ids)
    index[index == len(relevant)] = 0
    kept = relevant[index] == active.ids
    rows, index = active.rows[kept], index[kept]
    generator = np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        order = generator.permutation(len(tokens))
        ends = tokens[order].cumsum()
        whole = int(np.searchsorted(ends, budget_tokens, side="right"))
        if whole < len(order):
            # Always taking the row that crosses the budget would favour long rows, never taking it short ones.
            left = budget_tokens - (ends[whole - 1] if whole else 0)
            whole += generator.random() < left / tokens[order[whole]]
        drawn = np.zeros(len(tokens), dtype=bool)
        drawn[order[:whole]] = True
        found[draw] = np.count_nonzero(np.bincount(index[drawn[rows]], minlength=len(relevant)))
    shares = found / len(relevant)
    return BudgetCoverage(float(shares.mean()), float(shares.std()))
