"""The arms of `study_synthesis`: ways to add samples to a seed, each with the same generator and the same tokens.

An arm goes on until it has decoded `BUDGET` tokens, discarded continuations included; what was accepted with the first
`BUDGET` of them counts. All that is asked and judged stays in the arm's journal, so that a killed arm goes on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import datasets
import numpy as np

from fac_datasets import FeatureExtractor, coverage
from fac_datasets.backbone.likelihood import Likelihood
from fac_datasets.coverage.active_rows import Cutoffs, active_rows
from fac_datasets.coverage.report import CoverageReport
from fac_datasets.errors import LimitReached
from fac_datasets.feature_space import dataset_space
from fac_datasets.files.atomic import write_atomically
from fac_datasets.generation.base import Completion, Request, TextGenerator
from fac_datasets.interpretation.explain import explain
from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer
from fac_datasets.interpretation.table import feature_table
from fac_datasets.rows.conversations import seed_and_anchor
from fac_datasets.rows.reader import row_texts
from fac_datasets.sae.calibration import thresholds_of
from fac_datasets.synthesis.filters import Filters
from fac_datasets.synthesis.filters.fluency import highest_nll
from fac_datasets.synthesis.fluency import CALIBRATION_SAMPLES, Fluency
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.base import DataKind
from fac_datasets.synthesis.measuring import NOT_ACTIVE, Measured, measure
from fac_datasets.synthesis.prompting import Scored, Told, prompts_of
from fac_datasets.synthesis.sample_journal import NO_FEATURE, VERIFIED, SampleJournal, Verdict
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.showing import EXAMPLES, Shelf
from fac_datasets.synthesis.synthesize import synthesize
from fac_datasets.synthesis.targets import Target, listed_targets, planned_targets
from fac_datasets.synthesis.unguided import synthesize_unguided
from tests.benchmarks.data import TOXICITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUDGET, FEATURES, ATTEMPTS, SAMPLE_TOKENS, TEMPERATURE, SEED, THRESHOLD = 20_000, 100, 8, 64, 0.8, 0, "q90"
BATCH = 16
"""Texts decoded together."""

STRATA = (1, 2, 3, 5)
"""The missing features are drawn in equal parts from those that 1, 2, 3 to 4, and 5 or more anchor rows activate."""

REMOVED = ("S", "S3", "V", "V2", "SH")
"""Label categories of `toxicity` that the seed has no row of: sexual, violence, self-harm."""

STRONG = 4.0
"""In the reference's second step a good example above this activation asks for its exact phrase."""


def topics() -> tuple[datasets.Dataset, datasets.Dataset]:
    """The demo's conversations: six topics, and all topics."""
    return seed_and_anchor(SEED)


