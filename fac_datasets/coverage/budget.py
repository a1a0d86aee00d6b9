"""Coverage at an equal number of tokens, so that datasets of other lengths can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import Cutoffs, active_rows, token_counts
from fac_datasets.coverage.relevant import ids_of, relevant_of_anchor, require_features_of
from fac_datasets.errors import DatasetError, OptionError
from fac_datasets.feature_space import Threshold, dataset_space, parse_threshold, require_same_space
from fac_datasets.rows.one_dataset import require_dataset

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
        ColumnError, RowError, FeatureSpaceMismatch, ThresholdBelowStored, CalibrationMissing: see `coverage`.
        DatasetError: the dataset holds fewer tokens, or is a stream, whose rows cannot be drawn, or the anchor
            activates no feature.
        OptionError: an option has no meaning.

    Example:
        >>> coverage_at_budget(seed, anchor, 3).fac_at_budget <= report.fac
        True
    """
    threshold = parse_threshold(threshold)
    wanted = ids_of(features)
    for name, value in (("budget_tokens", budget_tokens), ("draws", draws)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise OptionError(f"{name}={value!r} is too small or no number; choose a whole number from 1")
    for role, rows in (("dataset", dataset), ("anchor", anchor)):
        require_dataset(rows, f"the {role}")
    space = dataset_space(dataset, prefix)
    require_same_space(space, dataset_space(anchor, prefix))
    require_features_of(features, space)
    tokens = token_counts(dataset, prefix)
    if budget_tokens > tokens.sum():
        raise DatasetError(
            f"budget_tokens={budget_tokens} is out of reach: the dataset holds {tokens.sum()} own tokens; choose a "
            f"budget in [1, {tokens.sum()}]"
        )
    active, anchor_active = (active_rows(rows, Cutoffs(space, threshold), prefix) for rows in (dataset, anchor))
    relevant = relevant_of_anchor(anchor_active.counts, wanted, threshold)
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
