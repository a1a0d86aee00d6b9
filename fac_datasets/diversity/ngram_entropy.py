"""Entropy of the distribution of n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fac_datasets.diversity.ngrams import Tokenize, ngrams, tokens_of
from fac_datasets.diversity.values import Values, entropy_of_counts, lengths_of, text_sizes


def ngram_entropy(texts: Any, n: int | Sequence[int] = (1, 2), *, tokenize: Tokenize | None = None) -> Values:
    """Shannon entropy of the distribution of n-grams.

    Args:
        texts: any number; see `distinct_n`.
        n: one length or several.
        tokenize: see `distinct_n`.

    Returns:
        For each n, `ngram_entropy_n` in bits, and `ngram_entropy_n_normalized`, divided by that of as many different
        n-grams that are all equally frequent (Pielou's evenness), in [0, 1]. 0 where there are no n-grams.

    Raises:
        OptionError, ColumnError, DatasetError, RowError: see `distinct_n`.

    Example:
        >>> ngram_entropy(["a b c d"], n=1)
        {'ngram_entropy_1': 2.0, 'ngram_entropy_1_normalized': 1.0, 'n_rows': 1, 'n_tokens': 4}
    """
    lengths = lengths_of(n)
    tokens = tokens_of(texts, tokenize)
    values: Values = {}
    for length in lengths:
        entropy, normalized = entropy_of_counts(ngrams(tokens, length).counts())
        values |= {f"ngram_entropy_{length}": entropy, f"ngram_entropy_{length}_normalized": normalized}
    return {**values, **text_sizes(tokens)}
