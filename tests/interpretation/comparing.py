"""Rows that the tests of comparisons share: activations and texts by hand, with and without spans."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np

from tests.interpretation.test_contrast import SPACE

N_FEATURES = 6


def columns_of(activations: np.ndarray, prefix: str = "") -> dict[str, Any]:
    """Feature columns of dense activations, [n_rows, n_features], each of which peaks on the first character."""
    ids = [np.flatnonzero(row).tolist() for row in activations]
    columns = {
        "feature_ids": ids,
        "feature_activations": [row[row > 0].tolist() for row in activations],
        "feature_starts": [[0] * len(row) for row in ids],
        "feature_ends": [[1] * len(row) for row in ids],
        "feature_token_starts": [[0]] * len(ids),
        "feature_tokens": [1] * len(ids),
        "feature_space": [SPACE] * len(ids),
    }
    return {prefix + name: values for name, values in columns.items()}


def kinds_of(prefix: str = "") -> dict[str, Any]:
    """The types of these columns."""
    from fac_datasets.feature_space import feature_columns

    return feature_columns(prefix)


def texts_with(activations: np.ndarray, texts: list[str] | None = None) -> datasets.Dataset:
    """Rows of texts with feature columns."""
    columns = {"text": texts or [f"row {i}" for i in range(len(activations))], **columns_of(activations)}
    features = datasets.Features({"text": datasets.Value("string"), **kinds_of()})
    return datasets.Dataset.from_dict(columns, features=features)


def answers_with(
    chosen: np.ndarray, rejected: np.ndarray, texts: tuple[list[str], list[str]] | None = None
) -> datasets.Dataset:
    """Pairs of answers with the feature columns of both; an answer is a chat, of which the last message is its own."""
    columns: dict[str, Any] = {}
    kinds: dict[str, Any] = {}
    for side, (name, activations) in enumerate((("chosen", chosen), ("rejected", rejected))):
        columns[name] = texts[side] if texts else [f"answer {i}" for i in range(len(activations))]
        kinds[name] = datasets.Value("string")
        columns |= columns_of(activations, f"{name}_")
        kinds |= kinds_of(f"{name}_")
        empty = [[0] * len(row) for row in columns[f"{name}_feature_ids"]]
        for messages, values in (("feature_messages", empty), ("feature_token_messages", [[0]] * len(activations))):
            columns[f"{name}_{messages}"] = values
            kinds[f"{name}_{messages}"] = datasets.List(datasets.Value("int32"))
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
