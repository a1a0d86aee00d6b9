"""Which texts nearly repeat another: MinHash of their word shingles (Broder 1997), by datasketch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fac_datasets.errors import MissingExtra, OptionError
from fac_datasets.ngrams import Tokenize, words

SHINGLE_WORDS = 5
PERMUTATIONS = 128


def near_duplicates(
    texts: Sequence[str], threshold: float, *, tokenize: Tokenize | None = None, seed: int = 0
) -> NDArray[np.bool_]:
    """Whether each text has another one like it.

    Two texts are alike where the Jaccard similarity of their sets of shingles, estimated from 128 MinHash values with a
    standard error of at most 0.044, reaches the threshold. A shingle is five words in a row; a shorter text is one, so
    texts without words are alike.

    Raises:
        OptionError: the threshold is not in (0, 1], or datasketch is not installed.
    """
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as error:
        raise MissingExtra("near duplicates need datasketch: pip install 'fac-datasets[metrics]'") from error
    if not 0 < threshold <= 1:
        raise OptionError(f"threshold={threshold} is no Jaccard similarity in (0, 1]")
    shingles = [_shingles((tokenize or words)(text)) for text in texts]
    hashes = list(MinHash.bulk(shingles, num_perm=PERMUTATIONS, seed=seed + 1))
    index = MinHashLSH(threshold, PERMUTATIONS)
    for row, minhash in enumerate(hashes):
        index.insert(row, minhash)
    return np.array(
        [
            any(other != row and minhash.jaccard(hashes[other]) >= threshold for other in index.query(minhash))
            for row, minhash in enumerate(hashes)
        ],
        dtype=bool,
    )


def _shingles(tokens: Sequence[str]) -> list[bytes]:
    last = max(1, len(tokens) - SHINGLE_WORDS + 1)
    return [" ".join(map(str, tokens[start : start + SHINGLE_WORDS])).encode() for start in range(last)]
