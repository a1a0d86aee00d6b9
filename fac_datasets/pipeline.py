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
from fac_datasets.backbone import EMBEDDED, normalise_message
from fac_datasets.caching import write_atomically
from fac_datasets.columns import read_rows, resolve_column
from fac_datasets.coverage import CoverageReport, coverage
from fac_datasets.errors import DatasetError, OutputError
from fac_datasets.extraction import FeatureExtractor
from fac_datasets.feature_space import Threshold, format_threshold
from fac_datasets.identity import content_fingerprint, source_columns
from fac_datasets.sae.calibration import describe
from fac_datasets.synthesis.journal import VERIFIED, Journal

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
                raise OutputError(f"{folder} holds a run with other data or options; choose another folder, or --overwrite")
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
                f"the anchor has {len(self.anchor_rows)} rows that are not in the seed; at least 2 are needed, one that "
                f"shows what is missing and one that is only measured"
            )
        self.extractor = FeatureExtractor(
            settings.backbone, settings.sae, settings.layer, column=settings.column, device=settings.device
        )
        self.started = time.monotonic()

    def finish(self) -> dict[str, Any]:
        """Do every step, then put the results in place, the report last."""
        from fac_datasets.interpretation.spans import feature_table
        from fac_datasets.plots import plot_gain
        from fac_datasets.synthesis.augment import augment
        from fac_datasets.synthesis.synthesize import synthesize
        from fac_datasets.synthesis.unguided import synthesize_unguided

        say, settings = self.say, self.settings
        order = np.random.default_rng(settings.seed).permutation(len(self.anchor_rows))
        half = (len(order) + 1) // 2
        say(f"feature space: {self.extractor.feature_space}")
        seed = self._extract("seed", self.seed_rows)
        a1 = self._extract("A1", self.anchor_rows.select(sorted(order[:half])))
        a2 = self._extract("A2", self.anchor_rows.select(sorted(order[half:])))
        anchors = {"A1": a1, "A2": a2}
        say(f"threshold: {format_threshold(settings.threshold)}, {describe(settings.threshold)}")
        before = {name: self._coverage(seed, self.names[0], anchor, name) for name, anchor in anchors.items()}
        for name, report in before.items():
            say(f"FAC before on {name}: {_interval(report)}")
        missing = before["A1"].missing_by_anchor_rows
        targets = missing[: settings.max_features]
        say(f"missing features: {len(missing)} of {len(before['A1'].relevant)}; aiming at {len(targets)}")

        journal = Journal(self.folder / WORK / "journal.jsonl")
        generator = self._generator()
        if len(targets):
            table = feature_table(a1, features=targets, column=self.column)
            say(f"synthesizing with {generator.name}")
            synthetic = synthesize(
                before["A1"],
                table,
                extractor=self.extractor,
                generator=generator,
                examples=a1,
                features=targets.tolist(),
                max_attempts=settings.max_attempts,
                max_new_tokens=settings.max_new_tokens,
                temperature=settings.temperature,
                seed=settings.seed,
                journal=journal,
            )
        else:
            from fac_datasets.synthesis.synthesize import synthetic_features

            say("no feature is missing: nothing to synthesize")
            table = feature_table(a1, features=[], column=self.column)
            import datasets

            synthetic = datasets.Dataset.from_list([], features=synthetic_features())
        outcomes = dict(journal.outcomes().most_common())
        say(f"samples: {sum(outcomes.values())} tried, {outcomes.get(VERIFIED, 0)} verified; {_rejections(outcomes)}")
        guided = self._extract("guided", synthetic.select_columns(["text"]), column="text")
        control_journal = Journal(self.folder / WORK / "unguided.jsonl")
        n_tokens = int(sum(guided["feature_tokens"])) if len(guided) else 0
        unguided_rows = synthesize_unguided(
            self._texts(self.seed_rows),
            known=self._texts(self.seed_rows) + self._texts(self.anchor_rows),
            n_tokens=n_tokens,
            extractor=self.extractor,
            generator=generator,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            journal=control_journal,
        )
        unguided = self._extract("unguided", unguided_rows, column="text")
        additions = {"guided": guided, "unguided": unguided}
        after = {
            addition: {
                name: self._coverage(_together(seed, rows), f"{self.names[0]} + {addition}", anchor, name)
                for name, anchor in anchors.items()
            }
            for addition, rows in additions.items()
        }
        reached = np.intersect1d(targets, after["guided"]["A1"].covered)
        result = {
            **before["A1"].to_dict(),
            "before": {name: report.to_dict() | {"missing": None} for name, report in before.items()},
            "after": {
                addition: {name: report.to_dict() | {"missing": None} for name, report in reports.items()}
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
            "samples": {"guided": outcomes, "unguided": dict(control_journal.outcomes().most_common())},
            "decoded_tokens": {
                "guided": sum(completion.n_tokens for completion in journal.completions.values()),
                "unguided": sum(completion.n_tokens for completion in control_journal.completions.values()),
            },
            "added_tokens": {name: int(sum(rows["feature_tokens"])) if len(rows) else 0 for name, rows in additions.items()},
            "generator": generator.name,
            "anchor_rows_in_seed": self.n_shared,
            "settings": dataclasses.asdict(settings),
        }
        journal.close()
        control_journal.close()
        augmented = augment(self.seed_rows, synthetic, column=self.column)
        try:
            augmented.save(self.folder)
            table.to_parquet(str(self.folder / WORK / "feature_table.parquet"))
            plot_gain(before, after, self.folder / PLOT)
            write_card(self.folder / CARD, result, augmented, table, settings)
            write_atomically(self.folder / REPORT, (json.dumps(result, indent=2) + "\n").encode())
        except OSError as error:
            raise OutputError(f"the results cannot be written to {self.folder}: {error}") from error
        shutil.rmtree(self.folder / WORK, ignore_errors=True)
        return result
