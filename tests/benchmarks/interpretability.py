"""Are the features of an SAE interpretable? Top spans, and how well a feature's usual tokens predict where it fires.

    python -m tests.benchmarks.interpretability --sae FOLDER --corpus FOLDER

adds `interpretability` to the SAE's `report.json`. Fifty features with a firing rate between 1e-4 and 1e-1 are drawn at
random. For each, the mean activation of every vocabulary entry is taken on the calibration text (0 for entries outside
its twenty strongest); on held-out text that mean is the prediction of whether the feature fires at a token, and AUROC
says how good it is. The same is done for an SAE of the same shape with random weights. Spans are quoted from the
Wikipedia extracts only, whose licence (CC BY-SA 4.0) permits it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from fac_datasets import Backbone, SparseAutoencoder, load_sae
from fac_datasets.backbone.windows import Window
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.loading import load_rows
from fac_datasets.sae.random_control import random_sae

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURES, RATES, TOP_TOKENS, TOP_SPANS, SEED = 50, (1e-4, 1e-1), 20, 5, 0
QUOTABLE = "encyclopedia"
"""The kind of text whose source may be quoted."""
CONTEXT = 60
"""Characters of a span before its token."""


class Firings(NamedTuple):
    """Where the features of an SAE fired in a text."""

    n_tokens: int
    vocabulary_ids: NDArray[np.int64]
    """Of each own token, [n_tokens]."""
    tokens: NDArray[np.int64]
    """Own token of each activation, [n]."""
    ids: NDArray[np.int64]
    """Feature of each activation, [n]."""
    values: NDArray[np.float32]
    """Activation, [n]."""


def residuals(backbone: Backbone, windows: list[Window]) -> list[tuple[list[int], torch.Tensor]]:
    """The residual vectors of the own tokens of batches of windows."""
    return [(batch.indices, backbone.own_vectors(batch)) for batch in backbone.batches(windows, 4096)]


def firings(sae: SparseAutoencoder, windows: list[Window], vectors: list[tuple[list[int], torch.Tensor]]) -> Firings:
    """Where features fired, tokens counted over the batches."""
    vocabulary, tokens, ids, values, done = [], [], [], [], 0
    for indices, batch in vectors:
        vocabulary += [windows[i].token_ids[windows[i].own] for i in indices]
        found = sae.active_features(batch)
        tokens.append(found.tokens.numpy() + done)
        ids.append(found.ids.numpy())
        values.append(found.values.numpy())
        done += len(batch)
    return Firings(
        done, np.concatenate(vocabulary), np.concatenate(tokens), np.concatenate(ids), np.concatenate(values)
    )


def token_means(fit: Firings, feature: int, n_vocabulary: int) -> NDArray[np.float64]:
    """Mean activation of each vocabulary entry, of the strongest ones only, [n_vocabulary]."""
    of_feature = fit.ids == feature
    totals = np.bincount(
        fit.vocabulary_ids[fit.tokens[of_feature]], weights=fit.values[of_feature], minlength=n_vocabulary
    )
    means = totals / np.maximum(np.bincount(fit.vocabulary_ids, minlength=n_vocabulary), 1)
    means[means < np.sort(means)[-TOP_TOKENS]] = 0
    return means


def auroc(scores: NDArray[np.float64], fired: NDArray[np.bool_]) -> float:
    """Chance that a token where the feature fired scores above one where it did not; ties count half."""
    order, ranks = np.unique(scores, return_inverse=True)
    of_fired = np.bincount(ranks[fired], minlength=len(order))
    of_others = np.bincount(ranks[~fired], minlength=len(order))
    below = of_others.cumsum() - of_others
    return float((of_fired * (below + 0.5 * of_others)).sum() / (of_fired.sum() * of_others.sum()))


def judge(fit: Firings, test: Firings, d_sae: int) -> dict[int, float]:
    """AUROC of the features that are drawn; a feature that fires nowhere in the test text cannot be drawn."""
    rates = np.bincount(fit.ids, minlength=d_sae) / fit.n_tokens
    fires = np.bincount(test.ids, minlength=d_sae) > 0
    eligible = np.flatnonzero((rates >= RATES[0]) & (rates <= RATES[1]) & fires)
    drawn = np.sort(np.random.default_rng(SEED).choice(eligible, min(FEATURES, len(eligible)), replace=False))
    n_vocabulary = int(max(fit.vocabulary_ids.max(), test.vocabulary_ids.max())) + 1
    result = {}
    for feature in drawn.tolist():
        fired = np.zeros(test.n_tokens, dtype=bool)
        fired[test.tokens[test.ids == feature]] = True
        result[feature] = auroc(token_means(fit, feature, n_vocabulary)[test.vocabulary_ids], fired)
    return result


def top_spans(
    feature: int, texts: list[str], windows: list[Window], vectors: list[tuple[list[int], torch.Tensor]], found: Firings
) -> list[dict[str, Any]]:
    """The strongest places of a feature, one a row, with the text before them."""
    places = [(i, position) for indices, _ in vectors for i in indices for position in np.flatnonzero(windows[i].own)]
    spans: dict[int, dict[str, Any]] = {}
    of_feature = np.flatnonzero(found.ids == feature)
    for activation in of_feature[np.argsort(-found.values[of_feature], kind="stable")]:
        index, position = places[found.tokens[activation]]
        window = windows[index]
        end = int(window.ends[position])
        spans.setdefault(
            window.row,
            {
                "text": texts[window.row][max(0, end - CONTEXT) : end],
                "token": texts[window.row][int(window.starts[position]) : end],
                "activation": round(float(found.values[activation]), 3),
            },
        )
        if len(spans) == TOP_SPANS:
            break
    return list(spans.values())


def summary(values: dict[int, float]) -> dict[str, Any]:
    """Quartiles of AUROCs, and all of them."""
    ordered = list(values.values())
    q25, median, q75 = np.quantile(ordered, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "q25": q25, "q75": q75, "features": {str(k): round(v, 4) for k, v in values.items()}}


def measure(sae_folder: Path, corpus: Path) -> dict[str, Any]:
    """The evidence for one SAE."""
    sae = load_sae(sae_folder)
    backbone = Backbone("embedded", sae.config.layer)
    rows = {split: load_rows(str(corpus / split / "texts.jsonl")) for split in ("calibration", "held_out")}
    windows = {split: backbone.windows(texts["text"], render="chat", max_length=512) for split, texts in rows.items()}
    vectors = {split: residuals(backbone, found) for split, found in windows.items()}
    aurocs = {}
    for name, candidate in (("trained", sae), ("random", random_sae(sae, seed=SEED))):
        fit, test = (firings(candidate, windows[split], vectors[split]) for split in ("calibration", "held_out"))
        aurocs[name] = judge(fit, test, sae.config.d_sae)
    texts = [row["text"] if row["kind"] == QUOTABLE else "" for row in (*rows["calibration"], *rows["held_out"])]
    quoted = backbone.windows(texts, render="chat", max_length=512)
    quoted_vectors = residuals(backbone, quoted)
    found = firings(sae, quoted, quoted_vectors)
    return {
        "features": len(aurocs["trained"]),
        "rates": list(RATES),
        "seed": SEED,
        "fit_tokens": sum(len(batch) for _, batch in vectors["calibration"]),
        "test_tokens": sum(len(batch) for _, batch in vectors["held_out"]),
        "auroc": {name: summary(values) for name, values in aurocs.items()},
        "spans_licence": "Wikipedia, CC BY-SA 4.0",
        "spans": {
            str(feature): top_spans(feature, texts, quoted, quoted_vectors, found) for feature in aurocs["trained"]
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sae", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    arguments = parser.parse_args()
    path = arguments.sae / "report.json"
    report = json.loads(path.read_text())
    report["interpretability"] = measure(arguments.sae, arguments.corpus)
    write_atomically(path, (json.dumps(report, indent=2) + "\n").encode())
    for name, values in report["interpretability"]["auroc"].items():
        print(f"{name}: median AUROC {values['median']:.3f} [{values['q25']:.3f}, {values['q75']:.3f}]")
