"""Which way of adding samples closes a dataset's gap, with the same generator and the same tokens?

    FAC_DATASETS_DATA=FOLDER python -m tests.benchmarks.study_synthesis --work FOLDER [--arms NAME,NAME] [--jobs N]

writes `results/synthesis.json`, `synthesis.png` and `synthesis_samples.jsonl`. Two settings: the demo's conversations,
whose seed has six of twenty topics, and the prompts of `toxicity`, whose seed has no row of whole label categories. Of
the features that the seed is missing 100 are drawn, in equal parts from rare to frequent ones; each arm of
`synthesis_arms` aims at them, or at nothing, and what it keeps of its first 20,000 decoded tokens is measured:

- `covered_share`: of the 100 features, those that are active in a sample, above the threshold of coverage (q90);
- `missing_reached`: the same by the arm's own tries for each feature, at thresholds 0, 1, 2 and q90, by the first try
  (one step) and by all (two steps), as arXiv 2602.10388 counts;
- `covered_after`: how many of the 100 are after so many decoded tokens, since no arm covers more than all of them;
- `fac_gain`: of the features of the half of the anchor that lent nothing, those that seed and samples have and the seed
  alone has not; `fac_gain_per_1k_decoded` by tokens, `fac_gain_per_100_samples` by rows, `tokens_per_covered` tokens
  by features covered;
- `fac_gain_per_1k_decoded_all_passed`: the same by tokens if an arm kept all that passes the filters, what misses its
  feature too, as `unguided` and `magpie` do;
- `fluency_ratio`: median negative log-likelihood a token of the samples over that of the unguided ones;
- `measures`: of equally many samples of each arm.

Intervals are 95 % of 2,000 bootstraps over the features, the same draws for all arms, over the samples for fluency. An
arm wins over another where the interval of the difference leaves out 0.

`--endpoint URL --model NAME` runs `prompted` and `auto` with another model instead, on `topics` and with 2,000 tokens
each, and writes `results/synthesis_other_model.json`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from fac_datasets.coverage.active_rows import Cutoffs, active_rows
from fac_datasets.diversity import distinct_n, novelsum, vendi_score
from fac_datasets.diversity.embeddings import embeddings_of
from fac_datasets.feature_space import format_threshold, parse_threshold
from fac_datasets.files.atomic import write_atomically
from fac_datasets.generation.base import TextGenerator
from fac_datasets.sae.calibration import thresholds_of
from fac_datasets.synthesis.judging import NOT_ACTIVE_OUTCOME, NOT_NEEDED
from fac_datasets.synthesis.sample_journal import NO_FEATURE, VERIFIED, SampleJournal, Verdict, tallied
from fac_datasets.synthesis.samples import Sample
from tests.benchmarks.kmeans_arm import OUTSIDE
from tests.benchmarks.record import RESULTS, interval, machine, write_result
from tests.benchmarks.synthesis_arms import ARMS, BATCH, BUDGET, SEED, SETTINGS, THRESHOLD, Setting, run_arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS, READ, OTHER_BUDGET = 2_000, 20, 2_000
STEPS = (2_500, 5_000, 7_500, 10_000, 15_000, 20_000)
"""Decoded tokens after which covered features are counted."""

THRESHOLDS = ("0", "1", "2", "q90")
RIVALS = ("unguided", "magpie", "reference", "prompted")
"""Arms that every arm is compared with."""

DROPPED = (NOT_ACTIVE_OUTCOME, NOT_NEEDED, OUTSIDE)
"""What becomes of drafts that pass the filters and are not kept, those of `kmeans_arm` too."""

SHOWN = ("covered_share", "fac_gain_per_1k_decoded")


def arm_folder(work: Path, setting: str, arm: str) -> Path:
    """Where an arm keeps its journal and its samples."""
    return work / setting / arm


def prepare(work: Path) -> None:
    """What all arms of a setting share, and the machine that they run on."""
    from fac_datasets.generation.local import LocalGenerator

    generator = LocalGenerator(batch_size=BATCH)
    for name in SETTINGS:
        setting = Setting(name, work / name)
        for part in ("seed", "A1", "A2"):
            setting.rows(part)
        setting.fluency(generator)
    path, here = work / "machines.json", machine()
    before = json.loads(path.read_text()) if path.exists() else []
    write_atomically(path, json.dumps([*(one for one in before if one != here), here]).encode())


def run(work: Path, setting: str, arm: str) -> str:
    """Run an arm of a setting with the embedded model."""
    from fac_datasets.generation.local import LocalGenerator

    datasets.disable_progress_bars()
    generator, budget = LocalGenerator(batch_size=BATCH), None if arm == "auto_alone" else BUDGET
    run_arm(Setting(setting, work / setting), ARMS[arm], generator, arm_folder(work, setting, arm), budget)
    return f"{setting}: {arm}"


def run_other(work: Path, generator: TextGenerator) -> dict[str, Any]:
    """Run two arms with another model; what came of them."""
    setting, found = Setting("topics", work / "topics"), dict[str, Any]()
    for arm in ("prompted", "auto"):
        folder = arm_folder(work, "other", arm)
        run_arm(setting, ARMS[arm], generator, folder, OTHER_BUDGET)
        found[arm] = told_of_other(setting, folder)
    return found


@dataclass(frozen=True)
class Outcome:
    """What came of an arm."""

    setting: Setting
    folder: Path

    @cached_property
    def told(self) -> dict[str, Any]:
        """Tokens, verdicts and the generator."""
        found: dict[str, Any] = json.loads((self.folder / "outcome.json").read_text())
        return found

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What became of each draft."""
        return [Verdict(**verdict) for verdict in self.told["verdicts"]]

    @property
    def outcomes(self) -> dict[str, int]:
        """How many drafts had each outcome, frequent ones first."""
        return dict(Counter(verdict.outcome for verdict in self.verdicts).most_common())

    @cached_property
    def samples(self) -> datasets.Dataset:
        """What the arm keeps, with feature columns and likelihood."""
        return datasets.load_from_disk(str(self.folder / "samples"))

    @cached_property
    def passed(self) -> datasets.Dataset:
        """What is kept, and what passed the filters and missed its feature, with feature columns."""
        kept = self.folder / "passed"
        if not kept.exists():
            texts: list[str] = self.samples["text"][:]
            book = SampleJournal(self.folder / "journal.jsonl", read_only=True)
            for key, verdict in zip(self.told["keys"], self.verdicts, strict=True):
                completion = book.completions.get(key)
                # Those of `guided` are of several answers, which the journal does not join.
                if completion is None or verdict.outcome not in DROPPED:
                    continue
                read = self.setting.kind.opened if verdict.method == "magpie" else self.setting.kind.read
                sample = read(completion.text, completion.finished, self.setting.seed_rows[0])
                if isinstance(sample, Sample):
                    texts.append(sample.whole)
            rows = datasets.Dataset.from_dict({"text": texts})
            rows.map(self.setting.extractor, batched=True, load_from_cache_file=False).save_to_disk(kept)
        return datasets.load_from_disk(str(kept))

    @property
    def decoded(self) -> int:
        """Tokens."""
        return int(self.told["decoded_tokens"])

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Which features are active in a sample, [d_sae]."""
        return active_features(self.samples, self.setting)

    @cached_property
    def covered(self) -> NDArray[np.bool_]:
        """Which of the features aimed at by the study are, [100]."""
        return self.active[self.setting.aims["missing"]]

    @property
    def covered_after(self) -> dict[str, int]:
        """How many of these after so many decoded tokens."""
        spent = np.cumsum([verdict.decoded_tokens for verdict in self.verdicts])
        is_kept = np.array([verdict.outcome == VERIFIED for verdict in self.verdicts])
        wanted, found = self.setting.aims["missing"], dict[str, int]()
        for step in STEPS:
            rows = self.samples.select(range(int(is_kept[spent <= step].sum())))
            found[f"{step:,}"] = int(active_features(rows, self.setting)[wanted].sum())
        return found

    def tried(self, threshold: str) -> dict[str, float] | None:
        """Of the features that the arm aims at, the share active in its first try, and in any; None without an aim."""
        aims = [verdict for verdict in self.verdicts if verdict.feature != NO_FEATURE]
        if not aims:
            return None
        wanted = self.setting.aims["missing"]
        above = thresholds_of(self.setting.extractor.feature_space, parse_threshold(threshold), len(self.active))
        first, best = dict[int, float](), dict[int, float]()
        for verdict in aims:
            first.setdefault(verdict.feature, verdict.activation)
            best[verdict.feature] = max(best.get(verdict.feature, 0.0), verdict.activation)
        return {
            name: sum(found.get(feature, 0.0) > above[feature] for feature in wanted) / len(wanted)
            for name, found in (("one_step", first), ("two_steps", best))
        }


def active_features(rows: datasets.Dataset, setting: Setting) -> NDArray[np.bool_]:
    """Which features any of some rows activates, [d_sae]."""
    found = np.zeros(len(setting.thresholds), dtype=bool)
    if len(rows):
        found[active_rows(rows, Cutoffs(setting.extractor.feature_space, THRESHOLD)).ids] = True
    return found


def figures_of(setting: Setting, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Every figure of a setting's arms."""
    in_seed, of_a2 = (active_features(setting.rows(name), setting) for name in ("seed", "A2"))
    wanted = np.flatnonzero(of_a2)
    generator = np.random.default_rng(SEED)
    draws = generator.integers(len(setting.aims["missing"]), size=(DRAWS, len(setting.aims["missing"])))
    # Weights in place of indices, since A2 has thousands of features.
    weights = generator.multinomial(len(wanted), np.full(len(wanted), 1 / len(wanted)), size=DRAWS) / len(wanted)
    drawn: dict[str, dict[str, NDArray[np.float64]]] = {}
    found: dict[str, dict[str, Any]] = {}
    plain = float(np.median(outcomes["unguided"].samples["nll"]))
    equal = min(len(outcome.samples) for outcome in outcomes.values())
    for name, outcome in outcomes.items():
        gained = (outcome.active & ~in_seed)[wanted].astype(np.float64)
        covered, thousands = outcome.covered.astype(np.float64), outcome.decoded / 1_000
        of_passed = (active_features(outcome.passed, setting) & ~in_seed)[wanted].astype(np.float64)
        shares = covered[draws].mean(axis=1)
        gains = weights @ gained
        drawn[name] = {
            "covered_share": shares,
            "covered_per_1k_decoded": shares * len(covered) / thousands,
            "fac_gain": gains,
            "fac_gain_per_1k_decoded": gains / thousands,
            "fac_gain_per_100_samples": 100 * gains / len(outcome.samples),
        }
        likely = np.array(outcome.samples["nll"], dtype=np.float64)
        medians = np.median(generator.choice(likely, (DRAWS, len(likely))), axis=1) / plain
        with np.errstate(divide="ignore"):
            dear = outcome.decoded / (shares * len(covered))
        found[name] = {
            "samples": len(outcome.samples),
            "decoded_tokens": outcome.decoded,
            "prompt_tokens": outcome.told["prompt_tokens"],
            "covered_share": interval(covered.mean(), shares),
            "covered_per_1k_decoded": interval(covered.sum() / thousands, drawn[name]["covered_per_1k_decoded"]),
            "tokens_per_covered": interval(outcome.decoded / max(covered.sum(), 1e-9), dear),
            "fac_gain": interval(gained.mean(), gains),
            "fac_gain_per_1k_decoded": interval(gained.mean() / thousands, gains / thousands),
            "fac_gain_per_1k_decoded_all_passed": interval(
                of_passed.mean() / thousands, weights @ of_passed / thousands
            ),
            "fac_gain_per_100_samples": interval(
                100 * gained.mean() / len(outcome.samples), drawn[name]["fac_gain_per_100_samples"]
            ),
            "covered_after": outcome.covered_after,
            "missing_reached": {threshold: outcome.tried(threshold) for threshold in THRESHOLDS},
            "fluency_ratio": interval(float(np.median(likely)) / plain, medians),
            "outcomes": outcome.outcomes,
            "ways": {way: tally._asdict() for way, tally in tallied(outcome.verdicts, lambda one: one.method).items()},
            "measures": measures_of(outcome.samples["text"], equal),
        }
    for name in found:
        found[name]["against"] = {
            rival: {figure: compared(found, drawn, name, rival, figure) for figure in drawn[name]}
            for rival in RIVALS
            if rival in found and rival != name
        }
    return found


