"""The main job: from a seed and an anchor to a report, the missing samples, and an augmented dataset on disk.

The anchor is split by row into A1, which shows what is missing and lends examples, and A2, which is only measured. An
unguided control of as many tokens shows what the aim is worth; its first samples say what counts as fluent. Finished
steps are kept in `OUT/.work` until the end, so that a killed run goes on; what was asked and what became of it stays in
`OUT/journal`, so that a run of which more is wanted goes on too.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from fac_datasets.backbone.identity import EMBEDDED
from fac_datasets.backbone.pretrained import require_dtype
from fac_datasets.coverage.interval import with_interval
from fac_datasets.coverage.names import in_words, shown_name
from fac_datasets.coverage.report import CoverageReport, coverage
from fac_datasets.coverage.shares import shares_in_words
from fac_datasets.diversity.all_measures import all_measures
from fac_datasets.errors import (
    DatasetError,
    OptionError,
    OutputError,
    SynthesisError,
)
from fac_datasets.feature_space import (
    Threshold,
    feature_columns,
    format_threshold,
    parse_threshold,
    require_table_space,
)
from fac_datasets.features.bad_rows import bad_rows
from fac_datasets.features.extractor import FeatureExtractor
from fac_datasets.files.atomic import remove_leftovers, write_atomically
from fac_datasets.files.output_folder import alone_in, claim
from fac_datasets.files.parquet_layout import write_tables
from fac_datasets.files.sealed_folder import is_whole, seal
from fac_datasets.generation.base import counts_in_words
from fac_datasets.generation.journal import Limits, Plan, limit_together
from fac_datasets.interpretation.questions import ANSWER_TOKENS
from fac_datasets.progress import progress_said
from fac_datasets.rows.dataset_identity import content_fingerprint, identify, source_columns
from fac_datasets.rows.reader import RowReader, row_texts
from fac_datasets.rows.tables import dataset_of, without_prefix
from fac_datasets.sae.calibration import describe
from fac_datasets.synthesis.asking import Asker
from fac_datasets.synthesis.augment import augment
from fac_datasets.synthesis.bounds import most_asked
from fac_datasets.synthesis.fluency import CALIBRATION_SAMPLES, Fluency, calibrated, likelihood_under
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.methods import AUTOMATIC, usable, ways_named
from fac_datasets.synthesis.methods.steered import effects
from fac_datasets.synthesis.prompting import prompts_digest, prompts_of
from fac_datasets.synthesis.provenance import contents_of, synthetic_features
from fac_datasets.synthesis.sample_journal import SampleJournal, Tally
from fac_datasets.synthesis.sensitivity import with_sensitivity
from fac_datasets.synthesis.showing import Shelf
from fac_datasets.synthesis.synthesize import synthesize
from fac_datasets.synthesis.targets import ANCHOR_ROWS, Target, chosen_targets
from fac_datasets.synthesis.unguided import synthesize_unguided
from fac_datasets.synthesis.verifier import Verifier

if TYPE_CHECKING:
    import datasets

    from fac_datasets.backbone.likelihood import Likelihood
    from fac_datasets.generation.base import TextGenerator

T = TypeVar("T")

_SCORES = (
    *("fac", "low", "high", "no_interval", "n_covered", "n_relevant"),
    *("of_anchor", "of_relevant", "of_missing", "dataset", "anchor"),
)
"""What a report keeps of each coverage."""

REPORT, PLOT, CARD, RUN, WORK, JOURNAL = "report.json", "coverage.png", "README.md", "run.json", ".work", "journal"
PARTS = (WORK, JOURNAL, "data", "provenance", "feature_table", REPORT, PLOT, CARD)
"""What a run leaves in its folder."""


_EFFORT = ("max_features", "max_attempts", "max_samples", "limits")
"""Settings that say how much is tried; with more of it a finished run goes on."""

_WRITING = (
    *("methods", "prompts", "samples_per_feature", "max_samples"),
    *("max_attempts", "max_new_tokens", "temperature"),
)
"""Settings that `synthesize` takes by these names."""

_LIBRARIES = ("fac-datasets", "torch", "transformers", "datasets", "huggingface_hub")
"""Whose versions a report names."""


@dataclass(frozen=True)
class Settings:
    """Options of a run; with the two datasets and the generators they decide its result."""

    backbone: str = EMBEDDED
    sae: str = EMBEDDED
    layer: int | None = None
    other_backbone: bool = False
    """Accept an SAE of another backbone, or one that does not say of which."""
    dtype: str = "float32"
    """Of the backbone, which is measured and also writes."""
    skip_bad: bool = False
    """Leave rows that cannot be read without features, and count them, instead of stopping."""
    column: str | None = None
    anchor_column: str | None = None
    """Of the anchor, where it is not that of the seed."""
    kind: str | None = None
    """Of data; by default the one that the seed's columns say."""
    label_column: str | None = None
    """Of the seed and the anchor, where nothing else says which it is."""
    threshold: Threshold = "q90"
    """Of coverage."""
    targets: str | tuple[int, ...] = ANCHOR_ROWS
    """What to aim at; see `synthesize`."""
    methods: str = "auto"
    """Ways of generating; see `synthesize`."""
    prompts: str | None = None
    """Folder with prompts in place of ours."""
    sample_language: str | None = None
    """Code of the language that samples have to be in."""
    samples_per_feature: int = 1
    max_features: int = 50
    """Missing features aimed at."""
    max_attempts: int = 8
    """Samples tried for a feature."""
    max_samples: int | None = None
    """Samples accepted."""
    limits: Limits = field(default_factory=Limits)
    """What may be asked of generators, by this and earlier calls together."""
    max_new_tokens: int = 64
    """Tokens of an answer; of a part where parts are asked for one by one."""
    temperature: float = 0.8
    answer_tokens: int = ANSWER_TOKENS
    """Tokens of an answer of the verifier; a model that reasons before it answers needs thousands."""
    seed: int = 0
    device: str | None = None
    license: str | list[str] | None = None
    """Of the seed, for the card."""
    language: str | list[str] | None = None
    """Of the seed, for the card."""
    license_name: str | None = None
    """Of the seed where its licence is `other`, for the card."""
    license_link: str | None = None
    """The same."""
    not_for_all_audiences: bool = False
    """Whether the seed is marked so, for the card."""

    def __post_init__(self) -> None:
        parse_threshold(self.threshold)
        require_dtype(self.dtype)
        least = {"max_features": 0, "max_attempts": 1, "max_new_tokens": 1, "temperature": 0, "samples_per_feature": 1}
        least |= {"max_samples": 0} if self.max_samples is not None else {}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise OptionError(f"{name}={getattr(self, name)} is too small; the least is {value}")
        ways_named(self.methods)

    @property
    def effort(self) -> dict[str, Any]:
        """How much is tried."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name in _EFFORT}

    @property
    def writing(self) -> dict[str, Any]:
        """How samples are written, for `synthesize` and for its bounds."""
        return {name: getattr(self, name) for name in _WRITING}

    def is_more_than(self, effort: Mapping[str, Any]) -> bool:
        """Whether more is to be tried than was tried before."""
        now = _flat(self.effort)
        before = _flat(effort)
        # No limit is the highest.
        return any(
            before.get(name) is not None and (value is None or value > before[name]) for name, value in now.items()
        )


def run(
    seed_rows: datasets.Dataset,
    anchor_rows: datasets.Dataset,
    out: str | Path,
    settings: Settings | None = None,
    *,
    generator: TextGenerator | None = None,
    responder: TextGenerator | None = None,
    verifier: TextGenerator | None = None,
    features: datasets.Dataset | None = None,
    names: tuple[str, str] = ("seed", "anchor"),
    command: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run the whole pipeline into a folder.

    Run again on the same folder, it goes on where it was stopped; on a finished one it prints the report, or goes on
    where more features, attempts, samples, calls, tokens or dollars are allowed than before.

    Args:
        seed_rows: the dataset to augment.
        anchor_rows: stands for the target task; rows that are also in the seed are left out.
        out: folder for the augmented dataset, `report.json`, `coverage.png`, the card and the journal.
        settings: options.
        generator: writes samples; by default the backbone itself.
        responder: writes responses in place of the generator.
        verifier: checks labels, responses, or the order of pairs; without one they are not checked.
        features: a judged feature table: only its relevant features count, and its names are used.
        names: what to call the two datasets in the report.
        command: that makes it again, for the card.
        overwrite: replace what another run left in the folder.
        dry_run: only measure, keep that, and say how many calls, tokens and dollars the rest takes at most.
        say: takes each line of progress.

    Returns:
        The content of `report.json`; with `dry_run` the plan.

    Raises:
        OutputError: the folder cannot be written, or holds another run.
        DatasetError: a dataset has no rows, or the anchor activates nothing.
        ColumnError: the seed's columns are of no kind of data that can be written.
    """
    settings = settings or Settings()
    folder = Path(out)
    writers = Writers(generator, responder, verifier)
    job = _Run(seed_rows, anchor_rows, folder, settings, writers, features, names, command, say)
    claimed = claim(
        folder,
        RUN,
        job.identity(),
        parts=PARTS,
        overwrite=overwrite,
    )
    report = _finished(folder, say)
    if report is not None and settings.is_more_than(report["effort"]):
        say(f"{folder} holds this run with lower limits; it goes on")
        report = None
    elif report is not None:
        say(f"{folder} holds this finished run")
        if (folder / WORK).exists():
            # It was killed while it tidied up.
            _alone(job, folder, claimed, lambda: shutil.rmtree(folder / WORK))
    if report is None and dry_run:
        plan = _alone(job, folder, claimed, job.plan)
        say(f"at most {plan}")
        return plan._asdict()
    if report is None:
        report = _alone(job, folder, claimed, job.finish)
    _summarise(report, folder, say)
    return report


