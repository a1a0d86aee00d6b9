"""Does coverage of a training set go with what a classifier learns from it, more than diversity of its texts does?

    FAC_DATASETS_DATA=FOLDER python -m tests.benchmarks.study_correlation --work FOLDER [--only NAME,NAME]

writes `results/correlation.json` and `correlation.png`. Of the pool of each task (`correlation_tasks`) training sets of
equal own tokens and labels are made in families that differ in coverage (`correlation_sets`), each variant drawn three
times. A logistic head on hidden states is trained on each set, and its AUPRC goes with every measure of the set
(`correlation_measures`) more or less:

- `pearson`, `spearman`: by `{task}/{measure}`, over all sets, with AUPRC on the test rows;
- `without_coverage_selected`: the same without the sets that coverage chose; `within_family`: less the means of
  families; `given_n_rows`: less what the number of rows tells, since sets of equal tokens differ in it;
- `chosen`: of each kind of coverage the threshold whose correlation on the validation rows is largest, and of the
  measures of texts the one whose correlation there is strongest; `against` compares them on the test rows;
- `deviation` between the draws of a variant, `spread` of the means of variants, and a verdict, which is `uninformative`
  where the spread is less than twice the deviation, or planted differences are not seen; `reliability` bounds what any
  measure could reach.

Intervals are 95 % of 2,000 bootstraps over variants. The anchor is the pool that all sets come from; a feature is
relevant where it fires more in the toxic rows of the pool. The head has one optimum, so that a seed redraws the set and
nothing else. `preference` and `steering` are only explored: 12 sets each.

`--planted` only tells whether sets of this size can show anything: from no categories beside the first over half to
all of them AUPRC has to rise by more than twice the deviation. `--lora` trains adapters on five sets, as a check that
the head is not the reason. Every set's scores and measures land in a file, so that a run that was killed goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from fac_datasets.downstream import toxicity_detection
from tests.benchmarks.correlation_measures import SPACES, THRESHOLDS, diversity
from tests.benchmarks.correlation_sets import SEEDS, Chosen, planted_sets
from tests.benchmarks.correlation_statistics import (
    KINDS,
    Sets,
    correlated,
    correlation,
    difference,
    given,
    scatter,
    within,
)
from tests.benchmarks.correlation_tasks import BUDGETS, PAIRS, TASKS, Detection, Task, folder_of, task
from tests.benchmarks.record import RESULTS, landed, write_result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DEFAULT = "fac/q90/sae/trained/all"
CHANGES = (("trained", "random"), ("sae/", "relu/"), ("all", "relevant"), ("q90", "q50"), ("q90", "q99"))
"""What of the default coverage is exchanged for another, one at a time."""

PLANTED_SIZES = {"toxicity": (4_000, 5_000), "tweets": (400, 800, 1_200, 1_600, 2_400)}
"""Own tokens of the positive rows of planted sets; the first of toxicity was too small, and no size does for tweets."""

LORA_SETS = ("random-0", "alone_S-0", "left_out_V_S-0", "near_duplicates_75-0", "coverage_q90-0")
LORA_ROWS, LORA_LENGTH = 300, 192
"""Most rows of a set, and of the test rows, and tokens of a row."""


def scores_of(found: Task, chosen: Chosen) -> dict[str, float]:
    """Scores of a set, read where they have landed."""
    scores: dict[str, float] = landed(
        found.folder / "scores" / f"{chosen.name}.json", lambda: timed(lambda: found.scores(chosen))
    )
    return scores


def measures_of(found: Task, chosen: Chosen) -> dict[str, float]:
    """Measures of a set, read where they have landed."""

    def measured() -> dict[str, float]:
        of_set = diversity([found.texts[row] for row in chosen.rows], found.embeddings[chosen.rows])
        for anchor in found.anchors:
            of_set |= anchor.fac(chosen.rows)
        return of_set

    measures: dict[str, float] = landed(found.folder / "measures" / f"{chosen.name}.json", lambda: timed(measured))
    return measures


def timed(make: Any) -> dict[str, float]:
    """Figures with the seconds that they took."""
    begin = time.perf_counter()
    return {**make(), "seconds": time.perf_counter() - begin}


def run(found: Task) -> list[dict[str, Any]]:
    """Every set of a task with scores and measures."""
    begin = time.perf_counter()
    told = landed(
        found.folder / "sets.json", lambda: [{**one._asdict(), "rows": one.rows.tolist()} for one in found.sets()]
    )
    sets = [Chosen(**{**one, "rows": np.array(one["rows"])}) for one in told]
    print(f"{found.name}: {len(sets)} sets, {time.perf_counter() - begin:.0f} s", flush=True)
    rows = [
        {
            "family": chosen.family,
            "variant": chosen.variant,
            "seed": chosen.seed,
            "left": chosen.left,
            "own_tokens": int(found.material.sizes[chosen.rows].sum()),
            "scores": scores_of(found, chosen),
            "measures": measures_of(found, chosen),
        }
        for chosen in sets
    ]
    print(f"{found.name}: scores and measures after {time.perf_counter() - begin:.0f} s", flush=True)
    return rows


def planted(found: Task) -> dict[str, dict[str, Any]]:
    """Whether the scores of planted sets rise by more than twice the deviation between draws, by size of sets."""
    told = {}
    of_task = found.material.budgets
    for size in PLANTED_SIZES[found.name]:
        budgets = {label: budget * size // of_task[True] for label, budget in of_task.items()}
        sets = planted_sets(replace(found.material, budgets=budgets))
        scores = np.array([found.scores(one)["test"] for one in sets])
        variants = [one.variant for one in sets]
        means = {name: float(scores[np.array(variants) == name].mean()) for name in dict.fromkeys(variants)}
        first, *_, last = means.values()
        deviation = scatter(scores, variants).deviation
        told[str(size)] = {
            **means,
            "rise": last - first,
            "deviation": deviation,
            "passed": last - first > 2 * deviation,
        }
    return told


def column(rows: Sequence[dict[str, Any]], name: str, part: str = "measures") -> Floats:
    """A figure of every set, [n_sets]."""
    return np.array([row[part][name] for row in rows], dtype=np.float64)


def figures_of(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Every figure of a task."""
    sets = Sets([row["variant"] for row in rows], [row["family"] for row in rows])
    test, validation = (column(rows, part, "scores") for part in ("test", "validation"))
    values = {measure: column(rows, measure) for measure in rows[0]["measures"] if measure != "seconds"}
    others = [row for row, family in enumerate(sets.families) if family != "coverage"]
    few = [sets.variants[row] for row in others]
    scattered = scatter(test, sets.variants)
    figures: dict[str, Any] = {
        "sets": len(rows),
        "test": {"mean": float(test.mean()), "lowest": float(test.min()), "highest": float(test.max())},
        **scattered._asdict(),
        "verdict": scattered.verdict,
    }
    for kind in KINDS:
        figures[kind] = {
            f"{name}/{measure}": correlated(of_sets, test, sets.variants, kind) for measure, of_sets in values.items()
        }
    figures["without_coverage_selected"] = {
        kind: {
            f"{name}/{measure}": correlated(of_sets[others], test[others], few, kind)
            for measure, of_sets in values.items()
        }
        for kind in KINDS
    }
    figures["within_family"] = {
        kind: {
            f"{name}/{measure}": correlated(
                within(of_sets, sets.families), within(test, sets.families), sets.variants, kind
            )
            for measure, of_sets in values.items()
        }
        for kind in KINDS
    }
    n_rows = values["n_rows"]
    if np.ptp(n_rows):
        figures["given_n_rows"] = {
            f"{name}/{measure}": correlated(given(of_sets, n_rows), given(test, n_rows), sets.variants, "pearson")
            for measure, of_sets in values.items()
            if measure != "n_rows"
        }
    figures["chosen"] = chosen = chosen_on(validation, values)
    figures["against"] = {
        kind: {
            f"{one} less {other}": difference(values[one], values[other], test, sets.variants, kind)
            for one, other in compared(chosen, values)
        }
        for kind in KINDS
    }
    measures = [one["measure"] for one in chosen.values()]
    figures["of_sets"] = [
        {
            **{key: row[key] for key in ("variant", "seed", "own_tokens", "left")},
            "rows": int(row["measures"]["n_rows"]),
            **{part: row["scores"][part] for part in ("validation", "test")},
            "measures": {measure: row["measures"][measure] for measure in sorted({DEFAULT, *measures})},
        }
        for row in rows
    ]
    return figures


