"""Vendi score: the effective number of different rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fac_datasets.diversity.embeddings import DEFAULT_MODEL, embeddings_of, unit_vectors
from fac_datasets.diversity.values import Values, row_sizes
from fac_datasets.errors import OptionError


def vendi_score(rows: Any, *, kernel: str = "embeddings", model: Any = DEFAULT_MODEL, seed: int = 0) -> Values:
    """Vendi score: the effective number of different rows (Friedman and Dieng 2023, arXiv 2210.02410).

    The exponential of the entropy of the eigenvalues of K / n, with K the cosine similarities of the rows. It is exact
    for up to 4,096 rows or dimensions, whichever are fewer; see
    `fac_datasets.diversity.spectral_entropy.spectral_entropy` for more.

    Args:
        rows: texts; embeddings, [n_rows, d]; lists of feature ids; or a dataset with feature columns.
        kernel: `"embeddings"` for texts and embeddings; `"features"` for lists of ids, of equal weight, and for a
            dataset, whose activations weigh.
        model: see `fac_datasets.diversity.embeddings.embeddings_of`.
        seed: of the estimate.

    Returns:
        `vendi_score` in [1, n_rows], and `vendi_score_error`, the standard error of the estimate; 0 where it is exact.

    Raises:
        OptionError: the kernel is unknown, or rows do not suit it.
        DatasetError, RowError: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Example:
        >>> vendi_score([[1.0, 0.0], [0.0, 1.0]])["vendi_score"]
        2.0
    """
    from fac_datasets.diversity.feature_vectors import unit_features
    from fac_datasets.diversity.spectral_entropy import spectral_entropy

    if kernel not in ("embeddings", "features"):
        raise OptionError(f"kernel={kernel!r} is neither 'embeddings' nor 'features'")
    units = unit_features(rows) if kernel == "features" else unit_vectors(embeddings_of(rows, model))
    entropy, error = spectral_entropy(units, seed)
    score = float(np.exp(entropy))
    sizes = {"n_rows": len(rows), "n_tokens": None} if kernel == "features" else row_sizes(rows)
    return {"vendi_score": score, "vendi_score_error": score * error, **sizes}
