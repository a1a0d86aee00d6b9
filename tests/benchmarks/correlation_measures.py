"""What `study_correlation` measures of a training set: coverage in several feature spaces, and diversity of its texts.

A row's largest activation of each feature is computed once a space, of the tokens that the classifier reads too. A set
activates what any of its rows does, so that its coverage at every threshold comes from the maximum over its rows.

Coverage is called `fac/{threshold}/{activation}/{weights}/{features}`: the SAE's own activation or plain ReLU of its
pre-activations; the trained SAE or one of random directions; all features of the anchor, or those that are relevant.
The anchor is the pool that all sets come from. Quantiles of the trained SAE are those that ship with it; those of the
random one are of the pool's own tokens, as `calibrate_sae` counts them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pyarrow as pa

from fac_datasets import FeatureExtractor, contrast_relevance, load_sae, relevant_features
from fac_datasets.backbone.model import Backbone
from fac_datasets.diversity import (
    compression_ratio,
    distinct_n,
    near_duplicate_rate,
    ngram_entropy,
    novelsum,
    pair_cosdist,
    pos_distinct_n,
    semantic_entropy,
    vendi_score,
)
from fac_datasets.feature_space import QUANTILES, FeatureSpace, Threshold, format_threshold
from fac_datasets.files.atomic import write_atomically
from fac_datasets.sae.calibration import ActivationHistogram, thresholds_of
from fac_datasets.sae.random_control import random_sae
from tests.benchmarks.detection import MAX_LENGTH

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fac_datasets.sae.model import SparseAutoencoder

THRESHOLDS: tuple[Threshold, ...] = (0.0, 1.0, 2.0, *QUANTILES)
SPACES = ("sae/trained", "sae/random", "relu/trained", "relu/random")
BATCH_TOKENS = 2_048

OF_TEXTS = (distinct_n, ngram_entropy, pos_distinct_n, compression_ratio, near_duplicate_rate)
OF_EMBEDDINGS = (pair_cosdist, semantic_entropy, vendi_score, novelsum)
NO_MEASURES = ("n_tokens", "semantic_entropy_k", "vendi_score_error")
"""What the functions say beside their values; numbers of rows stay, as the plainest measure of all."""


@dataclass(frozen=True)
class Space:
    """The rows of a task in one feature space."""

    name: str
    feature_space: FeatureSpace
    maxima: NDArray[np.float32]
    """Largest activation of each feature over a row's own tokens, [n_rows, d_sae]."""
    thresholds: dict[str, NDArray[np.float32]]
    """One a feature by name, [d_sae]."""

    def columns(self, texts: Sequence[str], sizes: NDArray[np.int64]) -> datasets.Dataset:
        """The first rows as a dataset with feature columns."""
        rows, ids = np.nonzero(self.maxima[: len(texts)])
        ends = pa.array(np.searchsorted(rows, np.arange(len(texts) + 1)).astype(np.int32))
        values = self.maxima[rows, ids]
        table = {
            "text": pa.array(texts),
            "feature_ids": pa.ListArray.from_arrays(ends, pa.array(ids.astype(np.int32))),
            "feature_activations": pa.ListArray.from_arrays(ends, pa.array(values)),
            "feature_tokens": pa.array(sizes[: len(texts)].astype(np.int32)),
            "feature_space": pa.array([str(self.feature_space)] * len(texts)),
        }
        return datasets.Dataset(pa.table(table))


@dataclass(frozen=True)
class Anchor:
    """What coverage is measured against in one space."""

    space: Space
    active: dict[str, NDArray[np.bool_]]
    """Which features the pool activates, by threshold, [d_sae]."""
    relevant: NDArray[np.int64]
    """Features that fire more in the pool's positive rows; none where rows have no labels."""

    @classmethod
    def of(cls, space: Space, texts: Sequence[str], labels: NDArray[np.bool_], sizes: NDArray[np.int64]) -> Anchor:
        """The anchor of a pool, of the first rows of a space.

        Args:
            space: with the pool's rows first.
            texts: of the pool.
            labels: of the pool's rows; all alike where none are labelled.
            sizes: own tokens.
        """
        largest = space.maxima[: len(texts)].max(axis=0)
        active = {name: largest > thresholds for name, thresholds in space.thresholds.items()}
        relevant = np.array([], np.int64)
        if 0 < labels.sum() < len(labels):
            columns = space.columns(texts, sizes)
            n = space.maxima.shape[1]
            table = datasets.Dataset.from_dict(
                {"feature_id": range(n), "feature_space": [str(space.feature_space)] * n}
            )
            sides = (columns.select(np.flatnonzero(labels == label)) for label in (True, False))
            judged = contrast_relevance(table, *sides)
            if any(judged["evidence"]):
                relevant = np.asarray(relevant_features(judged), np.int64)
        return cls(space, active, relevant)

    def fac(self, rows: NDArray[np.int64]) -> dict[str, float]:
        """Coverage of a set by threshold and features, of those that the pool activates; none where it has none."""
        largest = self.space.maxima[rows].max(axis=0)
        is_relevant = np.isin(np.arange(len(largest)), self.relevant)
        found = {}
        for name, of_anchor in self.active.items():
            covered = largest > self.space.thresholds[name]
            for features, wanted in (("all", of_anchor), ("relevant", of_anchor & is_relevant)):
                if wanted.any():
                    found[f"fac/{name}/{self.space.name}/{features}"] = float(covered[wanted].mean())
        return found


