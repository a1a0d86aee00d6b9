"""Rows, tables and spaces that the tests of coverage share."""

from __future__ import annotations

from typing import Any

import datasets
from hypothesis import strategies as st

D_SAE = 12


DIGEST = "0123456789abcdef"


def space(threshold: str = "0.5", layer: int = 3, sae: str = "s") -> str:
    return f"org/model@{DIGEST}/layer{layer}/chat/{sae}@{DIGEST}/sae/max/>{threshold}/windows512"


rows_of_ids = st.lists(st.lists(st.integers(0, D_SAE - 1), unique=True, max_size=6), min_size=1, max_size=8)


def table(rows: list[dict[int, float]], feature_space: str | None = None) -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {
            "feature_ids": [sorted(row) for row in rows],
            "feature_activations": [[row[i] for i in sorted(row)] for row in rows],
            "feature_tokens": [len(row) for row in rows],
            "feature_space": [feature_space or space()] * len(rows),
        },
        features=datasets.Features(
            {
                "feature_ids": datasets.List(datasets.Value("int32")),
                "feature_activations": datasets.List(datasets.Value("float32")),
                "feature_tokens": datasets.Value("int32"),
                "feature_space": datasets.Value("string"),
            }
        ),
    )


def judged(feature_space: str, *relevant: int) -> datasets.Dataset:
    """A feature table of four features, of which some are relevant."""
    evidence = [["contrast"] if feature in relevant else [] for feature in range(4)]
    return datasets.Dataset.from_dict(
        {"feature_id": range(4), "feature_space": [feature_space] * 4, "evidence": evidence}
    )


def stored(ids: list[Any], activations: list[Any]) -> datasets.Dataset:
    """Feature columns as given, damaged ones too."""
    return datasets.Dataset.from_dict(
        {"feature_ids": ids, "feature_activations": activations, "feature_space": [space()] * len(ids)}
    )


DAMAGED = {
    "null ids": ([[1], None], [[3.0], [3.0]], r"row 1.*feature_ids is null"),
    "null activations": ([[1], [2]], [[3.0], None], r"row 1.*feature_activations is null"),
    "null among ids": ([[1], [2, None]], [[3.0], [3.0, 3.0]], r"row 1.*null|row 1.*None"),
    "null among activations": ([[1], [2, 3]], [[3.0], [3.0, None]], r"row 1.*null|row 1.*None"),
    "NaN": ([[1], [2, 3]], [[3.0], [3.0, float("nan")]], r"row 1.*activation nan"),
    "infinite": ([[1], [2]], [[3.0], [float("inf")]], r"row 1.*activation inf"),
    "negative activation": ([[1], [2]], [[3.0], [-3.0]], r"row 1.*activation -3"),
    "negative id": ([[1], [-2]], [[3.0], [3.0]], r"row 1.*the id -2"),
    "large id": ([[1], [2**31]], [[3.0], [3.0]], r"row 1.*the id 2147483648"),
    "repeated id": ([[1], [2, 2]], [[3.0], [3.0, 4.0]], r"row 1.*the id 2 more than once"),
    "repeated later": ([[1], [2, 5, 2]], [[3.0], [3.0, 4.0, 3.0]], r"row 1.*the id 2 more than once"),
    "fewer activations": ([[1], [2, 3]], [[3.0], [3.0]], r"row 1.*2 ids .*1 numbers"),
    "equal in sum": ([[1], [2, 3]], [[3.0, 3.0], [3.0]], r"row 0.*1 ids .*2 numbers"),
}
"""Ids and activations that no extractor makes, and what is said of them."""
