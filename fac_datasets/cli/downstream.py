"""`fac-datasets downstream`: train and measure what a model learns from a dataset, a command a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import BackboneName, Column, Device, Out, Overwrite, Split

app = typer.Typer(no_args_is_help=True)


@dataclass(frozen=True)
class Sets:
    """What is trained on and measured on."""

    train: Annotated[str, typer.Option("--train", metavar="DATA", help="Rows to train on.")]
    test: Annotated[str, typer.Option("--test", metavar="DATA", help="Rows that the figures are of.")]
    split: Split = None
    test_split: Annotated[str | None, typer.Option(help="The same of --test; default: that of --split.")] = None

    def load(self, validation: str | None = None) -> dict[str, Any]:
        """The rows of each set that is given, by its name."""
        from fac_datasets.rows.data_files import require_present
        from fac_datasets.rows.loading import load_rows

        require_present(self.train, self.test, validation)
        return {
            "train": load_rows(self.train, self.split),
            "test": load_rows(self.test, self.test_split or self.split),
            **({"validation": load_rows(validation, self.split)} if validation else {}),
        }


@dataclass(frozen=True)
class Trials:
    """How often, and on how much, a task is tried."""

    backbone: BackboneName = "embedded"
    device: Device = None
    seeds: Annotated[
        list[int] | None, typer.Option("--seeds", help="Seed of a trial; more than once; default: 42, 43 and 44.")
    ] = None
    max_rows: Annotated[
        int | None, typer.Option("--max-rows", min=1, help="Most rows of each set, drawn at random.")
    ] = None
    max_length: Annotated[int, typer.Option("--max-length", help="Most tokens of a row.")] = 256

    @property
    def options(self) -> dict[str, Any]:
        """As the tasks take them."""
        from fac_datasets.downstream.trials import SEEDS

        return {
            "backbone": self.backbone,
            "device": self.device,
            "seeds": tuple(self.seeds or SEEDS),
            "max_rows": self.max_rows,
            "max_length": self.max_length,
        }


@dataclass(frozen=True)
class Training:
    """What is trained."""

    method: Annotated[str, typer.Option("--method", help="head, on the frozen backbone, or lora.")] = "head"
    layer: Annotated[
        int | None, typer.Option("--layer", help="Decoder blocks before a head's hidden states; default: all.")
    ] = None
    states: Annotated[
        Path | None,
        typer.Option("--states", metavar="DIR", help="Hidden states that runs share; default: a folder in --out."),
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """As the tasks take them."""
        return {"method": self.method, "layer": self.layer, "states": self.states}


@app.command()
@grouped
def toxicity(
    sets: Sets,
    out: Out,
    trials: Trials,
    training: Training,
    column: Column = None,
    validation: Annotated[
        str | None, typer.Option(metavar="DATA", help="Chooses settings; default: a fifth of --train, by each seed.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="Holds the labels, of two classes.")] = None,
    label: Annotated[str | None, typer.Option(help="That of toxic rows; default: true, or the greater number.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Toxicity detection: AUPRC, AUROC, and F1 at the threshold that is best on validation."""
    from fac_datasets.downstream import toxicity_detection
    from fac_datasets.progress import progress_said

    with progress_said(print):
        report = toxicity_detection(
            **sets.load(validation),
            out=out,
            column=column,
            label_column=label_column,
            label=label,
            overwrite=overwrite,
            **trials.options,
            **training.options,
        )
    _say(out, report)


@app.command()
@grouped
def reward(
    sets: Sets,
    out: Out,
    trials: Trials,
    training: Training,
    subset_column: Annotated[
        str | None, typer.Option(help="Of --test; its values are told apart; default: subset, if present.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Reward modelling: the share of pairs whose chosen side scores higher, of all and per subset."""
    from fac_datasets.downstream import reward_modelling
    from fac_datasets.progress import progress_said

    with progress_said(print):
        report = reward_modelling(
            **sets.load(),
            out=out,
            subset_column=subset_column,
            overwrite=overwrite,
            **trials.options,
            **training.options,
        )
    _say(out, report)


def _say(out: Path, report: dict[str, Any]) -> None:
    """Print the figures, and what was left out."""
    from fac_datasets.downstream.trials import in_words

    print(f"{out}: {in_words(report)}")
    for name, counts in report["left_out"].items():
        if counts:
            print(f"left out of {name}: {', '.join(f'{count:,} {reason}' for reason, count in counts.items())}")