def chosen_on(validation: Floats, values: dict[str, Floats]) -> dict[str, Any]:
    """The settings that go best with the scores on validation rows, by Pearson's r."""
    found = {}
    told = {name: float(correlation(of_sets, validation, "pearson")) for name, of_sets in values.items()}
    known = {name: r for name, r in told.items() if np.isfinite(r)}
    for space in SPACES:
        for features in ("all", "relevant"):
            of_kind = {
                name: r for name, r in known.items() if name.startswith("fac/") and name.endswith(f"{space}/{features}")
            }
            if of_kind:
                best = max(of_kind, key=of_kind.__getitem__)
                found[f"{space}/{features}"] = {"measure": best, "validation": of_kind}
    of_texts = {name: r for name, r in known.items() if not name.startswith("fac/") and name != "n_rows"}
    strongest = max(of_texts, key=lambda name: abs(of_texts[name]))
    found["texts"] = {"measure": strongest, "validation": of_texts}
    return found


def compared(chosen: dict[str, Any], values: dict[str, Floats]) -> list[tuple[str, str]]:
    """Pairs of measures whose correlations are compared: coverage with the rest, and each choice within coverage."""
    ours, texts = chosen["sae/trained/all"]["measure"], chosen["texts"]["measure"]
    pairs = [(DEFAULT, texts), (DEFAULT, "n_rows")]
    pairs += [(DEFAULT, DEFAULT.replace(*change)) for change in CHANGES]
    pairs += [(ours, chosen[kind]["measure"]) for kind in chosen if kind != "sae/trained/all"]
    if "sae/trained/relevant" in chosen:
        relevant = chosen["sae/trained/relevant"]["measure"]
        pairs += [(relevant, chosen["sae/random/relevant"]["measure"]), (relevant, texts)]
        pairs += [(relevant, DEFAULT), (relevant, DEFAULT.replace("all", "relevant"))]
    return [(one, other) for one, other in dict.fromkeys(pairs) if one in values and other in values and one != other]


