"""The measures of diversity that are compared with feature activation coverage, as plain functions.

Each takes texts (or embeddings) and returns the values of its metric by name, with the number of rows and of words, as
the modules under `metrics/` do.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fac_datasets.embeddings import DEFAULT_MODEL, embeddings_of, unit_blocks, unit_vectors
from fac_datasets.errors import MissingExtra, OptionError
from fac_datasets.ngrams import NGrams, Tokenize, Tokens, ngrams, require_texts, tokens_of, tokens_of_lists, words

Values = dict[str, Any]
"""Values of a metric by name."""

VOCABULARY_SIZE = 30_522
"""Tokens that a text could draw from, for the adjusted Distinct-n: as many as BERT's word pieces, as in its paper."""

_NOVELSUM_ROWS = 256
"""Rows whose distances to all others are held at once."""

_EQUAL = 1e-6
"""Squared distance below which unit vectors are the same but for rounding."""


def distinct_n(
    texts: Sequence[str],
    n: int | Sequence[int] = (1, 2),
    *,
    tokenize: Tokenize | None = None,
    vocabulary_size: int = VOCABULARY_SIZE,
) -> Values:
    """Distinct-n: different n-grams over n-grams (Li et al. 2016, arXiv 1510.03055).

    Args:
        texts: any number.
        n: one length or several.
        tokenize: takes a text and gives its tokens; by default `fac_datasets.ngrams.words`.
        vocabulary_size: of the adjusted variant.

    Returns:
        For each n, `distinct_n` of all texts together; `distinct_n_per_text`, the mean over the texts that have an
        n-gram; and `distinct_n_adjusted`, different n-grams over the number expected of as many uniform draws from V
        tokens, V (1 - ((V - 1) / V)^C) (Liu et al. 2022, arXiv 2202.13587): about 1 for such draws of any length, and
        without limit where there are more different n-grams than V. 0 where there are no n-grams.

    Raises:
        OptionError: a length is less than 1, the vocabulary is smaller than 2, or tokens are neither texts nor numbers.
        DatasetError: there are no texts.
        RowError: a row is no text.

    Example:
        >>> distinct_n(["a b a b"], n=2)["distinct_2"]
        0.6666666666666666
    """
    if vocabulary_size < 2:
        raise OptionError(f"vocabulary_size={vocabulary_size} leaves nothing to draw from; the least is 2")
    tokens = tokens_of(texts, tokenize)
    return {**_distinct(tokens, n, "distinct", vocabulary_size), **_sizes(tokens)}


def ngram_entropy(texts: Sequence[str], n: int | Sequence[int] = (1, 2), *, tokenize: Tokenize | None = None) -> Values:
    """Shannon entropy of the distribution of n-grams.

    Args:
        texts: any number.
        n: one length or several.
        tokenize: see `distinct_n`.

    Returns:
        For each n, `ngram_entropy_n` in bits, and `ngram_entropy_n_normalized`, divided by that of as many different
        n-grams that are all equally frequent (Pielou's evenness), in [0, 1]. 0 where there are no n-grams.

    Raises:
        OptionError, DatasetError, RowError: see `distinct_n`.

    Example:
        >>> ngram_entropy(["a b c d"], n=1)
        {'ngram_entropy_1': 2.0, 'ngram_entropy_1_normalized': 1.0, 'n_rows': 1, 'n_tokens': 4}
    """
    tokens = tokens_of(texts, tokenize)
    values: Values = {}
    for length in _lengths(n):
        entropy, normalized = _entropy(ngrams(tokens, length).counts())
        values |= {f"ngram_entropy_{length}": entropy, f"ngram_entropy_{length}_normalized": normalized}
    return {**values, **_sizes(tokens)}


def pos_distinct_n(texts: Sequence[str], n: int | Sequence[int] = 2, *, pipeline: str | None = None) -> Values:
    """Distinct-n of part-of-speech tags: how varied the sentences are built.

    Args:
        texts: any number.
        n: one length or several.
        pipeline: see `fac_datasets.part_of_speech.tags_of`.

    Returns:
        `pos_distinct_n` and `pos_distinct_n_per_text` for each n; see `distinct_n`. Tokens are those of the pipeline.

    Raises:
        OptionError: the pipeline is not installed or does not tag.
        DatasetError, RowError: see `distinct_n`.

    Example:
        >>> pos_distinct_n(["The cat sat.", "The dog ran."])["pos_distinct_2"]
        0.5
    """
    from fac_datasets.part_of_speech import tags_of

    tokens = tokens_of_lists(tags_of(texts, pipeline))
    return {**_distinct(tokens, n, "pos_distinct"), **_sizes(tokens)}


