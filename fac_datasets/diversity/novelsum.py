"""NovelSum: how far rows lie from each other, where near ones weigh most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fac_datasets.diversity.embeddings import DEFAULT_MODEL, embeddings_of, unit_vectors
from fac_datasets.diversity.values import Values, row_sizes
from fac_datasets.errors import OptionError

_NOVELSUM_ROWS = 256
"""Rows whose distances to all others are held at once."""


_EQUAL = 1e-6
"""Squared distance below which unit vectors are the same but for rounding."""


def novelsum(
    rows: Any,
    *,
    distance_power: float = 1.0,
    density_power: float = 0.0,
    neighbors: int = 10,
    model: Any = DEFAULT_MODEL,
) -> Values:
    """NovelSum: how far rows lie from each other, where near ones weigh most (Yang et al. 2025, arXiv 2502.17184).

    The mean over rows of density^density_power times the average of the cosine distances to the other rows, weighted by
    rank^-distance_power from the nearest. This is how the authors' code computes it now; in their paper a row was also
    its own nearest. The density is one over the mean squared distance of the unit vectors of the `neighbors` nearest
    rows that differ from it. The authors take it from a large corpus and recommend to leave it out where there is none,
    which is the default. Time grows with the square of the rows.

    Args:
        rows: texts, or embeddings, [n_rows, d].
        distance_power: 0 weighs all rows alike.
        density_power: the authors use 0.5 with a corpus; 0 leaves the density out.
        neighbors: of the density.
        model: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Returns:
        `novelsum`, at least 0; 0 for a single row and where all rows are equal.

    Raises:
        OptionError: `neighbors` is less than 1; and see `fac_datasets.diversity.embeddings.embeddings_of`.

    Example:
        >>> novelsum([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])["novelsum"]
        1.222222222222222
    """
    if neighbors < 1:
        raise OptionError(f"neighbors={neighbors} makes no density; use density_power=0 to leave it out")
    units = unit_vectors(embeddings_of(rows, model)).astype(np.float64)
    weights = np.arange(1.0, len(units)) ** -distance_power
    total = 0.0
    for start in range(0, len(units) if len(units) > 1 else 0, _NOVELSUM_ROWS):
        block = units[start : start + _NOVELSUM_ROWS]
        distances = np.maximum(0, 1 - block @ units.T)
        distances[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        nearest = np.sort(distances, axis=1)[:, :-1]
        novelty = nearest @ weights / weights.sum()
        if density_power:
            novelty *= _density(2 * nearest, neighbors) ** density_power
        total += float(novelty.sum())
    return {"novelsum": total / len(units), **row_sizes(rows)}


def _density(squared: NDArray[np.float64], neighbors: int) -> NDArray[np.float64]:
    """One over the mean of the first squared distances that are not those of equal rows; 1 where all rows are equal."""
    rank = np.arange(squared.shape[1]) - np.count_nonzero(squared < _EQUAL, axis=1)[:, None]
    counted = (rank >= 0) & (rank < neighbors)
    n_counted = counted.sum(axis=1)
    mean = (squared * counted).sum(axis=1) / np.maximum(n_counted, 1)
    density: NDArray[np.float64] = np.where(n_counted > 0, 1 / np.maximum(mean, _EQUAL), 1.0)
    return density