def lora(found: Detection, work: Path) -> dict[str, Any]:
    """AUPRC of adapters trained on some sets, beside that of the head, of the same test rows."""
    told = json.loads((found.folder / "sets.json").read_text())
    by_name = {f"{one['variant']}-{one['seed']}": np.array(one["rows"]) for one in told}
    rows, labels = found.rows, found.material.labels
    held = {
        part: datasets.Dataset.from_dict(
            {"text": [rows.texts[row] for row in drawn], "toxic": rows.labels[drawn].astype(int)}
        )
        for part in ("validation", "test")
        for drawn in [np.sort(np.random.default_rng(0).permutation(rows.split[part])[:LORA_ROWS])]
    }
    figures = {}
    for name in LORA_SETS:
        train = datasets.Dataset.from_dict(
            {"text": [found.texts[row] for row in by_name[name]], "toxic": labels[by_name[name]].astype(int)}
        )
        of_set = {}
        for method in ("head", "lora"):
            report = toxicity_detection(
                train,
                held["test"],
                found.folder / method / name,
                validation=held["validation"],
                column="text",
                method=method,
                seeds=(0,),
                max_rows=LORA_ROWS,
                max_length=LORA_LENGTH,
                states=work / "states",
            )
            of_set[method] = report["mean"]["auprc"]
        figures[name] = of_set
        print(f"{name}: head {of_set['head']:.3f}, lora {of_set['lora']:.3f}", flush=True)
    return figures