def preview(
    seed_rows: datasets.Dataset,
    anchor_rows: datasets.Dataset,
    most: int,
    settings: Settings | None = None,
    *,
    generator: TextGenerator | None = None,
    responder: TextGenerator | None = None,
    verifier: TextGenerator | None = None,
    features: datasets.Dataset | None = None,
    names: tuple[str, str] = ("seed", "anchor"),
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Make a few samples end to end and write nothing.

    Args:
        most: features aimed at.
        seed_rows, anchor_rows, settings, generator, responder, verifier, features, names, say: see `run`.

    Returns:
        Rows as `synthesize` returns them.
    """
    writers = Writers(generator, responder, verifier)
    with tempfile.TemporaryDirectory() as folder, progress_said(say):
        job = _Run(seed_rows, anchor_rows, Path(folder), settings or Settings(), writers, features, names, None, say)
        (Path(folder) / WORK).mkdir()
        rows = job.preview(most)
    for row in rows:
        cells = {name: row[name] for name in job.kind.written}
        say(f"for {row['target_feature']} ({shown_name(row['target_name'])}): {json.dumps(cells, ensure_ascii=False)}")
    return rows


class Writers(NamedTuple):
    """Who writes and who checks."""

    generator: TextGenerator | None
    """None for the backbone itself."""
    responder: TextGenerator | None
    verifier: TextGenerator | None

    @property
    def keys(self) -> list[str | None]:
        """What tells them from others."""
        return [None if one is None else one.key for one in self]


def _flat(effort: Mapping[str, Any]) -> dict[str, Any]:
    """Limits by name, those of generators among the others; prices are none."""
    limits = {name: value for name, value in effort["limits"].items() if name.startswith("max_")}
    return {**{name: value for name, value in effort.items() if name != "limits"}, **limits}


def _finished(folder: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The report of a folder whose run is finished; None of one that is not."""
    try:
        report = json.loads((folder / REPORT).read_text())
        return report if {"effort", "targets", "after"} <= report.keys() else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        say(f"{folder / REPORT} is damaged ({error}), and is made again")
        return None


def _alone(job: _Run, folder: Path, claimed: bool, do: Callable[[], T]) -> T:
    """Do the run, alone in its folder."""
    try:
        (folder / WORK).mkdir(exist_ok=True)
        with (
            alone_in(folder, RUN, claimed=claimed, lock=f"{WORK}/lock", parts=PARTS, dear=(JOURNAL,)),
            progress_said(job.say),
        ):
            remove_leftovers(folder)
            return do()
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"the run in {folder} cannot go on: {error}; the same command continues it") from error


