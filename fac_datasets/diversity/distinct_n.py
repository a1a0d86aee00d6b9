"""Distinct-n: different n-grams over n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fac_datasets.diversity.ngrams import NGrams, Tokenize, Tokens, ngrams, tokens_of
from fac_datasets.diversity.options import is_whole
from fac_datasets.diversity.values import Values, lengths_of, text_sizes
from fac_datasets.errors import OptionError

VOCABULARY_SIZE = 30_522
"""Tokens that a text could draw from, for the adjusted Distinct-n: as many as BERT has word pieces. Its authors advise
the largest vocabulary among what is compared."""


def distinct_n(
    texts: Any,
    n: int | Sequence[int] = (1, 2),
    *,
    tokenize: Tokenize | None = None,
    vocabulary_size: int = VOCABULARY_SIZE,
) -> Values:
    """Distinct-n: different n-grams over n-grams (Li et al. 2016, arXiv 1510.03055).

    Args:
        texts: any number, in whatever holds a column; see `fac_datasets.rows.inputs.texts_of`.
        n: one length or several.
        tokenize: takes a text and gives its tokens; by default `fac_datasets.diversity.ngrams.words`.
        vocabulary_size: of the adjusted variant.

    Returns:
        For each n, `distinct_n` of all texts together; `distinct_n_per_text`, the mean over the texts that have an
        n-gram; and `distinct_n_adjusted`, different n-grams over the number expected of as many uniform draws from V
        tokens, V (1 - ((V - 1) / V)^C) (Liu et al. 2022, arXiv 2202.13587): about 1 for such draws of any length, and
        without limit where there are more different n-grams than V. 0 where there are no n-grams.

    Raises:
        OptionError: a length is less than 1, the vocabulary is smaller than 2, or tokens are neither texts nor numbers.
        ColumnError, DatasetError, RowError: see `fac_datasets.rows.inputs.texts_of`.

    Example:
        >>> distinct_n(["a b a b"], n=2)["distinct_2"]
        0.6666666666666666
    """
    if not is_whole(vocabulary_size, 2):
        raise OptionError(f"vocabulary_size={vocabulary_size!r} is no number of tokens to draw from; the least is 2")
    lengths = lengths_of(n)
    tokens = tokens_of(texts, tokenize)
    return {**distinct_values(tokens, lengths, "distinct", vocabulary_size), **text_sizes(tokens)}


def distinct_values(tokens: Tokens, lengths: Sequence[int], name: str, vocabulary_size: int | None = None) -> Values:
    """Distinct-n of tokens of any kind; see `distinct_n`.

    Args:
        tokens: of all texts.
        lengths: of the n-grams.
        name: that the values' names start with.
        vocabulary_size: of the adjusted variant, which is left out without one.
    """
    values: Values = {}
    for length in lengths:
        grams = ngrams(tokens, length)
        total, different = len(grams.ids), len(grams.counts())
        values[f"{name}_{length}"] = different / total if total else 0.0
        values[f"{name}_{length}_per_text"] = _distinct_per_text(grams)
        if vocabulary_size is not None:
            # The same as V (1 - ((V - 1) / V)^C), without the cancellation that a C much smaller than V would bring.
            expected = -vocabulary_size * np.expm1(total * np.log1p(-1 / vocabulary_size))
            values[f"{name}_{length}_adjusted"] = float(different / expected) if total else 0.0
    return values


def _distinct_per_text(grams: NGrams) -> float:
    if not len(grams.ids):
        return 0.0
    n_types = int(grams.ids.max()) + 1
    pairs = np.sort(grams.rows * n_types + grams.ids)
    first = np.concatenate([[True], pairs[1:] != pairs[:-1]])
    total = np.bincount(grams.rows)
    # Sorted pairs keep their text's place.
    different = np.bincount(grams.rows[first], minlength=len(total))
    return float((different[total > 0] / total[total > 0]).mean())
