"""Entropy of how rows spread over clusters of their embeddings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fac_datasets.diversity.embeddings import (
    DEFAULT_MODEL,
    embeddings_of,
    require_model,
    texts_or_vectors,
    unit_vectors,
)
from fac_datasets.diversity.options import is_whole, require_seed
from fac_datasets.diversity.values import Values, entropy_of_counts, row_sizes
from fac_datasets.errors import MissingExtra, OptionError


def semantic_entropy(rows: Any, *, k: int = 10, seed: int = 0, model: Any = DEFAULT_MODEL) -> Values:
    """Entropy of how rows spread over clusters of their embeddings, after Han et al. 2022 (arXiv 2210.05725).

    Unit vectors are clustered by k-means (scikit-learn, Lloyd's algorithm, the best of 4 k-means++ starts). Clusters
    are those of the rows themselves; in the paper they are those of a model's training set.

    Args:
        rows: texts, chats, or embeddings, [n_rows, d]; see `fac_datasets.diversity.embeddings.texts_or_vectors`.
        k: clusters.
        seed: of the starts.
        model: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Returns:
        `semantic_entropy` in bits; `semantic_entropy_normalized`, divided by log2 k, in [0, 1]; and
        `semantic_entropy_k`, the k that was used.

    Raises:
        OptionError: there are more clusters than rows, or scikit-learn is not installed.
        ColumnError, DatasetError, RowError: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Example:
        >>> semantic_entropy([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 2.0]], k=2)["semantic_entropy"]
        1.0
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingExtra("clusters need scikit-learn: pip install 'fac-datasets[metrics]'") from error
    if not is_whole(k, 1):
        raise OptionError(f"k={k!r} is no number of clusters; choose a whole number of at least 1")
    require_seed(seed)
    require_model(model)
    rows = texts_or_vectors(rows)
    if k > len(rows):
        raise OptionError(f"k={k} clusters of {len(rows)} rows cannot be; choose k in [1, {len(rows)}]")
    vectors = unit_vectors(embeddings_of(rows, model))
    sizes = np.bincount(KMeans(k, n_init=4, random_state=seed).fit(vectors).labels_)
    entropy, _ = entropy_of_counts(sizes[sizes > 0])
    return {
        "semantic_entropy": entropy,
        "semantic_entropy_normalized": entropy / math.log2(k) if k > 1 else 0.0,
        "semantic_entropy_k": int(k),
        **row_sizes(rows),
    }