def pair_cosdist(rows: Any, *, model: Any = DEFAULT_MODEL) -> Values:
    """Mean cosine distance of all pairs of rows, exact and in one pass.

    With u_i the unit vectors, the mean over pairs of u_i . u_j is (|sum u_i|^2 - n) / (n (n - 1)).

    Args:
        rows: texts, or embeddings, [n_rows, d].
        model: see `fac_datasets.embeddings.embeddings_of`.

    Returns:
        `pair_cosdist` in [0, 2]; 0 for a single row, which has no pairs.

    Raises:
        DatasetError, RowError, OptionError: see `fac_datasets.embeddings.embeddings_of`.

    Example:
        >>> pair_cosdist([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])["pair_cosdist"]
        1.3333333333333333
    """
    vectors = embeddings_of(rows, model)
    total = np.zeros(vectors.shape[1])
    for block, factors in unit_blocks(vectors):
        total += factors @ block
    n = len(vectors)
    distance = 1 - (float(total @ total) - n) / (n * (n - 1)) if n > 1 else 0.0
    return {"pair_cosdist": min(2.0, max(0.0, distance)), **_row_sizes(rows)}


def semantic_entropy(rows: Any, *, k: int = 10, seed: int = 0, model: Any = DEFAULT_MODEL) -> Values:
    """Entropy of how rows spread over clusters of their embeddings.

    Unit vectors are clustered by k-means (scikit-learn, Lloyd's algorithm, the best of 4 k-means++ starts).

    Args:
        rows: texts, or embeddings, [n_rows, d].
        k: clusters.
        seed: of the starts.
        model: see `fac_datasets.embeddings.embeddings_of`.

    Returns:
        `semantic_entropy` in bits and `semantic_entropy_normalized`, divided by log2 k, in [0, 1].

    Raises:
        OptionError: there are more clusters than rows, or scikit-learn is not installed.
        DatasetError, RowError: see `fac_datasets.embeddings.embeddings_of`.

    Example:
        >>> semantic_entropy([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 2.0]], k=2)["semantic_entropy"]
        1.0
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingExtra("clusters need scikit-learn: pip install 'fac-datasets[metrics]'") from error
    vectors = unit_vectors(embeddings_of(rows, model))
    if not 1 <= k <= len(vectors):
        raise OptionError(f"k={k} clusters of {len(vectors)} rows cannot be; choose k in [1, {len(vectors)}]")
    sizes = np.bincount(KMeans(k, n_init=4, random_state=seed).fit(vectors).labels_)
    entropy, _ = _entropy(sizes[sizes > 0])
    return {
        "semantic_entropy": entropy,
        "semantic_entropy_normalized": entropy / math.log2(k) if k > 1 else 0.0,
        **_row_sizes(rows),
    }


def vendi_score(rows: Any, *, kernel: str = "embeddings", model: Any = DEFAULT_MODEL, seed: int = 0) -> Values:
    """Vendi score: the effective number of different rows (Friedman and Dieng 2023, arXiv 2210.02410).

    The exponential of the entropy of the eigenvalues of K / n, with K the cosine similarities of the rows. It is exact
    for up to 4,096 rows or dimensions, whichever are fewer; see `fac_datasets.spectrum.spectral_entropy` for more.

    Args:
        rows: texts; embeddings, [n_rows, d]; lists of feature ids; or a dataset with feature columns.
        kernel: `"embeddings"` for texts and embeddings; `"features"` for lists of ids, of equal weight, and for a
            dataset, whose activations weigh.
        model: see `fac_datasets.embeddings.embeddings_of`.
        seed: of the estimate.

    Returns:
        `vendi_score` in [1, n_rows], and `vendi_score_error`, the standard error of the estimate; 0 where it is exact.

    Raises:
        OptionError: the kernel is unknown, or rows do not suit it.
        DatasetError, RowError: see `fac_datasets.embeddings.embeddings_of`.

    Example:
        >>> vendi_score([[1.0, 0.0], [0.0, 1.0]])["vendi_score"]
        2.0
    """
    from fac_datasets.feature_kernel import unit_features
    from fac_datasets.spectrum import spectral_entropy

    if kernel not in ("embeddings", "features"):
        raise OptionError(f"kernel={kernel!r} is neither 'embeddings' nor 'features'")
    units = unit_features(rows) if kernel == "features" else unit_vectors(embeddings_of(rows, model))
    entropy, error = spectral_entropy(units, seed)
    score = float(np.exp(entropy))
    sizes = {"n_rows": len(rows), "n_tokens": None} if kernel == "features" else _row_sizes(rows)
    return {"vendi_score": score, "vendi_score_error": score * error, **sizes}


def novelsum(
    rows: Any,
    *,
    distance_power: float = 1.0,
    density_power: float = 0.0,
    neighbors: int = 10,
    model: Any = DEFAULT_MODEL,
) -> Values:
    """NovelSum: how far rows lie from each other, where near ones weigh most (Yang et al. 2025, arXiv 2502.17184).

    The mean over rows of density^density_power times the average of the cosine distances to the other rows, weighted by
    rank^-distance_power from the nearest. This is how the authors' code computes it now; in their paper a row was also
    its own nearest. The density is one over the mean squared distance of the unit vectors of the `neighbors` nearest
    rows that differ from it. The authors take it from a large corpus and recommend to leave it out where there is none,
    which is the default. Time grows with the square of the rows.

    Args:
        rows: texts, or embeddings, [n_rows, d].
        distance_power: 0 weighs all rows alike.
        density_power: the authors use 0.5 with a corpus; 0 leaves the density out.
        neighbors: of the density.
        model: see `fac_datasets.embeddings.embeddings_of`.

    Returns:
        `novelsum`, at least 0; 0 for a single row and where all rows are equal.

    Raises:
        OptionError: `neighbors` is less than 1; and see `fac_datasets.embeddings.embeddings_of`.

    Example:
        >>> novelsum([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])["novelsum"]
        1.222222222222222
    """
    if neighbors < 1:
        raise OptionError(f"neighbors={neighbors} makes no density; use density_power=0 to leave it out")
    units = unit_vectors(embeddings_of(rows, model)).astype(np.float64)
    weights = np.arange(1.0, len(units)) ** -distance_power
    total = 0.0
    for start in range(0, len(units) if len(units) > 1 else 0, _NOVELSUM_ROWS):
        block = units[start : start + _NOVELSUM_ROWS]
        distances = np.maximum(0, 1 - block @ units.T)
        distances[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        nearest = np.sort(distances, axis=1)[:, :-1]
        novelty = nearest @ weights / weights.sum()
        if density_power:
            novelty *= _density(2 * nearest, neighbors) ** density_power
        total += float(novelty.sum())
    return {"novelsum": total / len(units), **_row_sizes(rows)}


def _density(squared: NDArray[np.float64], neighbors: int) -> NDArray[np.float64]:
    """One over the mean of the first squared distances that are not those of equal rows; 1 where all rows are equal."""
    rank = np.arange(squared.shape[1]) - np.count_nonzero(squared < _EQUAL, axis=1)[:, None]
    counted = (rank >= 0) & (rank < neighbors)
    n_counted = counted.sum(axis=1)
    mean = (squared * counted).sum(axis=1) / np.maximum(n_counted, 1)
    density: NDArray[np.float64] = np.where(n_counted > 0, 1 / np.maximum(mean, _EQUAL), 1.0)
    return density


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
    return {"compression_ratio": ratio, **_sizes(tokens)}


def near_duplicate_rate(
    texts: Sequence[str], *, threshold: float = 0.8, tokenize: Tokenize | None = None, seed: int = 0
) -> Values:
    """Share of texts that nearly repeat another one; see `fac_datasets.near_duplicates.near_duplicates`.

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
    from fac_datasets.near_duplicates import near_duplicates

    tokens = [(tokenize or words)(text) for text in require_texts(texts)]
    alike = near_duplicates(tokens, threshold, seed=seed)
    return {"near_duplicate_rate": float(alike.mean()), "n_rows": len(tokens), "n_tokens": sum(map(len, tokens))}


