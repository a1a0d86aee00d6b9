"""The main job: from a seed and an anchor to a report, the missing samples, and an augmented dataset on disk.

The anchor is split by row into A1, which shows what is missing and lends examples, and A2, which is only measured. An
unguided control of as many tokens shows what the aim is worth. Finished steps are kept in `OUT/.work` until the end, so
that a killed run goes on.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from fac_datasets.backbone.identity import EMBEDDED
from fac_datasets.backbone.pretrained import require_dtype
from fac_datasets.coverage.interval import with_interval
from fac_datasets.coverage.names import in_words
from fac_datasets.coverage.report import CoverageReport, coverage
from fac_datasets.coverage.shares import shares_in_words
from fac_datasets.diversity.all_measures import all_measures
from fac_datasets.errors import DatasetError, FacDatasetsError, OptionError, OutputError
from fac_datasets.feature_space import Threshold, feature_columns, format_threshold, parse_threshold
from fac_datasets.features.bad_rows import bad_rows
from fac_datasets.features.extractor import FeatureExtractor
from fac_datasets.files.atomic import write_atomically
from fac_datasets.files.output_folder import claim
from fac_datasets.rows.dataset_identity import content_fingerprint, identify
from fac_datasets.rows.reader import RowReader, row_texts
from fac_datasets.rows.tables import dataset_of
from fac_datasets.sae.calibration import describe
from fac_datasets.synthesis.augment import augment
from fac_datasets.synthesis.sample_journal import SampleJournal

if TYPE_CHECKING:
    import datasets

    from fac_datasets.generation.base import TextGenerator

_SCORES = (
    *("fac", "low", "high", "no_interval", "n_covered", "n_relevant"),
    *("of_anchor", "of_relevant", "of_missing", "dataset", "anchor"),
)
"""What a report keeps of each coverage."""

REPORT, PLOT, CARD, RUN, WORK = "report.json", "coverage.png", "README.md", "run.json", ".work"

_LIBRARIES = ("fac-datasets", "torch", "transformers", "datasets", "huggingface_hub")
"""Whose versions a report names."""


@dataclass(frozen=True)
class Settings:
    """Options of a run; with the two datasets they decide its result."""

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
    threshold: Threshold = "q90"
    """Of coverage."""
    max_features: int = 50
    """Missing features aimed at."""
    max_attempts: int = 8
    """Samples tried for a feature."""
    max_new_tokens: int = 64
    """Tokens of a sample."""
    temperature: float = 0.8
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
        for name, least in (("max_features", 0), ("max_attempts", 1), ("max_new_tokens", 1), ("temperature", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name}={getattr(self, name)} is too small; the least is {least}")


def run(
    seed_rows: datasets.Dataset,
    anchor_rows: datasets.Dataset,
    out: str | Path,
    settings: Settings | None = None,
    *,
    names: tuple[str, str] = ("seed", "anchor"),
    command: str | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run the whole pipeline into a folder.

    Run again on the same folder, it goes on where it was stopped; on a finished one it prints the report.

    Args:
        seed_rows: the dataset to augment.
        anchor_rows: stands for the target task; rows that are also in the seed are left out.
        out: folder for the augmented dataset, `report.json`, `coverage.png` and the card.
        settings: options.
        names: what to call the two datasets in the report.
        command: that makes it again, for the card.
        overwrite: replace what another run left in the folder.
        say: takes each line of progress.

    Returns:
        The content of `report.json`.

    Raises:
        OutputError: the folder cannot be written, or holds another run.
        DatasetError: a dataset has no rows, or the anchor activates nothing.
    """
    settings = settings or Settings()
    folder = Path(out)
    job = _Run(seed_rows, anchor_rows, folder, settings, names, command, say)
    claimed = claim(
        folder, RUN, job.identity(), parts=(WORK, "data", "provenance", REPORT, PLOT, CARD), overwrite=overwrite
    )
    if (folder / REPORT).exists():
        report: dict[str, Any] = json.loads((folder / REPORT).read_text())
        say(f"{folder} holds this finished run")
    else:
        report = _finish(job, folder, claimed)
    _summarise(report, folder, say)
    return report