def plot(rows: dict[str, list[dict[str, Any]]], figures: dict[str, Any], path: Path) -> None:
    """Scores against coverage, that of a random SAE, and the strongest measure of texts, by family."""
    from matplotlib.figure import Figure

    families = [*dict.fromkeys(row["family"] for sets in rows.values() for row in sets)]
    figure = Figure(figsize=(11, 3.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 3, sharey="row", squeeze=False)
    for line, (name, sets) in zip(axes, rows.items(), strict=True):
        texts = figures["chosen"][name]["texts"]["measure"]
        of = np.array([row["family"] for row in sets])
        test = column(sets, "test", "scores")
        for axis, measure in zip(line, (DEFAULT, DEFAULT.replace("trained", "random"), texts), strict=True):
            of_sets = column(sets, measure)
            for place, family in enumerate(families):
                if (of == family).any():
                    shown = {"color": f"C{place % 10}", "marker": "o" if place < 10 else "x", "s": 14}
                    axis.scatter(of_sets[of == family], test[of == family], label=family, **shown)
            r = figures["pearson"][f"{name}/{measure}"]
            axis.set_title(f"{name}: r = {r['value']:.2f}" if r else name, loc="left", fontsize=9)
            axis.set_xlabel(measure)
            axis.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel("AUPRC on test rows" if name in BUDGETS else "accuracy on test pairs")
        line[-1].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for features, hidden states and figures")
    parser.add_argument("--only", default=",".join(TASKS), help="tasks to run before the figures are made")
    parser.add_argument("--planted", action="store_true", help="only tell whether planted differences are seen")
    parser.add_argument("--lora", action="store_true", help="also train adapters on five sets of toxicity")
    given = parser.parse_args()
    datasets.disable_progress_bars()
    work: Path = given.work
    names = [name for name in given.only.split(",") if name]
    if given.planted:
        for name in BUDGETS:
            if name in names:
                told = landed(folder_of(name, work) / "planted.json", partial(planted, task(name, work)))
                print(f"{name}: {told}", flush=True)
        return
    for name in names:
        landed(folder_of(name, work) / "sets_measured.json", partial(run, task(name, work)))
    if given.lora:
        found = task("toxicity", work)
        assert isinstance(found, Detection)
        landed(found.folder / "lora.json", lambda: lora(found, work))
    rows = {
        name: json.loads(path.read_text())
        for name in TASKS
        if (path := folder_of(name, work) / "sets_measured.json").exists()
    }
    by_task = {name: figures_of(name, of_task) for name, of_task in rows.items()}
    figures: dict[str, Any] = {
        "anchor": "the pool that all sets of a task come from",
        "seeds": SEEDS,
        "thresholds": THRESHOLDS,
        "own_tokens": {name: {"positive": of[True], "other": of[False]} for name, of in BUDGETS.items()},
        "pairs": PAIRS,
    }
    for kind in KINDS:
        figures[kind] = {key: value for of in by_task.values() for key, value in of[kind].items()}
    for part in ("without_coverage_selected", "within_family"):
        figures[part] = {
            kind: {key: value for of in by_task.values() for key, value in of[part][kind].items()} for kind in KINDS
        }
    figures["given_n_rows"] = {
        key: value for of in by_task.values() for key, value in of.get("given_n_rows", {}).items()
    }
    for part in ("chosen", "against", "sets", "test", "spread", "deviation", "reliability", "verdict", "of_sets"):
        figures[part] = {name: of[part] for name, of in by_task.items()}
    figures["planted"] = {
        name: json.loads(path.read_text())
        for name in BUDGETS
        if (path := folder_of(name, work) / "planted.json").exists()
    }
    for name, told in figures["planted"].items():
        if name in rows and not told[folder_of(name, work).name]["passed"]:
            figures["verdict"][name] = "uninformative"
    if (path := folder_of("toxicity", work) / "lora.json").exists():
        figures["lora"] = json.loads(path.read_text())
    print(write_result("correlation", figures))
    plot(rows, figures, RESULTS / "correlation.png")
    for name, of in by_task.items():
        print(f"{name}: {figures['verdict'][name]}, spread {of['spread']:.3f}, deviation {of['deviation']:.3f}")
        for measure in (DEFAULT, DEFAULT.replace("trained", "random"), of["chosen"]["texts"]["measure"], "n_rows"):
            print(f"  {measure}: {of['pearson'][f'{name}/{measure}']}")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