def _lengths(n: int | Sequence[int]) -> list[int]:
    lengths = list(n) if isinstance(n, Iterable) else [n]
    if not lengths or not all(isinstance(length, int | np.integer) and length >= 1 for length in lengths):
        raise OptionError(f"n={n!r} is no length of n-grams and no list of lengths; the least is 1")
    return [int(length) for length in lengths]


def _distinct(tokens: Tokens, n: int | Sequence[int], name: str, vocabulary_size: int | None = None) -> Values:
    values: Values = {}
    for length in _lengths(n):
        grams = ngrams(tokens, length)
        total, different = len(grams.ids), len(grams.counts())
        values[f"{name}_{length}"] = different / total if total else 0.0
        values[f"{name}_{length}_per_text"] = _distinct_per_text(grams)
        if vocabulary_size is not None:
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


def _entropy(counts: NDArray[np.int64]) -> tuple[float, float]:
    """In bits, and divided by its most for as many kinds."""
    if len(counts) < 2:
        return 0.0, 0.0
    shares = counts / counts.sum()
    entropy = float(-(shares * np.log2(shares)).sum())
    return entropy, entropy / float(np.log2(len(counts)))


def _sizes(tokens: Tokens) -> dict[str, int]:
    return {"n_rows": len(tokens.lengths), "n_tokens": len(tokens.ids)}


def _row_sizes(rows: Any) -> Values:
    """Rows, and words where they are texts."""
    return _sizes(tokens_of(rows)) if isinstance(next(iter(rows)), str) else {"n_rows": len(rows), "n_tokens": None}
