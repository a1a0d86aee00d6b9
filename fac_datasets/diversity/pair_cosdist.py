"""Mean cosine distance of all pairs of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fac_datasets.diversity.embeddings import (
    DEFAULT_MODEL,
    embeddings_of,
    require_model,
    texts_or_vectors,
    unit_blocks,
)
from fac_datasets.diversity.values import Values, row_sizes


def pair_cosdist(rows: Any, *, model: Any = DEFAULT_MODEL) -> Values:
    """Mean cosine distance of all pairs of rows, exact and in one pass.

    With u_i the unit vectors, the mean over pairs of u_i . u_j is (|sum u_i|^2 - n) / (n (n - 1)).

    Args:
        rows: texts, chats, or embeddings, [n_rows, d]; see `fac_datasets.diversity.embeddings.texts_or_vectors`.
        model: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Returns:
        `pair_cosdist` in [0, 2]; 0 for a single row, which has no pairs.

    Raises:
        ColumnError, DatasetError, RowError, OptionError: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Example:
        >>> pair_cosdist([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])["pair_cosdist"]
        1.3333333333333333
    """
    require_model(model)
    rows = texts_or_vectors(rows)
    vectors = embeddings_of(rows, model)
    total = np.zeros(vectors.shape[1])
    for block, factors in unit_blocks(vectors):
        total += factors @ block
    n = len(vectors)
    # Each row's product with itself is 1 and stands in |sum|^2 once, each pair's twice.
    distance = 1 - (float(total @ total) - n) / (n * (n - 1)) if n > 1 else 0.0
    return {"pair_cosdist": min(2.0, max(0.0, distance)), **row_sizes(rows)}
