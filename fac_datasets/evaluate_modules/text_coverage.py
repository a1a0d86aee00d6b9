"""Coverage of plain lists of texts, chats or feature ids, as the `fac` metric takes them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.backbone.identity import EMBEDDED
from fac_datasets.coverage.budget import coverage_at_budget
from fac_datasets.coverage.report import CoverageReport, coverage, coverage_of_ids, require_count
from fac_datasets.diversity.options import is_whole, require_seed
from fac_datasets.errors import ColumnError, DatasetError, OptionError
from fac_datasets.feature_space import QUANTILES, Threshold, parse_threshold
from fac_datasets.features.extractor import FeatureExtractor
from fac_datasets.rows.inputs import chats_of, feature_ids, kind_of, rows_of, texts_of

if TYPE_CHECKING:
    import datasets

KEYS = (
    *("fac", "low", "high", "of_anchor", "of_relevant", "of_missing"),
    *("n_covered", "n_relevant", "missing", "names"),
)
"""Values of a report; lists where thresholds are."""


def coverage_of_inputs(
    predictions: Any,
    anchor: Any,
    *,
    threshold: Threshold | Sequence[Threshold] = "q90",
    features: Sequence[int] | None = None,
    missing_of: Mapping[str, Any] | Sequence[int] | None = None,
    count: str = "binary",
    rarefaction: bool = False,
    budget_tokens: int | None = None,
    control: str | None = None,
    backbone: str = EMBEDDED,
    sae: str = EMBEDDED,
    layer: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The `fac` metric: see `metrics/fac`. Options are checked before rows.

    Raises:
        OptionError: an option has no meaning, or `budget_tokens` or `control` is asked for feature ids.
        DatasetError: there is no anchor, or either is empty, or the anchor activates no feature.
        ColumnError: either is no column, or one is of texts and the other of feature ids.
        RowError: a row is no text, chat or list of feature ids.
    """
    several = isinstance(threshold, list | tuple)
    given: Any = threshold if several else [threshold]
    thresholds = [parse_threshold(value) for value in given]
    if not thresholds:
        raise OptionError("there are no thresholds; give one, or a list of some")
    wanted = None if features is None else feature_ids(features, "features")
    counted = require_count(count)
    if missing_of is not None and not isinstance(missing_of, CoverageReport | Mapping):
        missing_of = feature_ids(missing_of, "missing_of").tolist()
    _require_options(rarefaction, budget_tokens, control, layer)
    require_seed(seed)
    for name, model in (("backbone", backbone), ("sae", sae)):
        if not isinstance(model, str | os.PathLike):
            raise OptionError(f"{name}={model!r} is neither a name nor a folder")
    if anchor is None:
        raise DatasetError("FAC is measured against an anchor: pass its texts or feature ids as references")
    predictions, anchor = rows_of(predictions, "predictions"), rows_of(anchor, "references")
    if not len(predictions) or not len(anchor):
        raise DatasetError(
            f"predictions have {len(predictions)} rows and references {len(anchor)}; each needs at least one"
        )
    kinds = {kind_of(rows) for rows in (predictions, anchor)}
    if "numbers" in kinds and len(kinds) > 1:
        raise ColumnError("predictions and references must both be texts or chats, or both be lists of feature ids")
    if kinds == {"numbers"}:
        if budget_tokens is not None or control is not None:
            raise OptionError("feature ids have no tokens and no SAE: budget_tokens and control need texts")
        report = coverage_of_ids(predictions, anchor, features=wanted, missing_of=missing_of, count=counted, seed=seed)
        values = {**_values(report), "n_rows": len(predictions), "n_tokens": None}
        return {**values, "rarefaction": _curve(report)} if rarefaction else values
    predictions, anchor = (
        chats_of(rows) if kind_of(rows) == "chats" else texts_of(rows) for rows in (predictions, anchor)
    )
    extractor = _extractor(str(backbone), str(sae), layer, _lowest(thresholds))
    measured_rows, anchor_rows = (_measured(rows, extractor) for rows in (predictions, anchor))
    measured: list[dict[str, Any]] = []
    for value in thresholds:
        report = coverage(
            measured_rows,
            anchor_rows,
            threshold=value,
            features=wanted,
            missing_of=missing_of,
            count=counted,
            seed=seed,
        )
        found = _values(report)
        if rarefaction:
            found["rarefaction"] = _curve(report)
        if budget_tokens is not None:
            found |= coverage_at_budget(
                measured_rows, anchor_rows, budget_tokens, threshold=value, features=wanted, seed=seed
            )._asdict()
        measured.append(found)
    if control:
        # A set of features says nothing about the features of another SAE.
        shares = random_sae_coverage(predictions, anchor, thresholds, extractor, seed)
        for found, share in zip(measured, shares, strict=True):
            found["fac_random_sae"] = share
    values = {key: [found[key] for found in measured] for key in measured[0]} if several else measured[0]
    return {**values, "n_rows": len(predictions), "n_tokens": sum(measured_rows["feature_tokens"])}


