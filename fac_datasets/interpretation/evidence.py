"""Which evidence says that a feature is relevant for a task, and which features are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.errors import OptionError
from fac_datasets.interpretation.table import add_columns, require_columns

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

EVIDENCE = ("llm", "contrast", "effect", "review")
"""Kinds of evidence: verdicts of a language model, different activation, what ablation changes, and people."""


def with_evidence(table: datasets.Dataset, kind: str, holds: NDArray[np.bool_]) -> datasets.Dataset:
    """A table whose column `evidence` lists a kind for the features for which it holds, and for no others.

    Args:
        table: a feature table.
        kind: of evidence.
        holds: of each feature, [n_features].
    """
    from datasets import List, Value

    known: list[Any] = list(table["evidence"]) if "evidence" in table.column_names else [[]] * len(table)
    lists = [
        sorted({*kinds} - {kind} | ({kind} if held else set()), key=EVIDENCE.index)
        for kinds, held in zip(known, holds.tolist(), strict=True)
    ]
    return add_columns(table, {"evidence": (lists, List(Value("string")))})


def relevant_features(
    table: datasets.Dataset, *, evidence: Sequence[str] = EVIDENCE, together: bool = False
) -> NDArray[np.int64]:
    """Ids of the features that are relevant for the task.

    `coverage(features=...)` takes them, or the table itself, of which it also checks the feature space.

    Args:
        table: a feature table that was judged.
        evidence: kinds that count.
        together: every one of these kinds is needed; by default one is enough.

    Raises:
        ColumnError: the table was not judged.
        OptionError: a kind is unknown.

    Example:
        >>> report = coverage(seed, anchor, features=relevant_features(judged))
        >>> len(report.relevant) <= len(judged)
        True
    """
    require_columns(table, "feature_id", "evidence")
    unknown = sorted({*evidence} - {*EVIDENCE})
    if unknown or not evidence:
        raise OptionError(f"evidence={list(evidence)} is not of {list(EVIDENCE)}")
    needed = len({*evidence}) if together else 1
    chosen = [
        feature
        for feature, kinds in zip(table["feature_id"], table["evidence"], strict=True)
        if len({*evidence} & {*kinds}) >= needed
    ]
    return np.array(sorted(chosen), dtype=np.int64)
