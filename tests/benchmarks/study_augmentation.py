"""Do added samples, and rows chosen by coverage, make a better model?

    FAC_DATASETS_DATA=FOLDER python -m tests.benchmarks.study_augmentation --work FOLDER --synthesis FOLDER

writes `results/augmentation.json` and `augmentation.png`, in parts, of which `--parts` names some:

- A, `added_samples`: the seed of the setting `toxicity` of `study_synthesis` has no row of some harm categories. To it
  are added n samples of each arm, from the folder that `--synthesis` names, with labels of one labeller, or n real rows
  of the anchor with human labels. `auprc` is that of the library's logistic head on the half of the anchor which lent
  nothing, `auprc_left_out` that of the toxic rows of the left-out categories against all rows that are not toxic.
  `low`, `high`, `low_left_out` and `high_left_out` are their intervals; `gain` and `gain_left_out` what the samples add
  to the seed alone, `against_unguided` and `against_unguided_left_out` what they add over as many unguided ones. Arms
  that have not run stand under `not_run`; K runs `kmeans`, that of `kmeans_arm`.
- B, `selected_rows`: `auprc` of the same head on the test rows of `detection`, trained on 5 to 40 % of the train pool
  as each way of choosing keeps it; `against_random` is the difference to as many random rows.
- C, `selected_rows`: the loss of held-out answers after LoRA on 10 and 40 % of a pool of instructions, one epoch.

Intervals are 95 % of 1,000 bootstraps over seeds and test rows, the same draws for all that are compared. The second
setting of `study_synthesis` has no labels, and other categories left out would need other samples: neither is tested.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from fac_datasets.downstream.measures import auprc
from fac_datasets.errors import MissingExtra
from tests.benchmarks.added_samples import ALL_PASSED, REAL, SETTING, SOURCES, Added, sizes_of
from tests.benchmarks.detection import hidden_states, toxicity_rows
from tests.benchmarks.kmeans_arm import kmeans
from tests.benchmarks.record import RESULTS, interval, write_result
from tests.benchmarks.selected_rows import (
    EVERYTHING,
    INSTRUCTION_LENGTH,
    INSTRUCTION_SHARES,
    INSTRUCTION_WAYS,
    INSTRUCTIONS,
    SEEDED,
    SHARES,
    TEST_INSTRUCTIONS,
    WAYS,
    Detection,
    Instructions,
)
from tests.benchmarks.study_synthesis import arm_folder
from tests.benchmarks.synthesis_arms import BATCH, BUDGET, REMOVED, SEED, run_arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 1_000
LEFT_OUT = "+".join(REMOVED)
PLAIN, RANDOM = "unguided", "random_rows"
"""What samples, and ways of choosing, are compared with."""


Drawn = tuple[float, "NDArray[np.float64]"]
"""A value, and those of its redraws."""


def bootstrapped(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> Drawn:
    """AUPRC, a mean over seeds, and the same of redrawn seeds and rows.

    Args:
        scores: of each seed's head, [n_seeds, n_rows].
        labels: whether each row is positive, [n_rows].

    Returns:
        The value, and [DRAWS] values of redraws, which are of the same rows for all scores of as many rows, and of the
        same seeds for as many seeds.
    """
    rows = np.random.default_rng(SEED).integers(len(labels), size=(DRAWS, len(labels)))
    seeds = np.random.default_rng(SEED).integers(len(scores), size=(DRAWS, len(scores)))
    drawn = [
        np.mean([auprc(labels[some], scores[seed, some]) for seed in of_draw])
        for some, of_draw in zip(rows, seeds, strict=True)
    ]
    return float(np.mean([auprc(labels, of_seed) for of_seed in scores])), np.array(drawn)


def difference(one: Drawn, other: Drawn) -> dict[str, float]:
    """How much more one has than the other, with interval."""
    return interval(one[0] - other[0], one[1] - other[1])


def augmentation(added: Added) -> dict[str, Any]:
    """Part A: every arm that has run, at every number of samples."""
    test = added.sets["A2"]
    # All test rows, and those that tell the left-out categories from what is not toxic.
    parts = {"": np.ones(len(test.toxic), dtype=bool), "_left_out": test.left_out | ~test.toxic}
    rows = {source: added.rows(source) for source in SOURCES if added.has(source)}

    @cache
    def drawn(source: str, size: int, part: str) -> Drawn:
        # Nothing added is the same whatever is not added.
        source = source if size else REAL
        scores = added.scores(source, rows[source], size)
        return bootstrapped(scores[:, parts[part]], test.toxic[parts[part]])

    found: dict[str, dict[str, Any]] = {}
    for source, own in rows.items():
        for size in sizes_of(len(own.texts)):
            cell = found.setdefault(source, {})[str(size)] = {}
            for part in parts:
                here = drawn(source, size, part)
                of_here = interval(*here)
                cell |= {f"auprc{part}": here[0], f"low{part}": of_here["low"], f"high{part}": of_here["high"]}
                if size:
                    cell[f"gain{part}"] = difference(here, drawn(source, 0, part))
                if size and source != PLAIN and PLAIN in rows and size <= len(rows[PLAIN].texts):
                    cell[f"against_{PLAIN}{part}"] = difference(here, drawn(PLAIN, size, part))
            print(f"{source} {size}: {cell['auprc']:.3f}, left out {cell['auprc_left_out']:.3f}", flush=True)
    return {
        LEFT_OUT: found,
        "samples": {source: {"rows": len(own.texts), "toxic": int(own.toxic.sum())} for source, own in rows.items()},
        "sets": {
            name: {"rows": len(one.texts), "toxic": int(one.toxic.sum()), "of_left_out": int(one.left_out.sum())}
            for name, one in added.sets.items()
        },
        "labeller": added.of_labeller,
        "generated_on": json.loads((added.synthesis / "machines.json").read_text()),
        "not_run": [source for source in SOURCES if source not in rows],
    }


def selection(task: Detection) -> dict[str, Any]:
    """Part B: every way of choosing, at every share."""
    found: dict[str, dict[str, Any]] = {}
    drawn: dict[tuple[str, float], Drawn] = {}
    missing: dict[str, str] = {}
    for way, share in [*((way, share) for way in WAYS for share in SHARES), (EVERYTHING, 1.0)]:
        try:
            runs = [task.measured(way, share, seed) for seed in range(SEEDED.get(way, 1))]
        except MissingExtra as error:
            missing[way] = str(error)
            continue
        drawn[way, share] = bootstrapped(np.array([run["scores"] for run in runs]), task.test_labels)
        of_value = interval(*drawn[way, share])
        found.setdefault(way, {})[str(share)] = {
            **{name: float(np.mean([run[name] for run in runs])) for name in ("rows", "toxic", "tokens")},
            "seeds": len(runs),
            "auprc": of_value["value"],
            "low": of_value["low"],
            "high": of_value["high"],
        }
        print(f"{way} {share}: {of_value['value']:.3f}", flush=True)
    for way, share in drawn:
        if way != RANDOM and (RANDOM, share) in drawn:
            found[way][str(share)]["against_random"] = difference(drawn[way, share], drawn[RANDOM, share])
    labels = {name: task.rows.labels[rows] for name, rows in task.rows.split.items()}
    counts = {name: {"rows": len(one), "toxic": int(one.sum())} for name, one in labels.items()}
    return {"selection": found, "selection_sets": counts, "selection_not_measured": missing}


def instructions(task: Instructions) -> dict[str, Any]:
    """Part C: four ways of choosing, at two shares."""
    found: dict[str, dict[str, Any]] = {}
    for share in INSTRUCTION_SHARES:
        for way in INSTRUCTION_WAYS:
            found.setdefault(way, {})[str(share)] = measured = task.measured(way, share)
            print(f"{way} {share}: {measured['response_loss']:.4f} in {measured['seconds']:.0f} s", flush=True)
    pool = {"pool": INSTRUCTIONS, "test": TEST_INSTRUCTIONS, "max_length": INSTRUCTION_LENGTH, "seeds": 1}
    return {"instructions": found, "instruction_sets": pool}


SHARE = "rows kept, % of the pool"
PANELS = {
    LEFT_OUT: ("samples added", "AUPRC of left-out categories", "auprc_left_out", ("low_left_out", "high_left_out")),
    "selection": (SHARE, "AUPRC of toxicity", "auprc", ("low", "high")),
    "instructions": (SHARE, "loss of held-out answers, nats a token", "response_loss", None),
}
"""Of what is measured: both axes, the figure shown, and its interval."""


def plot(figures: Mapping[str, Any], path: Path) -> None:
    """What samples add by their number, and what chosen rows are worth by their share, of the parts measured."""
    from matplotlib.figure import Figure

    shown = [name for name in PANELS if name in figures]
    figure = Figure(figsize=(5.2 * len(shown), 4.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        x_label, y_label, value, ends = PANELS[name]
        curves = {label: cells for label, cells in figures[name].items() if label != EVERYTHING}
        scale, apart = (1, 3.0) if name == LEFT_OUT else (100, 0.3)
        for place, (label, cells) in enumerate(curves.items()):
            # Beside each other, so that intervals can be told apart.
            x = [scale * float(at) + apart * (place - len(curves) / 2) for at in cells]
            y, *bounds = (np.array([cell[one] for cell in cells.values()]) for one in (value, *(ends or ())))
            axes.errorbar(
                x,
                y,
                yerr=[abs(y - bound) for bound in bounds] or None,
                marker="o",
                markersize=3,
                linewidth=2.5 if label in (REAL, RANDOM) else 1.2,
                linestyle="--" if label.endswith(ALL_PASSED) else "-",
                elinewidth=0.6,
                label=label.replace("_", " "),
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder where each unit lands")
    parser.add_argument("--synthesis", type=Path, required=True, help="the folder of study_synthesis")
    parser.add_argument("--parts", default="K,A,B,C", help="parts to do; the result has no others")
    given = parser.parse_args()
    work: Path = given.work
    parts = given.parts.split(",")
    datasets.disable_progress_bars()
    states = hidden_states(work)
    figures: dict[str, Any] = {"parts": parts}
    if "B" in parts:
        figures |= selection(Detection(toxicity_rows(), states, work))
    if "C" in parts:
        figures |= instructions(Instructions(work))
    added = Added(given.synthesis, states, work)
    if "K" in parts:
        from fac_datasets.generation.local import LocalGenerator

        run_arm(added.setting, kmeans, LocalGenerator(batch_size=BATCH), arm_folder(given.synthesis, SETTING, "kmeans"))
    if "A" in parts:
        figures |= {"budget": BUDGET, **augmentation(added)}
    print(write_result("augmentation", figures))
    plot(figures, RESULTS / "augmentation.png")


if __name__ == "__main__":
    main()