def toxicity() -> tuple[datasets.Dataset, datasets.Dataset]:
    """Labelled prompts: a seed without whole categories, and an anchor with all of them."""
    rows = list(TOXICITY.rows())
    order = np.random.default_rng(SEED).permutation(len(rows)).tolist()
    free = [place for place in order if not any(rows[place].get(name) == 1 for name in REMOVED)]
    seed = set(free[: len(free) // 3])
    parts = ([{"text": rows[i]["prompt"]} for i in order if (i in seed) == wanted] for wanted in (True, False))
    in_seed, in_anchor = (datasets.Dataset.from_list(part) for part in parts)
    return in_seed, in_anchor


SETTINGS: dict[str, Callable[[], tuple[datasets.Dataset, datasets.Dataset]]] = {"topics": topics, "toxicity": toxicity}


@dataclass(frozen=True)
class Setting:
    """A seed, an anchor and the features aimed at, prepared once for all arms."""

    name: str
    folder: Path

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """Measures everything."""
        return FeatureExtractor(threshold=0)

    def rows(self, name: str) -> datasets.Dataset:
        """`seed`, `A1` or `A2`, with feature columns."""
        kept = self.folder / name
        if not (kept / "state.json").exists():
            seed, anchor = SETTINGS[self.name]()
            known = set(row_texts(seed, None))
            texts = row_texts(anchor, None)
            anchor = anchor.select([place for place, text in enumerate(texts) if text not in known])
            order = np.random.default_rng(SEED).permutation(len(anchor))
            half = (len(order) + 1) // 2
            parts = {"seed": seed, "A1": anchor.select(sorted(order[:half])), "A2": anchor.select(sorted(order[half:]))}
            parts[name].map(self.extractor, batched=True, load_from_cache_file=False).save_to_disk(kept)
        return datasets.load_from_disk(str(kept))

    @cached_property
    def report(self) -> CoverageReport:
        """What the seed is missing of A1."""
        return coverage(self.rows("seed"), self.rows("A1"), threshold=THRESHOLD)

    @cached_property
    def aims(self) -> dict[str, list[int]]:
        """`missing`: what the study aims at, features of most anchor rows first; `random`: any that the anchor has."""
        active = active_rows(self.rows("A1"), Cutoffs(dataset_space(self.rows("A1")), THRESHOLD))
        counts = np.bincount(active.ids, minlength=1 + int(active.ids.max()))
        generator = np.random.default_rng(SEED)
        strata = np.searchsorted(STRATA, counts[self.report.missing], side="right")
        drawn: list[int] = []
        # A stratum that is too small leaves its part to those that follow, the largest of them last.
        numbers = sorted(range(1, len(STRATA) + 1), key=lambda number: int((strata == number).sum()))
        for place, number in enumerate(numbers):
            here = generator.permutation(self.report.missing[strata == number])
            drawn += here[: (FEATURES - len(drawn)) // (len(numbers) - place)].tolist()
        rank = {int(feature): place for place, feature in enumerate(self.report.missing_by_anchor_rows)}
        anything = generator.permutation(np.unique(active.ids))[:FEATURES]
        return {"missing": sorted(drawn, key=rank.__getitem__), "random": anything.tolist()}

    @cached_property
    def table(self) -> datasets.Dataset:
        """Names and spans of all features aimed at."""
        features = sorted({*self.aims["missing"], *self.aims["random"]})
        return explain(feature_table(self.rows("A1"), features=features), TopTokensExplainer())

    @cached_property
    def kind(self) -> DataKind:
        """Texts, in both settings."""
        return recognise(self.bare("seed"), "text")

    def bare(self, name: str) -> datasets.Dataset:
        """Rows without feature columns."""
        return self.rows(name).select_columns(["text"])

    @cached_property
    def known(self) -> list[str]:
        """Texts that no sample may copy."""
        return [text for name in ("seed", "A1", "A2") for text in row_texts(self.bare(name), None)]

    @cached_property
    def likelihood(self) -> Likelihood:
        """Of the embedded backbone, whatever writes."""
        return Likelihood.load("embedded", render=self.extractor.feature_space.render)

    def fluency(self, generator: TextGenerator) -> Fluency:
        """What counts as fluent, by the first unguided samples, which are part of no arm."""
        path = self.folder / f"fluency-{_file_name(generator.name)}.json"
        if not path.exists():
            samples = synthesize_unguided(
                self.kind, self.seed_rows, known=self.known, most=CALIBRATION_SAMPLES, **self.writing(generator), seed=1
            )
            write_atomically(path, json.dumps(highest_nll(self.likelihood(samples["text"]))).encode())
        return Fluency(self.likelihood, json.loads(path.read_text()))

    @cached_property
    def seed_rows(self) -> list[Sample]:
        """Rows of the seed as examples."""
        return Shelf(self.kind, None, self.bare("seed"), random=SEED).seed_rows

    def writing(self, generator: TextGenerator) -> dict[str, Any]:
        """What all arms write with."""
        return {
            "extractor": self.extractor,
            "generator": generator,
            "max_new_tokens": SAMPLE_TOKENS,
            "temperature": TEMPERATURE,
        }

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """Above which each feature is active."""
        return np.asarray(thresholds_of(self.extractor.feature_space, THRESHOLD, 0), dtype=np.float64)


class Budget(SampleJournal):
    """A journal that asks for no more once so many tokens were decoded; what is read back counts as decoded."""

    def __init__(self, path: Path, most: int | None) -> None:
        super().__init__(path)
        self.most, self._used = most, set[str]()
        self.judged: dict[str, Verdict] = {}
        """What became of each draft of this arm, in order; another machine may have drafted otherwise before."""

    def judge(self, key: str, verdict: Verdict) -> None:
        """See `SampleJournal.judge`."""
        self.judged[key] = verdict
        super().judge(key, verdict)

    def generate(
        self, generator: TextGenerator, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> list[tuple[str, Completion]]:
        """See `Journal.generate`."""
        if self.most is not None and self.used >= self.most:
            raise LimitReached(f"{self.used:,} tokens are decoded")
        found = super().generate(generator, requests, max_new_tokens=max_new_tokens, temperature=temperature)
        self._used |= {key for key, _ in found}
        return found

    @property
    def used(self) -> int:
        """Tokens decoded by this arm."""
        return sum(self.completions[key].n_tokens for key in self._used)

    @property
    def is_used_up(self) -> bool:
        """Whether nothing more will be asked."""
        return self.most is not None and self.used >= self.most


class Kept(NamedTuple):
    """A sample that an arm keeps."""

    text: str
    feature: int
    """The one that it counts for; -1 where it was made for none."""


Arm = Callable[[Setting, TextGenerator, Budget], Iterator[Kept]]


def unguided(setting: Setting, generator: TextGenerator, book: Budget) -> Iterator[Kept]:
    """Random seed rows as examples, and no aim."""
    rows = synthesize_unguided(
        setting.kind, setting.seed_rows, known=setting.known, n_tokens=10**9, journal=book, **setting.writing(generator)
    )
    yield from (Kept(text, NO_FEATURE) for text in rows["text"])


def magpie(setting: Setting, generator: TextGenerator, book: Budget) -> Iterator[Kept]:
    """What the model writes behind the template up to where a user's words begin (arXiv 2406.08464)."""
    filters, seeds = Filters(setting.known), np.random.default_rng(SEED)
    like = setting.seed_rows[0]
    while True:
        requests = [Request((), int(seed)) for seed in seeds.integers(2**32, size=BATCH)]
        for key, completion in asked(book, generator, requests):
            sample = setting.kind.opened(completion.text, completion.finished, like)
            outcome = sample.reason if isinstance(sample, Rejected) else filters.reject(sample.whole)
            judge(book, key, completion, NO_FEATURE, 0.0, outcome or VERIFIED)
            if outcome is None and isinstance(sample, Sample):
                filters.add(sample.whole)
                yield Kept(sample.whole, NO_FEATURE)


def reference(setting: Setting, generator: TextGenerator, book: Budget) -> Iterator[Kept]:
    """The two steps of arXiv 2602.10388 as its authors' scripts take them: a pair, two samples, nothing checked again.

    Two candidates from name and spans, the least that make a pair; where fewer than two are active both examples are
    candidates all the same, instead of the invented ones of the scripts, which fit one task only. Prompts have the form
    of ours, with the spans as examples.
    """
    prompts, shown = prompts_of(setting.kind), listed_targets(setting.report, setting.table, setting.aims["missing"])
    for turn in itertools.count():
        for start in range(0, len(shown), BATCH // 2):
            batch = shown[start : start + BATCH // 2]
            examples = [[_span(span) for span in target.spans[:EXAMPLES]] for target in batch]
            seeds = np.random.default_rng([SEED, turn, start]).integers(2**32, size=(2, len(batch), 2)).tolist()
            first = [
                Request(prompts.messages(setting.kind, spans, spans[0], Told(target.name)), seed)
                for target, spans, pair in zip(batch, examples, seeds[0], strict=True)
                for seed in pair
            ]
            candidates = asked(book, generator, first)
            found = measure(setting.extractor, [completion.text for _, completion in candidates])
            second = []
            for place, target in enumerate(batch):
                pair = range(2 * place, 2 * place + 2)
                scored = [(found[i].get(target.feature, NOT_ACTIVE), candidates[i]) for i in pair]
                for activation, (key, completion) in scored:
                    judge(book, key, completion, target.feature, activation.activation, "candidate")
                told = _told(target, *sorted(scored, key=lambda one: -one[0].activation))
                messages = prompts.messages(setting.kind, examples[place], examples[place][0], told)
                second += [Request(messages, seed) for seed in seeds[1][place]]
            answers = asked(book, generator, second)
            active = measure(setting.extractor, [completion.text for _, completion in answers])
            for place, (key, completion) in enumerate(answers):
                feature = batch[place // 2].feature
                value = active[place].get(feature, NOT_ACTIVE).activation
                judge(book, key, completion, feature, value, VERIFIED if completion.text else "empty")
                if completion.text:
                    yield Kept(completion.text, feature)


def aimed(methods: str, aims: str = "missing", *, planned: bool = False) -> Arm:
    """Our loop with some ways of generating; when all features are reached or given up, it begins with those left."""

    def arm(setting: Setting, generator: TextGenerator, book: Budget) -> Iterator[Kept]:
        wanted, reached, known = setting.aims[aims], set[int](), list(setting.known)
        for turn in itertools.count():
            left = [feature for feature in wanted if feature not in reached] or wanted
            found = synthesize(
                setting.report,
                setting.table,
                schema_of=setting.bare("seed"),
                examples=setting.rows("A1"),
                kind="text",
                known=known,
                targets=_plan(setting, left) if planned else listed_targets(setting.report, setting.table, left),
                methods=methods,
                fluency=setting.fluency(generator),
                max_attempts=ATTEMPTS,
                seed=SEED + turn,
                journal=book,
                **setting.writing(generator),
            )
            for features in measure(setting.extractor, found["text"]):
                reached |= {id for id, one in features.items() if one.activation > setting.thresholds[id]}
            known += found["text"]
            yield from (Kept(text, id) for text, id in zip(found["text"], found["target_feature"], strict=True))
            if book.most is None or book.is_used_up:
                return

    return arm


ARMS: dict[str, Arm] = {
    "unguided": unguided,
    "magpie": magpie,
    "reference": reference,
    "prompted": aimed("prompted"),
    "span_seeded": aimed("span_seeded"),
    "steered": aimed("steered"),
    "guided": aimed("guided"),
    "auto": aimed("auto"),
    "auto_planned": aimed("auto", planned=True),
    "random_features": aimed("auto", "random"),
    "auto_alone": aimed("auto"),
}
"""By name. `auto_alone` has no budget and ends after one pass of at most `ATTEMPTS` attempts a feature."""


def run_arm(setting: Setting, arm: Arm, generator: TextGenerator, folder: Path, budget: int | None = BUDGET) -> None:
    """Run an arm and keep its samples with their features and likelihood, unless they are kept already."""
    result = folder / "outcome.json"
    if result.exists():
        return
    # A batch that begins within the budget is written to its end; what lies beyond is cut off below.
    book, kept = Budget(folder / "journal.jsonl", budget), list[Kept]()
    with contextlib.suppress(LimitReached):
        for one in arm(setting, generator, book):
            kept.append(one)
    book.close()
    verdicts, decoded = [], 0
    for verdict in book.judged.values():
        if budget is None or decoded + verdict.decoded_tokens <= budget:
            decoded += verdict.decoded_tokens
            verdicts.append(verdict)
        else:
            break
    kept = kept[: sum(verdict.outcome == VERIFIED for verdict in verdicts)]
    rows = datasets.Dataset.from_list([one._asdict() for one in kept], features=_KEPT)
    rows = rows.map(setting.extractor, batched=True, load_from_cache_file=False)
    rows = rows.add_column("nll", setting.likelihood(rows["text"]).tolist())
    rows.save_to_disk(folder / "samples")
    told = {
        "decoded_tokens": decoded,
        "decoded_in_all": book.used,
        "prompt_tokens": sum(verdict.prompt_tokens for verdict in verdicts),
        "generator": generator.name,
        "keys": list(book.judged)[: len(verdicts)],
        "verdicts": [verdict._asdict() for verdict in verdicts],
    }
    write_atomically(result, json.dumps(told).encode())


_KEPT = datasets.Features({"text": datasets.Value("string"), "feature": datasets.Value("int64")})


def asked(book: Budget, generator: TextGenerator, requests: list[Request]) -> list[tuple[str, Completion]]:
    """Keys and completions of requests, as all arms ask."""
    return book.generate(generator, requests, max_new_tokens=SAMPLE_TOKENS, temperature=TEMPERATURE)


def judge(book: Budget, key: str, completion: Completion, feature: int, activation: float, outcome: str) -> None:
    """Record what became of a completion that is a draft by itself."""
    book.judge(
        key,
        Verdict(
            feature,
            activation,
            outcome,
            decoded_tokens=completion.n_tokens,
            prompt_tokens=completion.prompt_tokens,
        ),
    )


def _span(span: Mapping[str, Any]) -> Sample:
    return Sample({"text": span["text"].strip()})


def _told(target: Target, good: tuple[Measured, Any], bad: tuple[Measured, Any]) -> Told:
    """The second step's prompt: name, the pair with measured scores, and the exact phrase where the score is high."""
    scored = []
    for active, (_, completion) in (good, bad):
        sample = Sample({"text": completion.text})
        shown = sample.marked("text", active.start, active.end) if active.end else sample
        scored.append(Scored(shown, active.activation))
    active, (_, completion) = good
    phrase = completion.text[active.start : active.end].strip() if active.activation > STRONG else ""
    return Told(target.name, phrase, good=scored[0], bad=scored[1])


def _plan(setting: Setting, features: Sequence[int]) -> list[Target]:
    return planned_targets(
        setting.report, setting.table, setting.rows("A1"), features=features, sample_tokens=SAMPLE_TOKENS
    )


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
