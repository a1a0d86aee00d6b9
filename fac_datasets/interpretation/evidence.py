"""Which evidence says that a feature is relevant for a task, and which features are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.relevant import EVIDENCE
from fac_datasets.rows.tables import add_columns

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


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
