"""How well the texts compress together."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

from fac_datasets.diversity.ngrams import tokens_of
from fac_datasets.diversity.values import Values, text_sizes


def compression_ratio(texts: Sequence[str]) -> Values:
    """Bytes of the texts over their bytes when compressed by gzip: the more they repeat, the more (arXiv 2403.00553).

    Texts are joined by line breaks, encoded as UTF-8 and compressed at level 9.

    Args:
        texts: any number.

    Returns:
        `compression_ratio`; 0 for texts without characters.

    Raises:
        DatasetError, RowError: see `distinct_n`.

    Example:
        >>> compression_ratio(["How are you?"] * 100)["compression_ratio"] > 10
        True
    """
    tokens = tokens_of(texts)
    content = "\n".join(texts).encode()
    ratio = len(content) / len(gzip.compress(content, 9, mtime=0)) if any(texts) else 0.0
    return {"compression_ratio": ratio, **text_sizes(tokens)}
