"""Vendi score: the effective number of different rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fac_datasets.diversity.embeddings import (
    DEFAULT_MODEL,
    embeddings_of,
    require_model,
    texts_or_vectors,
    unit_vectors,
)
from fac_datasets.diversity.options import require_seed
from fac_datasets.diversity.values import Values, row_sizes
from fac_datasets.errors import OptionError


def vendi_score(rows: Any, *, kernel: str = "embeddings", model: Any = DEFAULT_MODEL, seed: int = 0) -> Values:
    """Vendi score: the effective number of different rows (Friedman and Dieng 2023, arXiv 2210.02410).

    The exponential of the entropy of the eigenvalues of K / n, with K the cosine similarities of the rows. It is exact
    for up to 4,096 rows or dimensions, whichever are fewer; see
    `fac_datasets.diversity.spectral_entropy.spectral_entropy` for more.

    Args:
        rows: texts, chats, or embeddings, [n_rows, d]; see `fac_datasets.diversity.embeddings.texts_or_vectors`. Lists
            of feature ids; see `fac_datasets.rows.inputs.feature_ids_of`. Or a dataset with feature columns.
        kernel: `"embeddings"` for texts and embeddings; `"features"` for lists of ids, of equal weight, and for a
            dataset, whose activations weigh.
        model: see `fac_datasets.diversity.embeddings.embeddings_of`.
        seed: of the estimate.

    Returns:
        `vendi_score` in [1, n_rows], and `vendi_score_error`, the standard error of the estimate; 0 where it is exact.

    Raises:
        OptionError: the kernel is unknown, or rows do not suit it.
        ColumnError, DatasetError, RowError: see `fac_datasets.diversity.embeddings.embeddings_of`.

    Example:
        >>> vendi_score([[1.0, 0.0], [0.0, 1.0]])["vendi_score"]
        2.0
    """
    from fac_datasets.diversity.feature_vectors import unit_features
    from fac_datasets.diversity.spectral_entropy import spectral_entropy

    if not isinstance(kernel, str) or kernel not in ("embeddings", "features"):
        raise OptionError(f"kernel={kernel!r} is neither 'embeddings' nor 'features'")
    require_seed(seed)
    require_model(model)
    if kernel == "features":
        units = unit_features(rows)
        sizes = {"n_rows": units.shape[0], "n_tokens": None}
    else:
        rows = texts_or_vectors(rows)
        units = unit_vectors(embeddings_of(rows, model))
        sizes = row_sizes(rows)
    entropy, error = spectral_entropy(units, seed)
    score = float(np.exp(entropy))
    return {"vendi_score": score, "vendi_score_error": score * error, **sizes}
