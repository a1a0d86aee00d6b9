"""Which texts nearly repeat another: MinHash of their word shingles (Broder 1997), by datasketch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fac_datasets.diversity.options import is_number
from fac_datasets.errors import DatasetError, MissingExtra, OptionError

SHINGLE_WORDS = 5
PERMUTATIONS = 128

_MOST_SELECTIVE = 0.9
"""The index is not made for similarities close to 1; what it finds is compared with the threshold in any case."""


def near_duplicates(texts: Sequence[Sequence[Any]], threshold: float, *, seed: int = 0) -> NDArray[np.bool_]:
    """Whether each text has another one like it.

    Two texts are alike where the Jaccard similarity of their sets of shingles, estimated from 128 MinHash values with a
    standard error of at most 0.045, reaches the threshold. A shingle is five words in a row; a shorter text is one, so
    texts without words are alike.

    Args:
        texts: the words of each.
        threshold: in (0, 1].
        seed: of the hashes.

    Raises:
        OptionError: the threshold is not in (0, 1], or datasketch is not installed.
        DatasetError: there are no texts.
    """
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as error:
        raise MissingExtra("near duplicates need datasketch: pip install 'fac-datasets[metrics]'") from error
    require_similarity(threshold)
    if not len(texts):
        raise DatasetError("there are no texts; diversity needs at least one")
    # Texts that are equal share one entry of the index, or each would be compared with all the others.
    different: dict[frozenset[bytes], list[int]] = {}
    for row, tokens in enumerate(texts):
        different.setdefault(_shingles(tokens), []).append(row)
    hashes = list(MinHash.bulk(different, num_perm=PERMUTATIONS, seed=seed + 1))
    index = MinHashLSH(min(threshold, _MOST_SELECTIVE), PERMUTATIONS)
    for place, minhash in enumerate(hashes):
        index.insert(place, minhash)
    alike = np.zeros(len(texts), dtype=bool)
    for place, (rows, minhash) in enumerate(zip(different.values(), hashes, strict=True)):
        others = (hashes[other] for other in index.query(minhash) if other != place)
        alike[rows] = len(rows) > 1 or any(minhash.jaccard(other) >= threshold for other in others)
    return alike


def require_similarity(threshold: Any) -> None:
    """Raise OptionError unless it is a Jaccard similarity that texts can be alike from."""
    if not is_number(threshold) or not 0 < threshold <= 1:
        raise OptionError(f"threshold={threshold!r} is no Jaccard similarity in (0, 1]")


def _shingles(tokens: Sequence[Any]) -> frozenset[bytes]:
    last = max(1, len(tokens) - SHINGLE_WORDS + 1)
    return frozenset(
        " ".join(map(str, tokens[start : start + SHINGLE_WORDS])).encode(errors="surrogatepass")
        for start in range(last)
    )