class _Run:
    """One run on its way."""

    def __init__(
        self,
        seed_rows: datasets.Dataset,
        anchor_rows: datasets.Dataset,
        folder: Path,
        settings: Settings,
        writers: Writers,
        features: datasets.Dataset | None,
        names: tuple[str, str],
        command: str | None,
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.settings, self.writers, self.features = folder, settings, writers, features
        self.names, self.command, self.say = names, command, say
        for name, rows in (("seed", seed_rows), ("anchor", anchor_rows)):
            if not len(rows):
                raise DatasetError(f"the {name} dataset has no rows")
        in_anchor = settings.anchor_column or settings.column
        self.columns: dict[str, str | None] = {"seed": settings.column, "anchor": in_anchor}
        self.readers = {
            "seed": RowReader(seed_rows.features, settings.column),
            "anchor": RowReader(anchor_rows.features, in_anchor),
        }
        for name, reader in self.readers.items():
            for sentence in reader.passed_over():
                say(f"{name}: {sentence}")
        # Before hours of work: what will be written, and whether there is a place for it.
        self.kind = recognise(seed_rows, settings.kind, column=settings.column, label_column=settings.label_column)
        say(self.kind.in_words)
        if not Shelf(self.kind, None, seed_rows).seed_rows:
            raise SynthesisError(
                f"no row of the seed has all of {list(self.kind.parts)}, so that no example can be shown; give rows "
                f"that have them, or another --kind"
            )
        self.seed = _own(seed_rows)
        self.given_anchor = anchor_rows
        self.anchor, self.n_shared = self._unshared(_own(anchor_rows))
        if len(self.anchor) < 2:
            raise DatasetError(
                f"the anchor has {len(self.anchor)} rows that are not in the seed; at least 2 are needed, one that "
                f"shows what is missing and one that is only measured"
            )
        # The feature table needs every activation.
        self.extractor = FeatureExtractor(
            settings.backbone,
            settings.sae,
            settings.layer,
            threshold=0,
            device=settings.device,
            dtype=settings.dtype,
            other_backbone=settings.other_backbone,
            skip_bad=settings.skip_bad,
        )
        # Raises where the SAE does not belong to the backbone, before anything is written.
        self.feature_space = self.extractor.feature_space
        if features is not None:
            require_table_space(features, self.feature_space)
        if writers.generator is not None and settings.methods != AUTOMATIC:
            self._require_ways(writers.generator)

    def _require_ways(self, generator: TextGenerator) -> None:
        """Refuse ways of generating that are named and for which this generator lacks something.

        Raises:
            OptionError: there is one.
        """
        settings = self.settings
        asker = Asker(
            self.kind,
            prompts_of(self.kind, settings.prompts),
            generator,
            self.extractor,
            SampleJournal(),
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            # The backbone will say it.
            likelihoods=lambda texts: np.zeros(len(texts)),
        )
        usable(settings.methods, asker)

    def identity(self) -> dict[str, Any]:
        """What decides the result; a folder belongs to one identity."""
        settings = {name: value for name, value in dataclasses.asdict(self.settings).items() if name not in _EFFORT}
        return {
            "version": version("fac-datasets"),
            "settings": settings,
            "feature_space": str(self.feature_space),
            "thresholds": self.extractor.thresholds_digest(self.settings.threshold),
            "seed": [self.names[0], content_fingerprint(self.seed)],
            "anchor": [self.names[1], content_fingerprint(self.given_anchor)],
            "features": None if self.features is None else content_fingerprint(self.features),
            "writers": self.writers.keys,
            "prompts": prompts_digest(self.kind, self.settings.prompts),
        }

    def _measured(
        self,
    ) -> tuple[datasets.Dataset, dict[str, datasets.Dataset], dict[str, CoverageReport], datasets.Dataset]:
        """The seed and the parts of the anchor with features, what is covered, and a table of what is missing."""
        from fac_datasets.interpretation.explain import explain
        from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer
        from fac_datasets.interpretation.table import feature_table

        say, settings = self.say, self.settings
        say(f"feature space: {self.feature_space}")
        order = np.random.default_rng(settings.seed).permutation(len(self.anchor))
        half = (len(order) + 1) // 2
        seed = self._extract("seed", self.seed)
        anchors = {
            "A1": self._extract("A1", self.anchor.select(sorted(order[:half]))),
            "A2": self._extract("A2", self.anchor.select(sorted(order[half:]))),
        }
        say(f"threshold: {format_threshold(settings.threshold)}, {describe(settings.threshold)}")
        before = self._coverage_of(seed, "", anchors)
        for name, report in before.items():
            say(f"FAC before on {name}: {with_interval(report.to_dict())}")
            for line in shares_in_words(report.to_dict()):
                say(f"  {line}")
        missing = before["A1"].missing_by_anchor_rows
        say(f"missing features: {len(missing):,} of {len(before['A1'].relevant):,}")
        if len(missing):
            say(f"missing: {in_words(missing, before['A1'].feature_names.names)}")
        table = self.features
        if table is None:
            table = feature_table(anchors["A1"], features=missing, column=self.columns["anchor"])
            table = explain(table, TopTokensExplainer())
        return seed, anchors, before, table

    def plan(self) -> Plan:
        """What the run would ask for at most; rows are extracted, and kept."""
        settings = self.settings
        _, anchors, before, table = self._measured()
        targets = self._targets(before["A1"], table, anchors["A1"])
        shelf = Shelf(self.kind, anchors["A1"], self.seed, label_column=settings.label_column, random=settings.seed)
        return most_asked(
            [shelf.pursuit(target) for target in targets],
            self.kind,
            self.writers.generator or self._backbone_generator(),
            settings.limits,
            responder=self.writers.responder is not None,
            verifier=self.writers.verifier is not None,
            **settings.writing,
            answer_tokens=settings.answer_tokens,
            calibration=CALIBRATION_SAMPLES,
            has_control=True,
        )

    def preview(self, most: int) -> list[dict[str, Any]]:
        """A few samples, end to end, with their provenance."""
        self.settings = dataclasses.replace(self.settings, max_features=most)
        _, anchors, before, table = self._measured()
        targets = self._targets(before["A1"], table, anchors["A1"])
        generator = self.writers.generator or self._backbone_generator()
        with self._journals() as journals:
            fluency = Fluency(self._likelihood(generator), math.inf)
            made = self._synthesize(before["A1"], table, targets, anchors["A1"], generator, fluency, journals["guided"])
        return list(made)

    def finish(self) -> dict[str, Any]:
        """Do every step, then put the results in place, the report last."""
        say = self.say
        seed, anchors, before, table = self._measured()
        with self._journals() as journals:
            generator = self.writers.generator or self._backbone_generator()
            say(f"generator: {generator.name}")
            targets = self._targets(before["A1"], table, anchors["A1"])
            fluency = None
            if targets:
                unguided = self._unguided(generator, journals["unguided"], most=CALIBRATION_SAMPLES)
                fluency = calibrated(self._likelihood(generator), self.kind, unguided)
            synthetic = self._synthesize(
                before["A1"], table, targets, anchors["A1"], generator, fluency, journals["guided"]
            )
            guided = self._extract("guided", contents_of(synthetic))
            control = self._unguided(generator, journals["unguided"], int(sum(guided[self._column("feature_tokens")])))
            additions = {"guided": guided, "unguided": self._extract("unguided", control)}
            after = {
                name: self._coverage_of(_together(seed, rows), f" + {name}", anchors, before)
                for name, rows in additions.items()
            }
            say(f"unguided samples: {_describe_outcomes(journals['unguided'])}")
            result = self._report(journals, generator, targets, seed, anchors, before, additions, after)
            told = with_sensitivity(table, journals["guided"].tries())
        self._write(result, synthetic, told, before, after)
        return result

    def _report(
        self,
        journals: Mapping[str, SampleJournal],
        generator: TextGenerator,
        targets: Sequence[Target],
        seed: datasets.Dataset,
        anchors: Mapping[str, datasets.Dataset],
        before: Mapping[str, CoverageReport],
        additions: Mapping[str, datasets.Dataset],
        after: Mapping[str, Mapping[str, CoverageReport]],
    ) -> dict[str, Any]:
        """The content of `report.json`."""
        settings, missing = self.settings, before["A1"].missing_by_anchor_rows
        aimed_at = [target.feature for target in targets]
        reached = np.intersect1d(aimed_at, after["guided"]["A1"].covered)
        texts = {"seed": row_texts(self.seed, self.columns["seed"])}
        texts |= {
            f"seed + {name}": [*texts["seed"], *row_texts(rows, self.columns["seed"])]
            for name, rows in additions.items()
        }
        texts["anchor"] = row_texts(self.anchor, self.columns["anchor"])
        tokens = self._column("feature_tokens")
        return {
            **before["A1"].to_dict(),
            "before": {name: _scores(report) for name, report in before.items()},
            "after": {
                addition: {name: _scores(report) for name, report in reports.items()}
                for addition, reports in after.items()
            },
            "gain": {
                addition: {name: reports[name].fac - before[name].fac for name in before}
                for addition, reports in after.items()
            },
            "targets": {
                "aimed_at": aimed_at,
                "covered": reached.tolist(),
                "not_reached": np.setdiff1d(aimed_at, reached).tolist(),
                "names": {str(target.feature): target.name for target in targets},
            },
            "still_missing": missing[~np.isin(missing, after["guided"]["A1"].covered)].tolist(),
            "kind": self.kind.name,
            "left_empty": list(self.kind.left_empty),
            "verifier": self.writers.verifier.name if self.writers.verifier and self.kind.claims else None,
            "samples": {name: dict(journal.outcomes().most_common()) for name, journal in journals.items()},
            "decoded_tokens": {name: journal.decoded_tokens() for name, journal in journals.items()},
            "prompt_tokens": {name: journal.prompt_tokens() for name, journal in journals.items()},
            "by_way": {name: _tallies(journal.by_way()) for name, journal in journals.items()},
            "by_outcome": {name: _tallies(journal.by_outcome()) for name, journal in journals.items()},
            "steering": self._steering(journals["guided"], {target.feature: target.name for target in targets}),
            "added_rows": {name: len(rows) for name, rows in additions.items()},
            "added_tokens": {name: int(sum(rows[tokens])) for name, rows in additions.items()},
            "measures": all_measures(texts),
            "generator": generator.name,
            "anchor_rows_in_seed": self.n_shared,
            "bad_rows": {
                name: len(bad_rows(rows, self.readers["seed" if name == "seed" else "anchor"].prefix))
                for name, rows in {"seed": seed, **anchors}.items()
            },
            "given": {
                role: identify(rows, name)._asdict()
                for role, rows, name in zip(("seed", "anchor"), (self.seed, self.given_anchor), self.names, strict=True)
            },
            "settings": _public_settings(settings),
            "effort": settings.effort,
            "command": self.command,
            "versions": {name: version(name) for name in _LIBRARIES},
        }

    @staticmethod
    def _steering(journal: SampleJournal, names: Mapping[int, str]) -> dict[str, Any]:
        """How many features were steered, and those on which it had no effect, with their names."""
        found = effects(journal.verdicts.values())
        without = [feature for feature, has_effect in found.items() if not has_effect]
        return {
            "features": len(found),
            "without_effect": {str(feature): names.get(feature, "") for feature in sorted(without)},
        }

    def _column(self, name: str) -> str:
        """A feature column of the seed, and of what is made for it."""
        return f"{self.readers['seed'].prefix}{name}"

    def _unshared(self, anchor: datasets.Dataset) -> tuple[datasets.Dataset, int]:
        """The anchor's rows whose text is not in the seed, and how many others there are."""
        known = set(row_texts(self.seed, self.columns["seed"]))
        texts = row_texts(anchor, self.columns["anchor"])
        kept = [row for row, text in enumerate(texts) if text not in known]
        return anchor.select(kept), len(anchor) - len(kept)

    @contextmanager
    def _journals(self) -> Iterator[dict[str, SampleJournal]]:
        """What was asked and what became of it, of samples that aim at features and of those that do not."""
        with ExitStack() as stack:
            journals = {
                name: stack.enter_context(
                    closing(SampleJournal(self.folder / JOURNAL / f"{name}.jsonl", self.settings.limits))
                )
                for name in ("guided", "unguided")
            }
            limit_together([*journals.values()])
            yield journals

    def _extract(self, name: str, rows: datasets.Dataset) -> datasets.Dataset:
        """Rows with feature columns, kept on disk until the run is finished."""
        import datasets

        role = "anchor" if name in ("A1", "A2") else "seed"
        # One extractor, and so one model, reads both.
        self.extractor.column = self.columns[role]
        prefix = self.readers[role].prefix
        kept = self.folder / WORK / name
        if is_whole(kept):
            extracted = datasets.load_from_disk(str(kept))
            if content_fingerprint(extracted) == content_fingerprint(rows):
                self.say(f"{name}: {len(extracted):,} rows, kept from before")
                return extracted
        elif kept.exists():
            self.say(f"{name}: what was kept is damaged, and is made again")
        if kept.is_dir():
            shutil.rmtree(kept)
        kept.unlink(missing_ok=True)
        started = time.monotonic()
        if len(rows):
            extracted = rows.map(self.extractor, batched=True, load_from_cache_file=False, desc=f"extract {name}")
            with tempfile.TemporaryDirectory(dir=self.folder / WORK) as temporary:
                extracted.save_to_disk(f"{temporary}/rows")
                seal(Path(temporary, "rows"))
                Path(temporary, "rows").rename(kept)
        else:
            # `datasets` cannot load what it saves of no rows.
            columns = feature_columns(prefix, chat=self.readers[role].has_parts)
            extracted = dataset_of([], datasets.Features({**rows.features, **columns}))
        seconds = max(time.monotonic() - started, 1e-9)
        identity = identify(without_prefix(extracted, prefix))
        bad = bad_rows(extracted, prefix)
        if bad:
            self.say(f"{name}: {len(bad):,} rows could not be read and have no features; one {bad[0]['problem']}")
        what = {"seed": self.names[0], "A1": self.names[1], "A2": self.names[1]}.get(name, "synthetic")
        self.say(
            f"{name} ({what}): {identity.rows:,} rows, {identity.tokens:,} tokens, fingerprint {identity.fingerprint}; "
            f"{identity.rows / seconds:.1f} rows/s, {(identity.tokens or 0) / seconds:.0f} tokens/s"
        )
        return extracted

    def _coverage_of(
        self,
        rows: datasets.Dataset,
        added: str,
        anchors: Mapping[str, datasets.Dataset],
        before: Mapping[str, CoverageReport] | None = None,
    ) -> dict[str, CoverageReport]:
        """Coverage of the seed, or of it and what is added to it, against each part of the anchor."""
        seed_name, anchor_name = self.names
        return {
            name: coverage(
                without_prefix(rows, self.readers["seed"].prefix),
                without_prefix(anchor, self.readers["anchor"].prefix),
                threshold=self.settings.threshold,
                features=self.features,
                missing_of=None if before is None else before[name],
                seed=self.settings.seed,
                names=(f"{seed_name}{added}", f"{anchor_name} ({name})"),
            )
            for name, anchor in anchors.items()
        }

    def _backbone_generator(self) -> TextGenerator:
        from fac_datasets.generation.local import LocalGenerator

        settings = self.settings
        return LocalGenerator(settings.backbone, device=settings.device, dtype=settings.dtype)

    def _targets(self, report: CoverageReport, table: datasets.Dataset, anchor: datasets.Dataset) -> list[Target]:
        settings = self.settings
        found = chosen_targets(
            settings.targets,
            report,
            table,
            anchor,
            most=0 if settings.max_samples == 0 else settings.max_features,
            column=self.columns["anchor"],
            sample_tokens=settings.max_new_tokens,
        )
        names = {target.feature: target.name for target in found}
        self.say(f"aiming at {len(found)}" + (f": {in_words(names, names)}" if found else ""))
        return found

    def _likelihood(self, generator: TextGenerator) -> Likelihood:
        """How likely texts are under the unsteered backbone."""
        settings = self.settings
        return likelihood_under(
            self.feature_space, settings.backbone, generator, device=settings.device, dtype=settings.dtype
        )

    def _synthesize(
        self,
        report: CoverageReport,
        table: datasets.Dataset,
        targets: list[Target],
        examples: datasets.Dataset,
        generator: TextGenerator,
        fluency: Fluency | None,
        journal: SampleJournal,
    ) -> datasets.Dataset:
        settings, verifier = self.settings, self.writers.verifier
        if not targets:
            self.say("no feature to aim at, so nothing is synthesized")
            return dataset_of([], synthetic_features(self.kind.features))
        self.extractor.column = self.columns["seed"]
        synthetic = synthesize(
            report,
            table,
            extractor=self.extractor,
            generator=generator,
            schema_of=self.seed,
            kind=self.kind.name,
            column=self.columns["seed"],
            label_column=settings.label_column,
            examples=examples,
            known=row_texts(self.anchor, self.columns["anchor"]),
            targets=targets,
            responder=self.writers.responder,
            verifier=None
            if verifier is None
            else Verifier(verifier, journal, settings.prompts, answer_tokens=settings.answer_tokens),
            language=settings.sample_language,
            fluency=fluency,
            **settings.writing,
            seed=settings.seed,
            journal=journal,
        )
        self.say(f"samples: {_describe_outcomes(journal)}")
        return synthetic

    def _unguided(
        self, generator: TextGenerator, journal: SampleJournal, n_tokens: int | None = None, most: int | None = None
    ) -> datasets.Dataset:
        """Samples that aim at nothing: as many tokens or as many samples."""
        settings = self.settings
        self.extractor.column = self.columns["seed"]
        return synthesize_unguided(
            self.kind,
            Shelf(self.kind, None, self.seed, random=settings.seed).seed_rows,
            known=[*row_texts(self.seed, self.columns["seed"]), *row_texts(self.anchor, self.columns["anchor"])],
            n_tokens=n_tokens,
            most=most,
            extractor=self.extractor,
            generator=generator,
            prompts=settings.prompts,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            journal=journal,
        )

    def _write(
        self,
        result: dict[str, Any],
        synthetic: datasets.Dataset,
        table: datasets.Dataset,
        before: dict[str, CoverageReport],
        after: dict[str, dict[str, CoverageReport]],
    ) -> None:
        from fac_datasets.plots import gain_png
        from fac_datasets.publishing.dataset_card import CardFacts, dataset_card
        from fac_datasets.publishing.merging import merge_card

        # Of a finished run that went on: what is there from now on belongs to no report until the end.
        (self.folder / REPORT).unlink(missing_ok=True)
        augmented = augment(self.seed, synthetic, column=self.settings.column)
        header = write_tables({**augmented.tables(), "feature_table": {"train": table}}, self.folder)
        write_atomically(self.folder / PLOT, gain_png(before, after))
        facts = CardFacts(
            license=self.settings.license,
            license_name=self.settings.license_name,
            license_link=self.settings.license_link,
            language=self.settings.language,
            not_for_all_audiences=self.settings.not_for_all_audiences,
            names={int(feature): name for feature, name in result["targets"]["names"].items() if name},
            extra_rows={"feature_table": len(table)},
            plots=[PLOT],
        )
        card = merge_card(None, dataset_card(result, augmented, header, facts))
        write_atomically(self.folder / CARD, card.encode())
        write_atomically(self.folder / REPORT, (json.dumps(result, indent=2) + "\n").encode())
        shutil.rmtree(self.folder / WORK, ignore_errors=True)


def _own(rows: datasets.Dataset) -> datasets.Dataset:
    """The rows without feature columns of an earlier extraction, in the order of their columns."""
    own = {*source_columns(rows)}
    return rows.select_columns([name for name in rows.column_names if name in own])


def _together(seed: datasets.Dataset, added: datasets.Dataset) -> datasets.Dataset:
    """Feature columns of both."""
    import datasets

    own = {*source_columns(seed), *source_columns(added)}
    columns = [name for name in added.column_names if name in seed.column_names and name not in own]
    return datasets.concatenate_datasets([seed.select_columns(columns), added.select_columns(columns)])


def _public_settings(settings: Settings) -> dict[str, Any]:
    """The options without backbone and SAE, which may be local paths here and stand in the feature space by digest."""
    local = ("backbone", "sae", "device")
    return {key: value for key, value in dataclasses.asdict(settings).items() if key not in local}


def _scores(report: CoverageReport) -> dict[str, Any]:
    values = report.to_dict()
    return {key: values[key] for key in _SCORES}


def _describe_outcomes(journal: SampleJournal) -> str:
    outcomes = journal.outcomes()
    return (
        f"{sum(outcomes.values())} tried: {counts_in_words(outcomes) or 'none'}; {journal.decoded_tokens():,} tokens "
        f"decoded and {journal.prompt_tokens():,} of prompts"
    )


def _tallies(found: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    return {name: tally._asdict() for name, tally in found.items()}


def _summarise(report: dict[str, Any], folder: Path, say: Callable[[str], None]) -> None:
    """The lines that a finished run ends with."""
    targets = report["targets"]
    for way, tally in report["by_way"]["guided"].items():
        say(f"{way}: {Tally(**tally)}")
    without_effect = report["steering"]["without_effect"]
    if without_effect:
        names = {int(feature): name for feature, name in without_effect.items()}
        say(
            f"steering has no effect on {len(names)} of {report['steering']['features']} features that were steered: "
            f"{in_words(names, names)}"
        )
    say(f"targeted features covered: {len(targets['covered'])} of {len(targets['aimed_at'])}")
    for addition in ("guided", "unguided"):
        rows, tokens = report["added_rows"][addition], report["added_tokens"][addition]
        for name, scores in report["after"][addition].items():
            say(
                f"FAC after on {name}, {addition} ({rows} rows, {tokens:,} tokens): {with_interval(scores)}, "
                f"gain {report['gain'][addition][name]:+.3f}"
            )
            for line in shares_in_words(scores):
                say(f"  {line}")
    if report["still_missing"]:
        # Targets are named from this run's spans, also where no names ship with the SAE.
        known = {**report.get("names", {}), **{key: name for key, name in targets["names"].items() if name}}
        names = {int(feature): name for feature, name in known.items()}
        say(f"still missing: {in_words(report['still_missing'], names)}")
    say(f"output: {folder}")