def compared(
    found: Mapping[str, Any], drawn: Mapping[str, Mapping[str, NDArray[np.float64]]], arm: str, rival: str, figure: str
) -> dict[str, Any]:
    """How much more an arm has than another, with interval, and who wins."""
    difference = found[arm][figure]["value"] - found[rival][figure]["value"]
    told: dict[str, Any] = interval(difference, drawn[arm][figure] - drawn[rival][figure])
    told["verdict"] = "wins" if told["low"] > 0 else "loses" if told["high"] < 0 else "undecided"
    return told


def measures_of(texts: Sequence[str], most: int) -> dict[str, float]:
    """Diversity of equally many samples of each arm."""
    drawn = np.random.default_rng(SEED).choice(len(texts), most, replace=False)
    some = [texts[place] for place in sorted(drawn)]
    vectors = embeddings_of(some)
    return {
        "n_samples": most,
        "distinct_2": distinct_n(some, n=2)["distinct_2"],
        "novelsum": novelsum(vectors)["novelsum"],
        "vendi_score": vendi_score(vectors)["vendi_score"],
    }


def by_figure(settings: Mapping[str, Mapping[str, Any]], figure: str) -> dict[str, dict[str, Any]]:
    """A figure by setting, then arm."""
    return {setting: {arm: found[figure] for arm, found in arms.items()} for setting, arms in settings.items()}


