"""NovelSum: how far rows lie from each other, where near ones weigh most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fac_datasets.diversity.embeddings import (
    DEFAULT_MODEL,
    embeddings_of,
    require_model,
    texts_or_vectors,
    unit_vectors,
)
from fac_datasets.diversity.options import is_number, is_whole
from fac_datasets.diversity.values import Values, row_sizes
from fac_datasets.errors import OptionError

_NOVELSUM_ROWS = 256
"""Rows whose distances to all others are held at once."""


_EQUAL = 1e-6
"""Squared distance below which unit vectors are the same but for rounding."""


def novelsum(
    rows: Any,
    *,
    include_self: bool = True,
    distance_power: float = 1.0,
    density_power: float = 0.0,
    neighbors: int = 10,
    model: Any = DEFAULT_MODEL,
) -> Values:
    """NovelSum: how far rows lie from each other, where near ones weigh most (Yang et al. 2025, arXiv 2502.17184).

    The mean over rows of density^density_power times the average of the cosine distances to all rows, weighted by
    rank^-distance_power from the nearest. A row is its own nearest, so that the next one has rank 2, as in the authors'
    paper and code (github.com/UmeanNever/NovelSum, novelsum.py at 6ef6611); for some weeks of January 2026 their code
    left it out, as `include_self=False` does.

    The density is one over the mean squared distance of the unit vectors of the `neighbors` nearest rows that differ
    from it. The authors take it from another, large dataset, of which they count equal rows once and do not bring the
    embeddings to unit length; they advise to leave it out where there is none, which is the default. Time grows with
    the square of the rows.

    Args:
        rows: texts, chats, or embeddings, [n_rows, d]; see `fac_datasets.diversity.embeddings.texts_or_vectors`.
        include_self: whether a row is its own nearest, at distance 0.
        distance_power: at least 0, which weighs all rows alike.
        density_power: at least 0, which leaves the density out; the authors advise 0.5 with their dataset.
        neighbors: of the density.
        model: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Returns:
        `novelsum`, at least 0; 0 for a single row and where all rows are equal.

    Raises:
        OptionError: an option is no such number; and see `fac_datasets.diversity.embeddings.embeddings_of`.
        ColumnError, DatasetError, RowError: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Example:
        >>> novelsum([[1.0, 0.0], [0.0, 1.0]])["novelsum"]
        0.3333333333333333
    """
    _require_options(include_self, distance_power, density_power, neighbors)
    require_model(model)
    rows = texts_or_vectors(rows)
    units = unit_vectors(embeddings_of(rows, model)).astype(np.float64)
    # The row itself is the nearest at distance 0, or the farthest and then dropped.
    own, kept = (0.0, len(units)) if include_self else (np.inf, len(units) - 1)
    weights = np.arange(1.0, kept + 1) ** -float(distance_power)
    total = 0.0
    for start in range(0, len(units) if kept else 0, _NOVELSUM_ROWS):
        block = units[start : start + _NOVELSUM_ROWS]
        distances = np.maximum(0, 1 - block @ units.T)
        distances[np.arange(len(block)), np.arange(start, start + len(block))] = own
        nearest = np.sort(distances, axis=1)[:, :kept]
        novelty = nearest @ weights / weights.sum()
        if density_power:
            with np.errstate(over="ignore"):
                novelty *= local_density(2 * nearest, neighbors) ** density_power
        total += float(novelty.sum())
    if not np.isfinite(total):
        raise OptionError(f"density_power={density_power} leaves the range of numbers; choose a smaller one")
    return {"novelsum": total / len(units), **row_sizes(rows)}


def _require_options(include_self: Any, distance_power: Any, density_power: Any, neighbors: Any) -> None:
    if not isinstance(include_self, bool):
        raise OptionError(f"include_self={include_self!r} is neither True nor False")
    for name, power in (("distance_power", distance_power), ("density_power", density_power)):
        if not is_number(power) or power < 0:
            raise OptionError(f"{name}={power!r} is no power; choose a number of at least 0")
    if not is_whole(neighbors, 1):
        raise OptionError(
            f"neighbors={neighbors!r} makes no density; choose a whole number of at least 1, or density_power=0"
        )


def local_density(squared: NDArray[np.float64], neighbors: int) -> NDArray[np.float64]:
    """One over the mean of the first squared distances that are not those of equal rows; 1 where all rows are equal.

    Args:
        squared: distances of unit vectors from each row to all, ascending, [n_rows, n].
        neighbors: how many of them count.

    Example:
        >>> local_density(np.array([[0.0, 0.5, 1.5, 2.0]]), 2).tolist()
        [1.0]
    """
    rank = np.arange(squared.shape[1]) - np.count_nonzero(squared < _EQUAL, axis=1)[:, None]
    counted = (rank >= 0) & (rank < neighbors)
    n_counted = counted.sum(axis=1)
    mean = (squared * counted).sum(axis=1) / np.maximum(n_counted, 1)
    density: NDArray[np.float64] = np.where(n_counted > 0, 1 / np.maximum(mean, _EQUAL), 1.0)
    return density
