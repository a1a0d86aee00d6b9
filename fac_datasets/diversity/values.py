"""What every measure returns, and the sizes that stand beside its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fac_datasets.diversity.ngrams import Tokens, tokens_of
from fac_datasets.diversity.options import is_whole
from fac_datasets.errors import OptionError

Values = dict[str, Any]
"""Values of a metric by name."""


def lengths_of(n: int | Sequence[int]) -> list[int]:
    """One length of n-grams or several, as a list.

    Raises:
        OptionError: there is none, or one is less than 1.
    """
    # Neither bytes, which are whole numbers to Python, nor sets, whose order means nothing, are meant as lists.
    is_list = isinstance(n, Iterable) and not isinstance(n, Mapping | Set | str | bytes | bytearray | memoryview)
    lengths: list[Any] = [*cast("Iterable[Any]", n)] if is_list else [n]
    if not lengths or not all(is_whole(length, 1) for length in lengths):
        raise OptionError(f"n={n!r} is no length of n-grams and no list of lengths; the least is 1")
    return [int(length) for length in lengths]


def entropy_of_counts(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Shannon entropy of counts in bits, and divided by the most that as many kinds can have (Pielou's evenness)."""
    if len(counts) < 2:
        return 0.0, 0.0
    shares = counts / counts.sum()
    entropy = float(-(shares * np.log2(shares)).sum())
    return entropy, entropy / float(np.log2(len(counts)))


def text_sizes(tokens: Tokens) -> dict[str, int]:
    """Numbers of texts and of words."""
    return {"n_rows": len(tokens.lengths), "n_tokens": len(tokens.ids)}


def row_sizes(rows: Any) -> Values:
    """Numbers of rows, and of words where they are texts.

    Args:
        rows: as `fac_datasets.diversity.embeddings.texts_or_vectors` gives them.
    """
    return {"n_rows": len(rows), "n_tokens": None} if isinstance(rows, np.ndarray) else text_sizes(tokens_of(rows))
