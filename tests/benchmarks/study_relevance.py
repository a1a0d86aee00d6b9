"""Do the features that the contrast chooses carry what all features carry about a human label?

    FAC_DATASETS_DATA=FOLDER python -m tests.benchmarks.study_relevance --cache FOLDER

writes `results/relevance.json` and `relevance.png`. The 1,680 human-labelled prompts of `toxicity` (522 with a harm)
are halved at random ten times; prompts that repeat another but for case and spaces stay in its half. On one half
features are chosen and a plain logistic regression on their standardised activations is fitted; the other half is
scored once. Chosen is by the library's own functions:

- `distinct`: `contrast_relevance`, then `distinct_features`: largest contrast in either direction, none alike;
- `with_alike`: largest contrast in either direction;
- `firing_more`: largest contrast above 0, the order of the features that `relevant_features` gives as evidence.

Beside them stand random features, all features, and `distinct` among the features of a random SAE. Stability is the
overlap (Jaccard) of the 50 features that `distinct` chooses on one half with those on the other. What counts as alike,
a correlation of 0.5, was not chosen on other data; `alike` in the result says what other values give.
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

from fac_datasets import FeatureExtractor, contrast_relevance, distinct_features, load_sae
from fac_datasets.coverage.active_rows import flatten
from fac_datasets.sae.random_control import random_sae
from tests.benchmarks.data import TOXICITY, plain
from tests.benchmarks.record import RESULTS, write_result

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS, SIZES, STABLE, ALIKE = 10, (5, 10, 20, 50, 100, 200, 500), 50, (0.3, 0.5, 0.7, 0.9)


class Rows(NamedTuple):
    """Labelled rows with feature columns, and the same as a matrix."""

    columns: datasets.Dataset
    activations: NDArray[np.float32]
    """[n_rows, d_sae]"""
    labels: NDArray[np.int64]
    """1 for a harm, [n_rows]."""
    texts: NDArray[np.int64]
    """Number of each row's text, equal for texts that differ in case and spaces alone, [n_rows]."""


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
    texts = np.unique([plain(text) for text in kept["text"]], return_inverse=True)[1]
    return Rows(kept.select_columns(names), matrix.toarray(), np.array(kept["toxic"]), texts)


def halves(rows: Rows, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two random halves of the rows, without a text that stands in both."""
    order = generator.permutation(rows.texts.max() + 1)[rows.texts]
    sorted_rows = np.argsort(order, kind="stable")
    middle = len(order) // 2
    while order[sorted_rows[middle]] == order[sorted_rows[middle - 1]]:
        middle += 1
    return sorted_rows[:middle], sorted_rows[middle:]


def judged(rows: Rows, half: NDArray[np.int64]) -> datasets.Dataset:
    """A table of all features with their contrast on some rows."""
    labels = rows.labels[half]
    positive, background = (rows.columns.select(half[labels == label]) for label in (1, 0))
    n = rows.activations.shape[1]
    table = {"feature_id": range(n), "feature_space": [rows.columns[0]["feature_space"]] * n}
    return contrast_relevance(datasets.Dataset.from_dict(table), positive, background)


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
    fit, test = halves(trained, generator)
    d_sae = trained.activations.shape[1]
    found: dict[str, Any] = {}

    def measure(rows: Rows, features: NDArray[np.int64]) -> dict[int, list[float]]:
        return {size: scores(rows, fit, test, features[:size]) for size in SIZES}

    for name, rows in (("distinct", trained), ("random_sae", random)):
        table, fitted = judged(rows, fit), rows.columns.select(fit)
        distinct = distinct_features(table, fitted, max(SIZES))
        found[name] = measure(rows, distinct)
        found[f"{name}_all"] = scores(rows, fit, test, np.arange(d_sae))
        if name == "random_sae":
            continue
        effect = np.asarray(table["contrast"])
        found["with_alike"] = measure(rows, np.argsort(-np.abs(effect), kind="stable"))
        found["firing_more"] = measure(rows, np.argsort(-effect, kind="stable"))
        found["relevant"] = sum("contrast" in kinds for kinds in table["evidence"])
        found["alike"] = {
            alike: scores(rows, fit, test, distinct_features(table, fitted, STABLE, alike=alike)) for alike in ALIKE
        }
        there = distinct_features(judged(rows, test), rows.columns.select(test), STABLE)
        shared = len(np.intersect1d(distinct[:STABLE], there))
        found["stability"] = shared / (2 * STABLE - shared)
    found["random_features"] = measure(trained, generator.permutation(d_sae))
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
        "distinct": "largest contrast, none alike",
        "with_alike": "largest contrast, alike ones too",
        "firing_more": "firing more in harmful prompts, alike ones too",
        "random_features": "random features",
        "random_sae": "largest contrast, none alike, random SAE",
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
            f"split {seed + 1} of {SPLITS}: 50 features {found[-1]['distinct'][STABLE][0]:.3f}, all "
            f"{found[-1]['distinct_all'][0]:.3f}",
            flush=True,
        )
    groups = ("distinct", "with_alike", "firing_more", "random_features", "random_sae")
    measures: dict[str, Any] = {}
    for place, measure in enumerate(("auroc", "average_precision")):
        of_all = [one["distinct_all"][place] for one in found]
        measures[measure] = {
            **{
                name: {str(size): summary([one[name][size][place] for one in found]) for size in SIZES}
                for name in groups
            },
            "all": summary(of_all),
            "random_sae_all": summary([one["random_sae_all"][place] for one in found]),
            "alike": {str(alike): summary([one["alike"][alike][place] for one in found]) for alike in ALIKE},
            "share_of_all": {
                name: summary([one[name][STABLE][place] / whole for one, whole in zip(found, of_all, strict=True)])
                for name in groups
            },
        }
    figures = {
        "rows": len(trained.labels),
        "positive_rows": int(trained.labels.sum()),
        "repeated_rows": len(trained.labels) - int(trained.texts.max()) - 1,
        "splits": SPLITS,
        "auroc_top50": measures["auroc"]["distinct"]["50"]["mean"],
        "auroc_random50": measures["auroc"]["random_features"]["50"]["mean"],
        "auroc_all": measures["auroc"]["all"]["mean"],
        "stability": float(np.mean([one["stability"] for one in found])),
        "stability_splits": [one["stability"] for one in found],
        "relevant_splits": [one["relevant"] for one in found],
        **measures,
    }
    # The record first: it says whether anything was changed before.
    print(write_result("relevance", figures))
    plot(figures, RESULTS / "relevance.png")
    for name in ("auroc_top50", "auroc_random50", "auroc_all", "stability"):
        print(f"{name}: {figures[name]:.3f}")
    for measure in ("auroc", "average_precision"):
        for name, share in measures[measure]["share_of_all"].items():
            print(f"{measure} of 50 over all, {name}: {share['mean']:.3f} [{share['low']:.3f}, {share['high']:.3f}]")


if __name__ == "__main__":
    main()
