"""Comparing features: the definition spelled out, and how far two sets may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fac_datasets import FeatureExtractor

Features = dict[int, float]


def features_of(columns: Mapping[str, Any]) -> list[Features]:
    """Each row's active features with their activations."""
    return [
        dict(zip(map(int, ids), map(float, values), strict=True))
        for ids, values in zip(columns["feature_ids"], columns["feature_activations"], strict=True)
    ]


def dense_features(extractor: FeatureExtractor, text: str) -> Features:
    """The definition: one text, no batch, no shared prefix, every pre-activation, the maximum over own tokens."""
    (window,) = extractor.windows([text])
    residual = extractor.backbone.residual([window])[0][torch.from_numpy(window.own)]
    sae = extractor.sae
    pre = (residual * sae.config.input_scale - sae.b_dec) @ sae.W_enc + sae.b_enc
    if extractor.activation == "sae":
        pre = pre * torch.zeros_like(pre).scatter(-1, pre.topk(sae.config.k or 1).indices, 1.0)
    return {i: value for i, value in enumerate(pre.relu().max(dim=0).values.tolist()) if value > 0}


def differing(first: Sequence[Features], second: Sequence[Features]) -> int:
    """Entries in one only, or of different activation; a difference within 1e-4 of a decision is none."""
    return sum(abs(a.get(i, 0.0) - b.get(i, 0.0)) > 1e-4 for a, b in zip(first, second, strict=True) for i in {*a, *b})


def assert_same_features(first: Sequence[Features], second: Sequence[Features]) -> None:
    """Equal but for at most one entry in 10,000, where a deciding value lies within 1e-4."""
    entries = sum(map(len, first))
    assert entries
    assert differing(first, second) <= entries / 10_000
