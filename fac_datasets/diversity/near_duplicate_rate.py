"""Share of texts that nearly repeat another one."""

from __future__ import annotations

from typing import Any

from fac_datasets.diversity.ngrams import Tokenize, require_tokenizer, token_lists, words
from fac_datasets.diversity.options import require_seed
from fac_datasets.diversity.values import Values


def near_duplicate_rate(
    texts: Any, *, threshold: float = 0.8, tokenize: Tokenize | None = None, seed: int = 0
) -> Values:
    """Share of texts that nearly repeat another one; see `fac_datasets.diversity.near_duplicates.near_duplicates`.

    Args:
        texts: any number; see `distinct_n`.
        threshold: Jaccard similarity of shingles from which two texts are alike, in (0, 1].
        tokenize: see `distinct_n`.
        seed: of the hashes.

    Returns:
        `near_duplicate_rate` in [0, 1].

    Raises:
        OptionError: the threshold is not in (0, 1], or datasketch is not installed; and see `distinct_n`.
        ColumnError, DatasetError, RowError: see `distinct_n`.

    Example:
        >>> near_duplicate_rate(["The cat sat down.", "The cat sat down.", "It rains."])["near_duplicate_rate"]
        0.6666666666666666
    """
    from fac_datasets.diversity.near_duplicates import near_duplicates, require_similarity

    require_similarity(threshold)
    require_seed(seed)
    require_tokenizer(tokenize)
    tokens = list(token_lists(texts, tokenize or words))
    alike = near_duplicates(tokens, threshold, seed=seed)
    return {"near_duplicate_rate": float(alike.mean()), "n_rows": len(tokens), "n_tokens": sum(map(len, tokens))}
