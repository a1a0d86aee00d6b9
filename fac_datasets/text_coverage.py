"""Coverage of plain lists of texts or feature ids, as the `fac` metric takes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fac_datasets.backbone import EMBEDDED
from fac_datasets.coverage import CoverageReport, coverage, coverage_of_ids
from fac_datasets.errors import ColumnError, DatasetError
from fac_datasets.extraction import FeatureExtractor
from fac_datasets.feature_space import Threshold


def coverage_of_inputs(
    predictions: Sequence[Any],
    anchor: Sequence[Any] | None,
    *,
    threshold: Threshold = "q90",
    features: Sequence[int] | None = None,
    backbone: str = EMBEDDED,
    sae: str = EMBEDDED,
    layer: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The `fac` metric: see `metrics/fac`.

    Raises:
        DatasetError: there is no anchor, or either is empty, or the anchor activates no feature.
        ColumnError: one is of texts and the other of feature ids.
    """
    if anchor is None:
        raise DatasetError("FAC is measured against an anchor: pass its texts or feature ids as references")
    if not len(predictions) or not len(anchor):
        raise DatasetError(
            f"predictions have {len(predictions)} rows and references {len(anchor)}; each needs at least one"
        )
    kinds = {_kind(rows) for rows in (predictions, anchor)}
    if len(kinds) > 1:
        raise ColumnError("predictions and references must both be texts or both be lists of feature ids")
    if kinds == {"ids"}:
        report = coverage_of_ids(predictions, anchor, features=features, seed=seed)
    else:
        report = _text_report(
            predictions, anchor, threshold, features, _extractor(backbone, sae, layer, threshold), seed
        )
    values = report.to_dict()
    return {key: values[key] for key in ("fac", "low", "high", "n_covered", "n_relevant", "missing")}


def _kind(rows: Sequence[Any]) -> str:
    if all(isinstance(row, str) for row in rows):
        return "texts"
    if not any(isinstance(row, str) for row in rows) and all(hasattr(row, "__len__") for row in rows):
        return "ids"
    raise ColumnError("rows must all be texts, or all be lists of feature ids")


def _text_report(
    predictions: Sequence[str],
    anchor: Sequence[str],
    threshold: Threshold,
    features: Sequence[int] | None,
    extractor: FeatureExtractor,
    seed: int,
) -> CoverageReport:
    import datasets

    tables = []
    for texts in (predictions, anchor):
        rows = datasets.Dataset.from_dict({"text": list(texts)})
        tables.append(rows.map(extractor, batched=True, remove_columns=["text"], keep_in_memory=True))
    return coverage(tables[0], tables[1], threshold=threshold, features=features, seed=seed)


@lru_cache(maxsize=2)
def _extractor(backbone: str, sae: str, layer: int | None, threshold: Threshold) -> FeatureExtractor:
    """One loaded extractor for repeated calls."""
    return FeatureExtractor(backbone, sae, layer, column="text", threshold=threshold, spans=False)