def _require_options(rarefaction: Any, budget_tokens: Any, control: Any, layer: Any) -> None:
    if not isinstance(rarefaction, bool):
        raise OptionError(f"rarefaction={rarefaction!r} is neither True nor False")
    if budget_tokens is not None and not is_whole(budget_tokens, 1):
        raise OptionError(f"budget_tokens={budget_tokens!r} is no number of tokens; choose a whole number from 1")
    if control is not None and not (isinstance(control, str) and control == "random_sae"):
        raise OptionError(f"control={control!r} is unknown; there is 'random_sae'")
    if layer is not None and not is_whole(layer, 0):
        raise OptionError(f"layer={layer!r} is no layer; choose a whole number, or None for the SAE's own")


def random_sae_coverage(
    predictions: Sequence[Any],
    anchor: Sequence[Any],
    thresholds: Sequence[Threshold],
    extractor: FeatureExtractor,
    seed: int = 0,
) -> list[float | None]:
    """FAC with an SAE of random directions in place of the extractor's, of the same shape, centre and sparsity.

    A random SAE has no calibration, so its quantiles are those of its own activations on the texts of both sides. None
    where the anchor activates no feature of it.
    """
    from fac_datasets.sae.calibration import ActivationHistogram, find_calibration, token_activations
    from fac_datasets.sae.random_control import random_sae

    k = extractor.sae.config.k or round(float(find_calibration(extractor.feature_space).firing_rates.sum()))
    sae = random_sae(extractor.sae, k=k, seed=seed).to(extractor.backbone.device)
    histogram = ActivationHistogram(sae.config.d_sae)
    # A feature is active in a row where its maximum is above the threshold, so maxima over all tokens are enough.
    maxima = np.zeros((2, sae.config.d_sae), dtype=np.float32)
    for side, rows in enumerate((predictions, anchor)):
        for ids, values, _ in token_activations(extractor.backbone, sae, extractor.windows(rows), "sae"):
            histogram.update(ids, values)
            np.maximum.at(maxima[side], ids, values)
    quantiles = histogram.quantiles()
    shares: list[float | None] = []
    for threshold in thresholds:
        cutoffs = quantiles[QUANTILES.index(threshold)] if isinstance(threshold, str) else threshold
        active, anchor_active = maxima > cutoffs
        shares.append(float(active[anchor_active].mean()) if anchor_active.any() else None)
    return shares


def _values(report: CoverageReport) -> dict[str, Any]:
    values = report.to_dict()
    reason = {"no_interval": report.no_interval} if report.no_interval else {}
    return {key: values[key] for key in KEYS} | reason


def _curve(report: CoverageReport) -> list[tuple[int, float]]:
    return [(point.n_rows, point.fac) for point in report.rarefaction()]


def _lowest(thresholds: Sequence[Threshold]) -> Threshold:
    """The cut-off with which all thresholds can be used."""
    if len({isinstance(threshold, str) for threshold in thresholds}) == 1:
        return min(thresholds)
    return 0.0


def _measured(rows: Sequence[Any], extractor: FeatureExtractor) -> datasets.Dataset:
    """Feature columns of texts or chats."""
    import datasets

    dataset = datasets.Dataset.from_dict({"text": list(rows)})
    return dataset.map(extractor, batched=True, remove_columns=["text"], keep_in_memory=True)


@lru_cache(maxsize=2)
def _extractor(backbone: str, sae: str, layer: int | None, threshold: Threshold) -> FeatureExtractor:
    """One loaded extractor for repeated calls."""
    return FeatureExtractor(backbone, sae, layer, column="text", threshold=threshold, spans=False)