def _finish(job: _Run, folder: Path, claimed: bool) -> dict[str, Any]:
    """Do the run, alone in its folder; a run that cannot succeed gives up a folder that it has just claimed."""
    (folder / WORK).mkdir(exist_ok=True)
    lock = FileLock(folder / WORK / "lock", timeout=0)
    try:
        with lock, _progress_said(job.say):
            return job.finish()
    except Timeout as error:
        raise OutputError(f"another process is at work in {folder}; wait for it, or choose another folder") from error
    except OutputError:
        raise
    except FacDatasetsError:
        if claimed:
            shutil.rmtree(folder / WORK)
            (folder / RUN).unlink()
            if not any(folder.iterdir()):
                folder.rmdir()
        raise
    except OSError as error:
        raise OutputError(f"the run in {folder} cannot go on: {error}; the same command continues it") from error


@contextmanager
def _progress_said(say: Callable[[str], None]) -> Iterator[None]:
    """While open, what the library logs of its progress is said too."""
    logger = logging.getLogger("fac_datasets")
    handler, level = logging.Handler(), logger.level
    handler.emit = lambda record: say(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _measurable(rows: datasets.Dataset, column: str | None) -> datasets.Dataset:
    """The texts or chats alone, in a column that every step finds by itself: `text` or `messages`."""
    import datasets

    reader = RowReader(rows.features, column)
    rows = rows.select_columns(list(reader.columns))
    (name, *others) = reader.columns
    if reader.schema.is_pair or (others and column is not None):
        return datasets.Dataset.from_dict({"text": row_texts(rows, column)})
    if others:
        return rows
    as_named = "messages" if reader.has_parts else "text"
    return rows if name == as_named else rows.rename_column(name, as_named)


class _Run:
    """One run on its way."""

    def __init__(
        self,
        seed_rows: datasets.Dataset,
        anchor_rows: datasets.Dataset,
        folder: Path,
        settings: Settings,
        names: tuple[str, str],
        command: str | None,
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.settings, self.names, self.command, self.say = folder, settings, names, command, say
        for name, rows in (("seed", seed_rows), ("anchor", anchor_rows)):
            if not len(rows):
                raise DatasetError(f"the {name} dataset has no rows")
        self.seed_rows, self.anchor_rows = seed_rows, anchor_rows
        in_anchor = settings.anchor_column or settings.column
        readers = {
            "seed": RowReader(seed_rows.features, settings.column),
            "anchor": RowReader(anchor_rows.features, in_anchor),
        }
        for name, reader in readers.items():
            for sentence in reader.passed_over():
                say(f"{name}: {sentence}")
        # Before hours of work: whether there is a place for what will be written.
        readers["seed"].write("")
        self.seed = _measurable(seed_rows, settings.column)
        anchor = _measurable(anchor_rows, in_anchor)
        self.anchor, self.n_shared = _without(row_texts(self.seed), anchor)
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

    def identity(self) -> dict[str, Any]:
        """What decides the result; a folder belongs to one identity."""
        return {
            "version": version("fac-datasets"),
            "settings": dataclasses.asdict(self.settings),
            "feature_space": str(self.feature_space),
            "thresholds": self.extractor.thresholds_digest(self.settings.threshold),
            "seed": [self.names[0], content_fingerprint(self.seed_rows)],
            "anchor": [self.names[1], content_fingerprint(self.anchor_rows)],
        }

    def finish(self) -> dict[str, Any]:
        """Do every step, then put the results in place, the report last."""
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
        targets = missing[: settings.max_features]
        say(f"missing features: {len(missing):,} of {len(before['A1'].relevant):,}; aiming at {len(targets)}")
        if len(missing):
            say(f"missing: {in_words(missing, before['A1'].feature_names.names)}")
        table = feature_table(anchors["A1"], features=targets)
        table = explain(table, TopTokensExplainer())

        generator = self._generator()
        journals = {name: SampleJournal(self.folder / WORK / f"{name}.jsonl") for name in ("guided", "unguided")}
        synthetic = self._synthesize(before["A1"], table, anchors["A1"], generator, journals["guided"])
        guided = self._extract("guided", synthetic.select_columns(["text"]))
        control = self._unguided(guided, generator, journals["unguided"])
        additions = {"guided": guided, "unguided": self._extract("unguided", control)}
        after = {
            name: self._coverage_of(_together(seed, rows), f" + {name}", anchors, before)
            for name, rows in additions.items()
        }
        reached = np.intersect1d(targets, after["guided"]["A1"].covered)
        texts = row_texts(self.seed)
        still_missing = missing[~np.isin(missing, after["guided"]["A1"].covered)]
        result = {
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
                "aimed_at": targets.tolist(),
                "covered": reached.tolist(),
                "not_reached": np.setdiff1d(targets, reached).tolist(),
                "names": {str(row["feature_id"]): row["explanation"] for row in table},
            },
            "still_missing": still_missing.tolist(),
            "samples": {name: dict(journal.outcomes().most_common()) for name, journal in journals.items()},
            "decoded_tokens": {name: journal.decoded_tokens() for name, journal in journals.items()},
            "added_rows": {name: len(rows) for name, rows in additions.items()},
            "added_tokens": {name: int(sum(rows["feature_tokens"])) for name, rows in additions.items()},
            "measures": all_measures(
                {
                    "seed": texts,
                    **{f"seed + {name}": [*texts, *row_texts(rows)] for name, rows in additions.items()},
                    "anchor": row_texts(self.anchor),
                }
            ),
            "generator": generator.name,
            "anchor_rows_in_seed": self.n_shared,
            "bad_rows": {name: len(bad_rows(rows)) for name, rows in {"seed": seed, **anchors}.items()},
            "given": {
                role: identify(rows, name)._asdict()
                for role, rows, name in zip(
                    ("seed", "anchor"), (self.seed_rows, self.anchor_rows), self.names, strict=True
                )
            },
            "settings": _public_settings(settings),
            "command": self.command,
            "versions": {name: version(name) for name in _LIBRARIES},
        }
        for journal in journals.values():
            journal.close()
        self._write(result, synthetic, before, after)
        return result

    def _extract(self, name: str, rows: datasets.Dataset) -> datasets.Dataset:
        """Feature columns of rows, kept on disk until the run is finished."""
        import datasets

        kept = self.folder / WORK / name
        if kept.exists():
            extracted = datasets.load_from_disk(str(kept))
            self.say(f"{name}: {len(extracted):,} rows, kept from before")
            return extracted
        started = time.monotonic()
        if len(rows):
            extracted = rows.map(self.extractor, batched=True, load_from_cache_file=False, desc=f"extract {name}")
        else:
            extracted = dataset_of([], datasets.Features({**rows.features, **feature_columns()}))
        with tempfile.TemporaryDirectory(dir=self.folder / WORK) as temporary:
            extracted.save_to_disk(f"{temporary}/rows")
            Path(temporary, "rows").rename(kept)
        seconds = max(time.monotonic() - started, 1e-9)
        identity = identify(extracted)
        bad = bad_rows(extracted)
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
        anchors: dict[str, datasets.Dataset],
        before: dict[str, CoverageReport] | None = None,
    ) -> dict[str, CoverageReport]:
        seed_name, anchor_name = self.names
        return {
            name: coverage(
                rows,
                anchor,
                threshold=self.settings.threshold,
                missing_of=None if before is None else before[name],
                seed=self.settings.seed,
                names=(f"{seed_name}{added}", f"{anchor_name} ({name})"),
            )
            for name, anchor in anchors.items()
        }

    def _generator(self) -> TextGenerator:
        from fac_datasets.generation.local import LocalGenerator

        generator = LocalGenerator(self.settings.backbone, device=self.settings.device, dtype=self.settings.dtype)
        self.say(f"generator: {generator.name}")
        return generator

    def _synthesize(
        self,
        report: CoverageReport,
        table: datasets.Dataset,
        examples: datasets.Dataset,
        generator: TextGenerator,
        journal: SampleJournal,
    ) -> datasets.Dataset:
        from fac_datasets.synthesis.provenance import synthetic_features
        from fac_datasets.synthesis.synthesize import synthesize

        if not len(table):
            self.say("no feature to aim at, so nothing is synthesized")
            return dataset_of([], synthetic_features())
        settings = self.settings
        synthetic = synthesize(
            report,
            table,
            extractor=self.extractor,
            generator=generator,
            examples=examples,
            known=self._known(),
            max_features=settings.max_features,
            max_attempts=settings.max_attempts,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            journal=journal,
        )
        self.say(f"samples: {_describe_outcomes(journal)}")
        return synthetic

    def _known(self) -> list[str]:
        """Texts that no sample may copy."""
        return row_texts(self.seed) + row_texts(self.anchor)

    def _unguided(self, guided: datasets.Dataset, generator: TextGenerator, journal: SampleJournal) -> datasets.Dataset:
        """As many tokens of samples that aim at nothing."""
        from fac_datasets.synthesis.unguided import synthesize_unguided

        settings = self.settings
        rows = synthesize_unguided(
            row_texts(self.seed),
            known=self._known(),
            n_tokens=int(sum(guided["feature_tokens"])),
            extractor=self.extractor,
            generator=generator,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            journal=journal,
        )
        self.say(f"unguided samples: {_describe_outcomes(journal)}")
        return rows

    def _write(
        self,
        result: dict[str, Any],
        synthetic: datasets.Dataset,
        before: dict[str, CoverageReport],
        after: dict[str, dict[str, CoverageReport]],
    ) -> None:
        from fac_datasets.plots import gain_png
        from fac_datasets.publishing.dataset_card import CardFacts, dataset_card
        from fac_datasets.publishing.merging import merge_card

        augmented = augment(self.seed_rows, synthetic, column=self.settings.column)
        header = augmented.save(self.folder)
        write_atomically(self.folder / PLOT, gain_png(before, after))
        facts = CardFacts(
            license=self.settings.license,
            license_name=self.settings.license_name,
            license_link=self.settings.license_link,
            language=self.settings.language,
            not_for_all_audiences=self.settings.not_for_all_audiences,
            names={int(feature): name for feature, name in result["targets"]["names"].items() if name},
            plots=[PLOT],
        )
        card = merge_card(None, dataset_card(result, augmented, header, facts))
        write_atomically(self.folder / CARD, card.encode())
        write_atomically(self.folder / REPORT, (json.dumps(result, indent=2) + "\n").encode())
        shutil.rmtree(self.folder / WORK, ignore_errors=True)


def _without(texts: list[str], rows: datasets.Dataset) -> tuple[datasets.Dataset, int]:
    """The rows whose text is none of `texts`, and how many others there were."""
    known = set(texts)
    kept = [i for i, text in enumerate(row_texts(rows)) if text not in known]
    return rows.select(kept), len(rows) - len(kept)


def _together(seed: datasets.Dataset, added: datasets.Dataset) -> datasets.Dataset:
    """Feature columns of both."""
    import datasets

    columns = [name for name in added.column_names if name in seed.column_names and name.startswith("feature_")]
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
    parts = [f"{count} {outcome}" for outcome, count in outcomes.most_common()]
    return f"{sum(outcomes.values())} tried: {', '.join(parts) or 'none'}; {journal.decoded_tokens():,} tokens decoded"


def _summarise(report: dict[str, Any], folder: Path, say: Callable[[str], None]) -> None:
    """The lines that a finished run ends with."""
    targets = report["targets"]
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
