"""The main job: from a seed and an anchor to a report, the missing samples, and an augmented dataset on disk.

The anchor is split by row into A1, which shows what is missing and lends examples, and A2, which is only measured. An
unguided control of as many tokens shows what the aim is worth. Finished steps are kept in `OUT/.work` until the end, so
that a killed run goes on.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets import __version__
from fac_datasets.backbone import EMBEDDED
from fac_datasets.caching import write_atomically
from fac_datasets.columns import dataset_of, resolve_column, row_texts
from fac_datasets.coverage import CoverageReport, coverage
from fac_datasets.errors import DatasetError, OutputError
from fac_datasets.extraction import FeatureExtractor
from fac_datasets.feature_space import Threshold, feature_columns, format_threshold
from fac_datasets.identity import content_fingerprint, identify
from fac_datasets.sae.calibration import describe
from fac_datasets.synthesis.journal import Journal

if TYPE_CHECKING:
    import datasets

    from fac_datasets.generation.base import TextGenerator

REPORT, PLOT, CARD, RUN, WORK = "report.json", "coverage.png", "README.md", "run.json", ".work"


@dataclass(frozen=True)
class Settings:
    """Options of a run; with the two datasets they decide its result."""

    backbone: str = EMBEDDED
    sae: str = EMBEDDED
    layer: int | None = None
    column: str | None = None
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
    license: str | None = None
    """Of the seed, for the card."""
    language: str | None = None
    """Of the seed, for the card."""


def run(
    seed_rows: datasets.Dataset,
    anchor_rows: datasets.Dataset,
    out: str | Path,
    settings: Settings | None = None,
    *,
    names: tuple[str, str] = ("seed", "anchor"),
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
    identity = {
        "version": __version__,
        "settings": dataclasses.asdict(settings),
        "seed": [names[0], content_fingerprint(seed_rows)],
        "anchor": [names[1], content_fingerprint(anchor_rows)],
    }
    for name, rows in zip(("seed", "anchor"), (seed_rows, anchor_rows), strict=True):
        if not len(rows):
            raise DatasetError(f"the {name} dataset has no rows")
        resolve_column(rows.features, settings.column)
    _claim(folder, identity, overwrite)
    if (folder / REPORT).exists():
        report: dict[str, Any] = json.loads((folder / REPORT).read_text())
        say(f"{folder} holds this finished run")
    else:
        report = _Run(seed_rows, anchor_rows, folder, settings, names, say).finish()
    _summarise(report, folder, say)
    return report


def _claim(folder: Path, identity: dict[str, Any], overwrite: bool) -> None:
    """Make the folder this run's own, unless it is another's."""
    wanted = json.dumps(identity, indent=2, sort_keys=True) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / RUN
        if overwrite and record.exists() and record.read_text() != wanted:
            for path in (folder / REPORT, folder / PLOT, folder / CARD, record):
                path.unlink(missing_ok=True)
            for path in (folder / WORK, folder / "data", folder / "provenance"):
                shutil.rmtree(path, ignore_errors=True)
        if record.exists():
            if record.read_text() != wanted:
                raise OutputError(
                    f"{folder} holds a run with other data or options; choose another folder, or --overwrite"
                )
        elif any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty and holds no run of fac-datasets; choose another folder")
        else:
            write_atomically(record, wanted.encode())
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"the output folder {folder} cannot be written: {error}") from error


class _Run:
    """One run on its way."""

    def __init__(
        self,
        seed_rows: datasets.Dataset,
        anchor_rows: datasets.Dataset,
        folder: Path,
        settings: Settings,
        names: tuple[str, str],
        say: Callable[[str], None],
    ) -> None:
        self.seed_rows, self.folder, self.settings, self.names, self.say = seed_rows, folder, settings, names, say
        self.column = settings.column
        self.anchor_rows, self.n_shared = self._without_seed_rows(anchor_rows)
        if len(self.anchor_rows) < 2:
            raise DatasetError(
                f"the anchor has {len(self.anchor_rows)} rows that are not in the seed; at least 2 are needed, one "
                f"that shows what is missing and one that is only measured"
            )
        self.extractor = FeatureExtractor(
            settings.backbone, settings.sae, settings.layer, column=settings.column, device=settings.device
        )

    def finish(self) -> dict[str, Any]:
        """Do every step, then put the results in place, the report last."""
        from fac_datasets.interpretation.spans import feature_table

        say, settings = self.say, self.settings
        say(f"feature space: {self.extractor.feature_space}")
        order = np.random.default_rng(settings.seed).permutation(len(self.anchor_rows))
        half = (len(order) + 1) // 2
        seed = self._extract("seed", self.seed_rows)
        anchors = {
            "A1": self._extract("A1", self.anchor_rows.select(sorted(order[:half]))),
            "A2": self._extract("A2", self.anchor_rows.select(sorted(order[half:]))),
        }
        say(f"threshold: {format_threshold(settings.threshold)}, {describe(settings.threshold)}")
        before = self._coverage_of(seed, "", anchors)
        for name, report in before.items():
            say(f"FAC before on {name}: {_interval(report)}")
        missing = before["A1"].missing_by_anchor_rows
        targets = missing[: settings.max_features]
        say(f"missing features: {len(missing):,} of {len(before['A1'].relevant):,}; aiming at {len(targets)}")
        table = feature_table(anchors["A1"], features=targets, column=self.column)

        generator = self._generator()
        journals = {name: Journal(self.folder / WORK / f"{name}.jsonl") for name in ("guided", "unguided")}
        synthetic = self._synthesize(before["A1"], table, anchors["A1"], generator, journals["guided"])
        guided = self._extract("guided", synthetic.select_columns(["text"]), column="text")
        control = self._unguided(guided, generator, journals["unguided"])
        additions = {"guided": guided, "unguided": self._extract("unguided", control, column="text")}
        after = {
            name: self._coverage_of(_together(seed, rows), f" + {name}", anchors) for name, rows in additions.items()
        }
        reached = np.intersect1d(targets, after["guided"]["A1"].covered)
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
            },
            "samples": {name: dict(journal.outcomes().most_common()) for name, journal in journals.items()},
            "decoded_tokens": {name: journal.decoded_tokens() for name, journal in journals.items()},
            "added_rows": {name: len(rows) for name, rows in additions.items()},
            "added_tokens": {name: int(sum(rows["feature_tokens"])) for name, rows in additions.items()},
            "generator": generator.name,
            "anchor_rows_in_seed": self.n_shared,
            "settings": _public_settings(settings),
        }
        for journal in journals.values():
            journal.close()
        self._write(result, synthetic, before, after)
        return result

    def _without_seed_rows(self, anchor_rows: datasets.Dataset) -> tuple[datasets.Dataset, int]:
        """The anchor without rows that also stand in the seed, and how many those were."""
        in_seed = set(self._texts(self.seed_rows))
        texts = self._texts(anchor_rows)
        kept = [i for i, text in enumerate(texts) if text not in in_seed]
        return anchor_rows.select(kept), len(texts) - len(kept)

    def _texts(self, rows: datasets.Dataset) -> list[str]:
        return row_texts(rows, self.column)

    def _extract(self, name: str, rows: datasets.Dataset, column: str | None = None) -> datasets.Dataset:
        """Feature columns of rows, kept on disk until the run is finished."""
        import datasets

        kept = self.folder / WORK / name
        if kept.exists():
            extracted = datasets.load_from_disk(str(kept))
            self.say(f"{name}: {len(extracted):,} rows, kept from before")
            return extracted
        started = time.monotonic()
        extractor = self.extractor if column is None else self.extractor.on_column(column)
        if len(rows):
            extracted = rows.map(extractor, batched=True, load_from_cache_file=False, desc=f"extract {name}")
        else:
            extracted = dataset_of([], datasets.Features({**rows.features, **feature_columns()}))
        with tempfile.TemporaryDirectory(dir=self._work()) as temporary:
            extracted.save_to_disk(f"{temporary}/rows")
            Path(temporary, "rows").rename(kept)
        seconds = max(time.monotonic() - started, 1e-9)
        identity = identify(extracted)
        self.say(
            f"{name}: {identity.rows:,} rows, {identity.tokens:,} tokens, fingerprint {identity.fingerprint}; "
            f"{identity.rows / seconds:.1f} rows/s, {(identity.tokens or 0) / seconds:.0f} tokens/s"
        )
        return extracted

    def _work(self) -> Path:
        work = self.folder / WORK
        work.mkdir(parents=True, exist_ok=True)
        return work

    def _coverage_of(
        self, rows: datasets.Dataset, added: str, anchors: dict[str, datasets.Dataset]
    ) -> dict[str, CoverageReport]:
        seed_name, anchor_name = self.names
        return {
            name: coverage(
                rows,
                anchor,
                threshold=self.settings.threshold,
                seed=self.settings.seed,
                prefix=self._prefix(),
                names=(f"{seed_name}{added}", f"{anchor_name} ({name})"),
            )
            for name, anchor in anchors.items()
        }

    def _prefix(self) -> str:
        return f"{self.column}_" if self.column in ("chosen", "rejected") else ""

    def _generator(self) -> TextGenerator:
        from fac_datasets.generation.local import LocalGenerator

        generator = LocalGenerator(self.settings.backbone, device=self.settings.device)
        self.say(f"generator: {generator.name}")
        return generator

    def _synthesize(
        self,
        report: CoverageReport,
        table: datasets.Dataset,
        examples: datasets.Dataset,
        generator: TextGenerator,
        journal: Journal,
    ) -> datasets.Dataset:
        from fac_datasets.synthesis.synthesize import synthesize, synthetic_features

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
            max_features=settings.max_features,
            max_attempts=settings.max_attempts,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            journal=journal,
        )
        self.say(f"samples: {_describe_outcomes(journal)}")
        return synthetic

    def _unguided(self, guided: datasets.Dataset, generator: TextGenerator, journal: Journal) -> datasets.Dataset:
        """As many tokens of samples that aim at nothing."""
        from fac_datasets.synthesis.unguided import synthesize_unguided

        settings = self.settings
        rows = synthesize_unguided(
            self._texts(self.seed_rows),
            known=self._texts(self.seed_rows) + self._texts(self.anchor_rows),
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
        from fac_datasets.card import dataset_card
        from fac_datasets.plots import plot_gain
        from fac_datasets.synthesis.augment import augment

        augmented = augment(self.seed_rows, synthetic, column=self.column)
        try:
            augmented.save(self.folder)
            plot_gain(before, after, self.folder / PLOT)
            card = dataset_card(result, augmented, license=self.settings.license, language=self.settings.language)
            write_atomically(self.folder / CARD, card.encode())
            write_atomically(self.folder / REPORT, (json.dumps(result, indent=2) + "\n").encode())
        except OSError as error:
            raise OutputError(
                f"the results cannot be written to {self.folder}: {error}; the same command goes on"
            ) from error
        shutil.rmtree(self.folder / WORK, ignore_errors=True)


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
    return {key: values[key] for key in ("fac", "low", "high", "n_covered", "n_relevant", "dataset", "anchor")}


def _interval(report: CoverageReport) -> str:
    return f"{report.fac:.3f} [{report.low:.3f}, {report.high:.3f}]"


def _describe_outcomes(journal: Journal) -> str:
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
                f"FAC after on {name}, {addition} ({rows} rows, {tokens:,} tokens): {scores['fac']:.3f} "
                f"[{scores['low']:.3f}, {scores['high']:.3f}], gain {report['gain'][addition][name]:+.3f}"
            )
    say(f"output: {folder}")
