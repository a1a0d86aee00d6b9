"""How well the texts compress together."""

from __future__ import annotations

import gzip
from typing import Any

from fac_datasets.diversity.ngrams import tokens_of
from fac_datasets.diversity.values import Values, text_sizes
from fac_datasets.rows.inputs import texts_of


def compression_ratio(texts: Any) -> Values:
    """Bytes of the texts over their bytes when compressed by gzip: the more they repeat, the more (arXiv 2403.00553).

    Texts are joined by line breaks, encoded as UTF-8 and compressed once, at level 9. The authors' code joins by spaces
    and compresses what is compressed again, so its values differ a little.

    Args:
        texts: any number; see `fac_datasets.rows.inputs.texts_of`.

    Returns:
        `compression_ratio`; 0 for texts without characters.

    Raises:
        ColumnError, DatasetError, RowError: see `fac_datasets.rows.inputs.texts_of`.

    Example:
        >>> compression_ratio(["How are you?"] * 100)["compression_ratio"] > 10
        True
    """
    texts = texts_of(texts)
    tokens = tokens_of(texts)
    content = "\n".join(texts).encode()
    ratio = len(content) / len(gzip.compress(content, 9, mtime=0)) if any(texts) else 0.0
    return {"compression_ratio": ratio, **text_sizes(tokens)}