def plot(settings: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Features covered, and what the other half of the anchor gains, of every arm in every setting."""
    from matplotlib.figure import Figure

    titles = {
        "covered_share": "missing features covered, of 100",
        "fac_gain_per_1k_decoded": "FAC gain on the other half, a 1,000 decoded tokens",
    }
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    axes = figure.subplots(len(settings), len(titles), sharey="row", squeeze=False)
    for row, (setting, arms) in zip(axes, settings.items(), strict=True):
        names = [name for name in arms if name != "auto_alone"]
        for axis, (measure, title) in zip(row, titles.items(), strict=True):
            scale = 100 if measure == "covered_share" else 1
            values = [arms[name][measure] for name in names]
            middle = np.array([one["value"] for one in values]) * scale
            below, above = (abs(middle - scale * np.array([one[end] for one in values])) for end in ("low", "high"))
            axis.errorbar(middle, range(len(names)), xerr=[below, above], fmt="o", capsize=3, color="C0")
            axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
            axis.set_xlim(left=0)
            axis.set_title(f"{setting}: {title}", loc="left", fontsize=9)
            axis.grid(axis="x", alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        # The axes of a row share it.
        row[0].invert_yaxis()
    figure.savefig(path, dpi=150)


def write_samples(setting: Setting, outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Random accepted samples of each arm, for reading; only of conversations, never of harmful prompts."""
    generator = np.random.default_rng(SEED)
    names = dict(zip(setting.table["feature_id"], setting.table["explanation"], strict=True))
    lines = list[dict[str, Any]]()
    for arm, outcome in outcomes.items():
        picked = generator.permutation(len(outcome.samples))[:READ]
        shown = outcome.samples.select(sorted(picked)).select_columns(["text", "feature"])
        lines += [{"arm": arm, **row, "name": names.get(row["feature"])} for row in shown]
    write_atomically(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for journals and samples")
    parser.add_argument("--arms", default=",".join(ARMS), help="arms to run before the figures are made")
    parser.add_argument("--jobs", type=int, default=1, help="arms that run side by side")
    parser.add_argument("--only-run", action="store_true", help="make no figures, which need the metrics extra")
    parser.add_argument("--endpoint", help="server of another model, which is run alone")
    parser.add_argument("--model", help="its name there")
    given = parser.parse_args()
    work: Path = given.work
    if given.endpoint:
        from fac_datasets.generation.endpoint import EndpointGenerator

        generator = EndpointGenerator(given.model, base_url=given.endpoint)
        # Of its own many targets a batch the first would use up so few tokens.
        generator.batch_size = BATCH
        print(write_result("synthesis_other_model", {"budget": OTHER_BUDGET, "arms": run_other(work, generator)}))
        return
    tasks = [(work, setting, arm) for arm in given.arms.split(",") if arm for setting in SETTINGS]
    tasks = [task for task in tasks if not (arm_folder(*task) / "outcome.json").exists()]
    if tasks:
        prepare(work)
        # Those without a budget take longest.
        tasks.sort(key=lambda task: task[2] != "auto_alone")
        with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
            for done in pool.map(run, *zip(*tasks, strict=True)):
                print(done, flush=True)
    if given.only_run:
        return
    settings, samples = dict[str, dict[str, Any]](), RESULTS / "synthesis_samples.jsonl"
    for name in SETTINGS:
        setting = Setting(name, work / name)
        outcomes = {
            arm: Outcome(setting, arm_folder(work, name, arm))
            for arm in ARMS
            if (arm_folder(work, name, arm) / "outcome.json").exists()
        }
        settings[name] = figures_of(setting, outcomes)
        if name == "topics":
            write_samples(setting, outcomes, samples)
    figures = {
        "generated_on": json.loads((work / "machines.json").read_text()),
        "budget": BUDGET,
        "thresholds": [format_threshold(parse_threshold(one)) for one in THRESHOLDS],
        **{
            figure: by_figure(settings, figure)
            for figure in (
                *("covered_share", "covered_after", "covered_per_1k_decoded", "tokens_per_covered", "missing_reached"),
                *("fac_gain", "fac_gain_per_1k_decoded", "fac_gain_per_1k_decoded_all_passed"),
                *("fac_gain_per_100_samples", "fluency_ratio", "measures", "samples"),
                *("decoded_tokens", "prompt_tokens", "outcomes", "ways", "against"),
            )
        },
    }
    print(write_result("synthesis", figures))
    plot(settings, RESULTS / "synthesis.png")
    for name, arms in settings.items():
        for arm, found in arms.items():
            shares = " ".join(
                f"{figure} {found[figure]['value']:.4f} [{found[figure]['low']:.4f}, {found[figure]['high']:.4f}]"
                for figure in (*SHOWN, "fluency_ratio")
            )
            print(f"{name}, {arm}: {found['samples']} samples, {shares}")


def told_of_other(setting: Setting, folder: Path) -> dict[str, Any]:
    """What came of an arm of the other model: every outcome, and what was reached."""
    outcome = Outcome(setting, folder)
    return {
        "generator": outcome.told["generator"],
        "decoded_tokens": outcome.decoded,
        "prompt_tokens": outcome.told["prompt_tokens"],
        "samples": len(outcome.samples),
        "covered": int(outcome.covered.sum()),
        "outcomes": outcome.outcomes,
    }


if __name__ == "__main__":
    # Arms that run side by side share the processor.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
