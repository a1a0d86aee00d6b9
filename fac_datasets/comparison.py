"""All measures of diversity of datasets, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fac_datasets import diversity
from fac_datasets.embeddings import embeddings_of
from fac_datasets.errors import MissingExtra

Measures = Mapping[str, float | str | None]
"""Values by name; a text says why there is none."""

_OF_TEXTS: dict[str, Callable[[Sequence[str]], Mapping[str, Any]]] = {
    "distinct_n": diversity.distinct_n,
    "ngram_entropy": diversity.ngram_entropy,
    "pos_distinct_n": diversity.pos_distinct_n,
    "compression_ratio": diversity.compression_ratio,
    "near_duplicate_rate": diversity.near_duplicate_rate,
}
_OF_EMBEDDINGS: dict[str, Callable[[Any], Mapping[str, Any]]] = {
    "pair_cosdist": diversity.pair_cosdist,
    "semantic_entropy": lambda vectors: diversity.semantic_entropy(vectors, k=min(10, len(vectors))),
    "vendi_score": diversity.vendi_score,
    "novelsum": diversity.novelsum,
}
_SIZES = ("n_rows", "n_tokens")

MOST_ROWS = 10_000
"""Rows that are measured of a larger dataset."""


def all_measures(texts: Sequence[str], *, most_rows: int = MOST_ROWS, seed: int = 0) -> Measures:
    """Every measure of texts, with its usual options.

    Args:
        texts: any number.
        most_rows: of more texts as many are drawn at random, since some measures take time that grows with the square.
        seed: of the draw.

    Returns:
        Values by name, `n_rows` and `n_tokens` (words) first. In place of those whose library or model is not installed
        stands one text a metric that says so.

    Example:
        >>> all_measures(["The cat sat.", "It rains."])["n_tokens"]
        7
    """
    if len(texts) > most_rows:
        drawn = np.sort(np.random.default_rng(seed).choice(len(texts), most_rows, replace=False))
        texts = [texts[i] for i in drawn]
    values: dict[str, Any] = {}
    for name, measure in _OF_TEXTS.items():
        try:
            found = dict(measure(texts))
        except MissingExtra as error:
            values[name] = str(error)
            continue
        sizes = {key: found.pop(key) for key in _SIZES}
        # Parts of speech are counted on the tokens of their pipeline.
        values = {**sizes, **values, **found}
    try:
        vectors = embeddings_of(texts)
    except MissingExtra as error:
        return {**values, **dict.fromkeys(_OF_EMBEDDINGS, str(error))}
    for name, measure_vectors in _OF_EMBEDDINGS.items():
        try:
            values |= {key: value for key, value in measure_vectors(vectors).items() if key not in _SIZES}
        except MissingExtra as error:
            values[name] = str(error)
    return values


def measures_table(datasets: Mapping[str, Measures]) -> str:
    """Measures of several datasets as a Markdown table, a dataset a column.

    Example:
        >>> print(measures_table({"seed": {"n_rows": 2, "distinct_1": 0.5}}))
        | measure | seed |
        |---|---|
        | `n_rows` | 2 |
        | `distinct_1` | 0.5000 |
    """
    names = list(dict.fromkeys(name for values in datasets.values() for name in values))
    lines = ["| measure | " + " | ".join(datasets) + " |", "|---" * (len(datasets) + 1) + "|"]
    lines += [
        f"| `{name}` | " + " | ".join(_shown(values.get(name)) for values in datasets.values()) + " |" for name in names
    ]
    found = (value for values in datasets.values() for value in values.values())
    missing = dict.fromkeys(value for value in found if isinstance(value, str))
    return "\n".join([*lines, *(f"\nNot measured: {reason}" for reason in missing)])


def _shown(value: float | str | None) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else ""
