"""Share of texts that nearly repeat another one."""

from __future__ import annotations

from collections.abc import Sequence

from fac_datasets.diversity.ngrams import Tokenize, require_texts, words
from fac_datasets.diversity.values import Values


def near_duplicate_rate(
    texts: Sequence[str], *, threshold: float = 0.8, tokenize: Tokenize | None = None, seed: int = 0
) -> Values:
    """Share of texts that nearly repeat another one; see `fac_datasets.diversity.near_duplicates.near_duplicates`.

    Args:
        texts: any number.
        threshold: Jaccard similarity of shingles from which two texts are alike, in (0, 1].
        tokenize: see `distinct_n`.
        seed: of the hashes.

    Returns:
        `near_duplicate_rate` in [0, 1].

    Raises:
        OptionError: the threshold is not in (0, 1], or datasketch is not installed.
        DatasetError, RowError: see `distinct_n`.

    Example:
        >>> near_duplicate_rate(["The cat sat down.", "The cat sat down.", "It rains."])["near_duplicate_rate"]
        0.6666666666666666
    """
    from fac_datasets.diversity.near_duplicates import near_duplicates

    tokens = [(tokenize or words)(text) for text in require_texts(texts)]
    alike = near_duplicates(tokens, threshold, seed=seed)
    return {"near_duplicate_rate": float(alike.mean()), "n_rows": len(tokens), "n_tokens": sum(map(len, tokens))}
