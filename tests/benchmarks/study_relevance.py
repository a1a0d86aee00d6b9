"""Do the features that the contrast chooses carry what all features carry about a human label?

    FAC_DATASETS_DATA=FOLDER python -m tests.benchmarks.study_relevance --cache FOLDER

writes `results/relevance.json` and `relevance.png`. The 1,680 human-labelled prompts of `toxicity` (522 with a harm)
are halved at random ten times. On one half features are chosen and a plain logistic regression on their standardised
activations is fitted; the other half is scored once. Chosen are the features with the largest contrast, less those
whose activation correlates by 0.5 or more with a better one. Beside them stand the same without that, random features,
all features, and the same choice among the features of a random SAE. Stability is the overlap (Jaccard) of the 50
features chosen on one half with those chosen on the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import datasets
import numpy as np
import scipy.sparse
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from fac_datasets import FeatureExtractor, load_sae
from fac_datasets.coverage import flatten
from fac_datasets.interpretation.contrast import contrast, distinct_features
from fac_datasets.sae.random import random_sae
from tests.benchmarks.data import TOXICITY
from tests.benchmarks.record import RESULTS, write_result

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS, SIZES, STABLE = 10, (5, 10, 20, 50, 100, 200, 500), 50


class Rows(NamedTuple):
    """Labelled rows with feature columns, and the same as a matrix."""

    columns: datasets.Dataset
    activations: NDArray[np.float32]
    """[n_rows, d_sae]"""
    labels: NDArray[np.int64]
    """1 for a harm, [n_rows]."""


def extracted(cache: Path, name: str) -> Rows:
    """The prompts under the embedded SAE or a random one of its shape."""
    folder = cache / name
    if not folder.exists():
        rows = [
            {"text": row["prompt"], "toxic": int(any(value == 1 for key, value in row.items() if key != "prompt"))}
            for row in TOXICITY.rows()
        ]
        sae = "embedded"
        if name == "random":
            sae = str(cache / "random_sae")
            random_sae(load_sae("embedded"), seed=0).save_pretrained(sae)
        extractor = FeatureExtractor(sae=sae, threshold=0)
        datasets.Dataset.from_list(rows).map(extractor, batched=True, batch_size=200).save_to_disk(folder)
    kept = datasets.load_from_disk(folder)
    table = kept.with_format("arrow")[:]
    lengths, ids = flatten(table["feature_ids"], np.int64)
    values = flatten(table["feature_activations"], np.float32)[1]
    shape = (len(kept), load_sae("embedded").config.d_sae)
    matrix = scipy.sparse.csr_matrix((values, ids, np.concatenate([[0], lengths.cumsum()])), shape=shape)
    names = [column for column in kept.column_names if column.startswith("feature_")]
    return Rows(kept.select_columns(names), matrix.toarray(), np.array(kept["toxic"]))


def ranking(rows: Rows, half: NDArray[np.int64]) -> NDArray[np.int64]:
    """All features by falling contrast, of either direction, on some rows."""
    labels = rows.labels[half]
    positive, background = (rows.columns.select(half[labels == label]) for label in (1, 0))
    found = contrast(positive, background, np.arange(rows.activations.shape[1]))
    return np.argsort(-np.abs(found.effect), kind="stable")


def scores(rows: Rows, fit: NDArray[np.int64], test: NDArray[np.int64], features: NDArray[np.int64]) -> list[float]:
    """AUROC and average precision on the test half of a regression fitted on the other."""
    scaler = StandardScaler().fit(rows.activations[fit][:, features])
    model = LogisticRegression(max_iter=5_000)
    model.fit(scaler.transform(rows.activations[fit][:, features]), rows.labels[fit])
    told = model.decision_function(scaler.transform(rows.activations[test][:, features]))
    return [roc_auc_score(rows.labels[test], told), average_precision_score(rows.labels[test], told)]


def split(trained: Rows, random: Rows, seed: int) -> dict[str, Any]:
    """Everything measured on one pair of halves."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(trained.labels))
    fit, test = order[: len(order) // 2], order[len(order) // 2 :]
    d_sae = trained.activations.shape[1]
    found: dict[str, Any] = {}
    for name, rows in (("trained", trained), ("random_sae", random)):
        ranked = ranking(rows, fit)
        distinct = distinct_features(rows.columns.select(fit), ranked, max(SIZES))
        found[name] = {size: scores(rows, fit, test, distinct[:size]) for size in SIZES}
        found[f"{name}_all"] = scores(rows, fit, test, np.arange(d_sae))
        if name == "trained":
            found["with_alike"] = {size: scores(rows, fit, test, ranked[:size]) for size in SIZES}
            there = distinct_features(rows.columns.select(test), ranking(rows, test), STABLE)
            shared = len(np.intersect1d(distinct[:STABLE], there))
            found["stability"] = shared / (2 * STABLE - shared)
    drawn = generator.permutation(d_sae)
    found["random_features"] = {size: scores(trained, fit, test, drawn[:size]) for size in SIZES}
    return found


def summary(values: list[float]) -> dict[str, Any]:
    """Mean over the splits, with the 95 % t interval as if they were independent, and every split."""
    mean, error = float(np.mean(values)), float(scipy.stats.sem(values))
    half = float(scipy.stats.t.ppf(0.975, len(values) - 1)) * error
    return {"mean": mean, "low": mean - half, "high": mean + half, "splits": values}


def plot(figures: dict[str, Any], path: Path) -> None:
    """AUROC against the number of features."""
    import matplotlib.pyplot as plt

    labels = {
        "trained": "chosen by contrast, none alike",
        "with_alike": "chosen by contrast, alike ones too",
        "random_features": "random features",
        "random_sae": "chosen by contrast, random SAE",
    }
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, label in labels.items():
        parts = [figures["auroc"][name][str(size)] for size in SIZES]
        (line,) = axis.plot(SIZES, [part["mean"] for part in parts], marker="o", label=label)
        axis.fill_between(
            SIZES, [part["low"] for part in parts], [part["high"] for part in parts], alpha=0.2, color=line.get_color()
        )
    axis.axhline(figures["auroc_all"], color="black", linestyle="--", linewidth=1, label="all 8,192 features")
    axis.set_xscale("log", base=10)
    axis.set_xticks(SIZES, [str(size) for size in SIZES])
    axis.minorticks_off()
    axis.set_xlabel("features")
    axis.set_ylabel("AUROC on the other half")
    axis.set_title("Telling harmful prompts from others by few features", loc="left")
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, required=True, help="folder for feature columns")
    cache: Path = parser.parse_args().cache
    cache.mkdir(parents=True, exist_ok=True)
    trained, random = (extracted(cache, name) for name in ("trained", "random"))
    found = []
    for seed in range(SPLITS):
        found.append(split(trained, random, seed))
        print(
            f"split {seed + 1} of {SPLITS}: 50 features {found[-1]['trained'][STABLE][0]:.3f}, all "
            f"{found[-1]['trained_all'][0]:.3f}",
            flush=True,
        )
    groups = ("trained", "with_alike", "random_features", "random_sae")
    measures = {
        measure: {
            **{
                name: {str(size): summary([one[name][size][place] for one in found]) for size in SIZES}
                for name in groups
            },
            **{name: summary([one[name][place] for one in found]) for name in ("trained_all", "random_sae_all")},
        }
        for place, measure in enumerate(("auroc", "average_precision"))
    }
    top, everything = (
        [one["trained"][STABLE][0] for one in found],
        [one["trained_all"][0] for one in found],
    )
    figures = {
        "rows": len(trained.labels),
        "positive_rows": int(trained.labels.sum()),
        "splits": SPLITS,
        "alike": 0.5,
        "auroc_top50": float(np.mean(top)),
        "auroc_random50": measures["auroc"]["random_features"]["50"]["mean"],
        "auroc_all": float(np.mean(everything)),
        "share_of_all": summary([one / other for one, other in zip(top, everything, strict=True)]),
        "stability": float(np.mean([one["stability"] for one in found])),
        "stability_splits": [one["stability"] for one in found],
        **measures,
    }
    plot(figures, RESULTS / "relevance.png")
    print(write_result("relevance", figures))
    for name in ("auroc_top50", "auroc_random50", "auroc_all", "stability"):
        print(f"{name}: {figures[name]:.3f}")


if __name__ == "__main__":
    main()
