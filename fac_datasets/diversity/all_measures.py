"""All measures of diversity of datasets, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fac_datasets import diversity
from fac_datasets.diversity.embeddings import embeddings_of
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


def all_measures(
    datasets: Mapping[str, Sequence[str]], *, most_rows: int = MOST_ROWS, seed: int = 0
) -> dict[str, Measures]:
    """Every measure of the texts of several datasets, with its usual options.

    Args:
        datasets: texts by name; a text that several hold is embedded once.
        most_rows: of more texts as many are drawn at random, since some measures take time that grows with the square.
        seed: of the draws.

    Returns:
        For each dataset values by name, `n_rows` and `n_tokens` (words) first. In place of those whose library or model
        is not installed stands one text a metric that says so.

    Example:
        >>> all_measures({"seed": ["The cat sat.", "It rains."]})["seed"]["n_tokens"]
        7
    """
    drawn = {name: _drawn(texts, most_rows, seed) for name, texts in datasets.items()}
    different = list(dict.fromkeys(text for texts in drawn.values() for text in texts))
    try:
        vectors = embeddings_of(different)
    except MissingExtra as error:
        return {
            name: {**_of_texts(texts), **dict.fromkeys(_OF_EMBEDDINGS, str(error))} for name, texts in drawn.items()
        }
    place = {text: i for i, text in enumerate(different)}
    return {
        name: {**_of_texts(texts), **_of_embeddings(vectors[[place[text] for text in texts]])}
        for name, texts in drawn.items()
    }


def _drawn(texts: Sequence[str], most_rows: int, seed: int) -> Sequence[str]:
    if len(texts) <= most_rows:
        return texts
    rows = np.random.default_rng(seed).choice(len(texts), most_rows, replace=False)
    return [texts[row] for row in np.sort(rows)]


def _of_texts(texts: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, measure in _OF_TEXTS.items():
        try:
            found = measure(texts)
            # Sizes are those of the first: parts of speech are counted on the tokens of their pipeline.
            values |= _without_sizes(found) if values else {**{size: found[size] for size in _SIZES}, **found}
        except MissingExtra as error:
            values[name] = str(error)
    return values


def _of_embeddings(vectors: NDArray[Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, measure in _OF_EMBEDDINGS.items():
        try:
            values |= _without_sizes(measure(vectors))
        except MissingExtra as error:
            values[name] = str(error)
    return values


def _without_sizes(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in _SIZES}


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