def diversity(texts: Sequence[str], embeddings: NDArray[np.floating]) -> dict[str, float]:
    """Every measure of a set's texts and of their embeddings, [n_rows, d]."""
    found: dict[str, Any] = {}
    for of_texts in OF_TEXTS:
        found |= of_texts(texts)
    for of_embeddings in OF_EMBEDDINGS:
        found |= of_embeddings(embeddings)
    return {name: float(value) for name, value in found.items() if name not in NO_MEASURES and value is not None}


def spaces(texts: Sequence[str], n_pool: int, folder: Path) -> list[Space]:
    """The rows of a task in every feature space, kept in a folder.

    Args:
        texts: the pool's rows first.
        n_pool: how many those are; their tokens calibrate the random SAE.
        folder: where maxima land.
    """
    saes = {"trained": "embedded", "random": str(folder / "random_sae")}
    if not (folder / "random_sae").exists():
        random_sae(load_sae("embedded"), seed=0).save_pretrained(saes["random"])
    file = folder / "maxima.npz"
    if not file.exists():
        write_npz(file, _extracted(texts, n_pool, saes))
    kept = np.load(file)
    found = []
    for name in SPACES:
        activation, weights = name.split("/")
        extractor = FeatureExtractor(
            sae=saes[weights], activation=activation, threshold=0, max_length=MAX_LENGTH, truncate=True
        )
        space = extractor.feature_space
        maxima = kept[f"{name}/maxima"]
        thresholds = {}
        for threshold in THRESHOLDS:
            if weights == "random" and isinstance(threshold, str):
                of_feature = kept[f"{name}/quantiles"][QUANTILES.index(threshold)]
            else:
                of_feature = thresholds_of(space, threshold, maxima.shape[1])
            thresholds[format_threshold(threshold)] = of_feature
        found.append(Space(name, replace(space, threshold=0.0), maxima, thresholds))
    return found


def _extracted(texts: Sequence[str], n_pool: int, saes: Mapping[str, str]) -> dict[str, NDArray[np.float32]]:
    """Maxima and quantiles of all spaces in one pass of the backbone."""
    import torch

    loaded = {weights: load_sae(name) for weights, name in saes.items()}
    first = loaded["trained"].config
    maxima = {name: np.zeros((len(texts), first.d_sae), np.float32) for name in SPACES}
    histograms = {name: ActivationHistogram(first.d_sae) for name in SPACES if name.endswith("random")}
    backbone = Backbone("embedded", first.layer)
    windows = backbone.windows(texts, render=backbone.info.renders[0], max_length=MAX_LENGTH, truncate=True)
    for batch in backbone.batches(windows, BATCH_TOKENS):
        sizes = [int(window.own.sum()) for window in batch.windows]
        of_rows = torch.split(backbone.own_vectors(batch).float(), sizes)
        for window, vectors in zip(batch.windows, of_rows, strict=True):
            with torch.inference_mode():
                before = {weights: sae.pre_activations(vectors) for weights, sae in loaded.items()}
            for name in SPACES:
                activation, weights = name.split("/")
                tokens = _activations(loaded[weights], before[weights], activation)
                maxima[name][window.row] = tokens.max(axis=0)
                if name in histograms and window.row < n_pool:
                    histograms[name].update(tokens.nonzero()[1], tokens[tokens > 0])
    found = {f"{name}/maxima": of_space for name, of_space in maxima.items()}
    return found | {f"{name}/quantiles": histogram.quantiles() for name, histogram in histograms.items()}


def _activations(sae: SparseAutoencoder, before: torch.Tensor, activation: str) -> NDArray[np.float32]:
    """Of each token and feature, from pre-activations, [n_tokens, d_sae]."""
    import torch

    with torch.inference_mode():
        found = sae.architecture.encode(before, sae.threshold) if activation == "sae" else before.relu()
    of_tokens: NDArray[np.float32] = found.numpy()
    return of_tokens


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays in one step."""
    stream = io.BytesIO()
    held: dict[str, Any] = dict(arrays)
    np.savez(stream, **held)
    write_atomically(path, stream.getvalue())
