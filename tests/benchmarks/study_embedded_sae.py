"""Which layer, width and k the embedded SAE should have: several small SAEs, trained and judged alike.

    python -m tests.benchmarks.study_embedded_sae --corpus FOLDER --work FOLDER

trains one SAE a variant on the same rows of the corpus of `embedded_corpus.py`, judges it on held-out text of every
kind, and writes `results/embedded_sae_study.json` and `.png`. Run again, it continues. Activations of layer 15 are
shared with `make embedded-sae` where FOLDER is its `build`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fac_datasets import Backbone, TrainingConfig, evaluate_sae, train_sae
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.loading import load_rows
from tests.benchmarks.record import RESULTS, write_result

TOKENS, PASSES, HELD_OUT_TOKENS = 131_072, 4, 1_500
VARIANTS: dict[str, dict[str, Any]] = {
    "layer 10": {"layer": 10},
    "layer 15": {"layer": 15},
    "layer 20": {"layer": 20},
    "layer 15, k 16": {"layer": 15, "k": 16},
    "layer 15, k 48": {"layer": 15, "k": 48},
    "layer 15, k 64": {"layer": 15, "k": 64},
    "layer 15, 4096 features": {"layer": 15, "d_sae": 4096},
    "layer 15, 16384 features, tied": {"layer": 15, "d_sae": 16384, "tied": True},
}


def measure(corpus: Path, work: Path, layer: int, **settings: Any) -> dict[str, Any]:
    """Train and judge one variant."""
    train, held_out = (
        [load_rows(str(corpus / split / f"{name}.jsonl")) for name in ("texts", "chats")]
        for split in ("train", "held_out")
    )
    config = TrainingConfig(n_tokens=TOKENS, passes=PASSES, chunk_tokens=131_072, **settings)
    folder = work / "study" / "-".join([f"layer{layer}", *(f"{name}{value}" for name, value in settings.items())])
    train_sae(
        Backbone("embedded", layer, dtype="bfloat16"),
        train,
        config,
        folder,
        cache_dir=work / f"activations-l{layer}",
    )
    path = folder / f"report-{HELD_OUT_TOKENS}.json"
    if not path.exists():
        report = evaluate_sae("embedded", folder, held_out, kind_column="kind", max_tokens=HELD_OUT_TOKENS)
        write_atomically(path, json.dumps(report).encode())
    report = json.loads(path.read_text())
    kept = ("fvu", "l0", "dead_share", "cosine", "loss_recovered", "tokens")
    return {
        **{name: report[name] for name in kept},
        "kinds": {kind: {name: part[name] for name in kept} for kind, part in report["kinds"].items()},
        "megabytes_in_float16": sum(2 * t.numel() for t in _parameters(folder)) / 1e6,
    }


def _parameters(folder: Path) -> list[Any]:
    from fac_datasets import load_sae

    return list(load_sae(folder).parameters())


def plot_study(results: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """FVU and loss recovered of several SAEs: of all text, and of the kind that each does worst on."""
    figure = Figure(figsize=(10, 4.2), dpi=120, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = list(results)
    for axes, name, worst, label in (
        (panels[0], "fvu", max, "fraction of variance unexplained"),
        (panels[1], "loss_recovered", min, "loss recovered"),
    ):
        axes.plot([results[n][name] for n in names], names, "o", label="all held-out text")
        axes.plot([worst(k[name] for k in results[n]["kinds"].values()) for n in names], names, "x", label="worst kind")
        axes.set_xlabel(label)
        axes.grid(axis="y", alpha=0.3)
    panels[0].invert_yaxis()
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    results = {}
    for name, variant in VARIANTS.items():
        results[name] = {"settings": variant, **measure(arguments.corpus, arguments.work, **variant)}
        print(name, {k: round(v, 4) for k, v in results[name].items() if isinstance(v, float)}, flush=True)
    write_result(
        "embedded_sae_study",
        {"tokens": TOKENS, "passes": PASSES, "held_out_tokens_a_kind": HELD_OUT_TOKENS, "variants": results},
    )
    plot_study(results, RESULTS / "embedded_sae_study.png")
