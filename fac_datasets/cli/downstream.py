"""`fac-datasets downstream`: train and measure what a model learns from a dataset, a command a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import Column, Device, Generation, Out, Overwrite, Split
from fac_datasets.cli.plans import say_plan

if TYPE_CHECKING:
    from fac_datasets.downstream.judge import Pair

app = typer.Typer(no_args_is_help=True)


def _given(**options: Any) -> dict[str, Any]:
    """The options that a user gave; for others the tasks have defaults of their own."""
    return {name: value for name, value in options.items() if value is not None}


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
class SteeringSets:
    """What is steered by and measured on."""

    train: Annotated[str, typer.Option("--train", metavar="DATA", help="A/B questions that vectors are made of.")]
    test: Annotated[
        str | None,
        typer.Option("--test", metavar="DATA", help="Those that figures are of; default: a fifth of the claims."),
    ] = None
    split: Split = None
    test_split: Annotated[str | None, typer.Option(help="The same of --test; default: that of --split.")] = None

    def load(self) -> dict[str, Any]:
        """The rows of each set."""
        from fac_datasets.rows.data_files import require_present
        from fac_datasets.rows.loading import load_rows

        if self.test is not None:
            return Sets(self.train, self.test, self.split, self.test_split).load()
        require_present(self.train)
        return {"train": load_rows(self.train, self.split), "test": None}


@dataclass(frozen=True)
class Trials:
    """How often, and on how much, a task is tried."""

    backbone: Annotated[
        str | None, typer.Option("--backbone", help="'embedded', a folder or a Hub id; default: embedded.")
    ] = None
    device: Device = None
    seeds: Annotated[
        list[int] | None, typer.Option("--seeds", help="Seed of a trial; more than once; default: 42, 43 and 44.")
    ] = None
    max_rows: Annotated[
        int | None, typer.Option("--max-rows", min=1, help="Most rows of each set, drawn at random.")
    ] = None
    max_length: Annotated[
        int | None, typer.Option("--max-length", help="Most tokens of a row; default: 512 of reward, 256 of others.")
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """Those that a user gave, as the tasks take them."""
        return _given(
            backbone=self.backbone,
            device=self.device,
            seeds=tuple(self.seeds) if self.seeds else None,
            max_rows=self.max_rows,
            max_length=self.max_length,
        )


@dataclass(frozen=True)
class Training:
    """What is trained."""

    method: Annotated[
        str | None, typer.Option("--method", help="head, on the frozen backbone, or lora; default: head.")
    ] = None
    layer: Annotated[
        int | None, typer.Option("--layer", help="Decoder blocks before a head's hidden states; default: all.")
    ] = None
    states: Annotated[
        Path | None,
        typer.Option("--states", metavar="DIR", help="Hidden states that runs share; default: a folder in --out."),
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """Those that a user gave, as the tasks take them."""
        return _given(method=self.method, layer=self.layer, states=self.states)


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
    label: Annotated[
        str | None, typer.Option(help="That of toxic rows; default: true, or the greater of two numbers.")
    ] = None,
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


@dataclass(frozen=True)
class KnownPairs:
    """By which a judge is checked."""

    known: Annotated[
        str | None,
        typer.Option("--known", metavar="DATA", help="Instructions with a strong and a weak model's answers."),
    ] = None
    strong: Annotated[str, typer.Option("--strong", help="Column of the strong model's.")] = "strong"
    weak: Annotated[str, typer.Option("--weak", help="Column of the weak model's.")] = "weak"
    known_split: Annotated[str | None, typer.Option(help="Split of --known.")] = None
    known_rows: Annotated[int, typer.Option("--known-rows", min=1, help="Most known pairs, drawn at random.")] = 50

    def load(self) -> list[Pair]:
        """The pairs; none where none are given."""
        from fac_datasets.downstream import known_pairs
        from fac_datasets.rows.loading import load_rows

        if self.known is None:
            return []
        return known_pairs(load_rows(self.known, self.known_split), self.strong, self.weak, most=self.known_rows)


@app.command()
@grouped
def instructions(
    sets: Sets,
    out: Out,
    trials: Trials,
    judge: Generation,
    known: KnownPairs,
    column: Column = None,
    answers: Annotated[
        int | None, typer.Option("--answers", min=0, help="Test rows that are answered, and judged; default: 50.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", min=1, help="Tokens of such an answer; default: 256.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="How often each training row is seen; default: 1.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The highest, of a linear decay; default: 0.0002.")
    ] = None,
    answer_tokens: Annotated[
        int | None,
        typer.Option(
            "--answer-tokens",
            min=1,
            help="Tokens of a judge's answer; one that reasons first needs thousands; default: 32.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Instruction following: loss of responses held out, before and after LoRA, and a judge's win rate.

    The judge is who --model, --endpoint or --provider name.
    """
    from fac_datasets.downstream import instruction_following
    from fac_datasets.downstream.instructions import JOURNAL, questions_to_judge
    from fac_datasets.downstream.judge import ANSWER_TOKENS
    from fac_datasets.progress import progress_said
    from fac_datasets.rows.data_files import require_present

    require_present(sets.train, sets.test, known.known)
    options = {**_given(column=column, answers=answers, max_new_tokens=max_new_tokens), **trials.options}
    if judge.dry_run:
        say_plan(
            judge.generator(trials.device),
            out / JOURNAL,
            judge.limits,
            answer_tokens or ANSWER_TOKENS,
            lambda *_: questions_to_judge(
                sets.load()["test"],
                known.load(),
                out,
                **{name: value for name, value in options.items() if name != "device"},
            ),
        )
        return
    with progress_said(print):
        report = instruction_following(
            **sets.load(),
            out=out,
            judge=judge.generator(trials.device),
            known=known.load(),
            limits=judge.limits,
            overwrite=overwrite,
            **_given(answer_tokens=answer_tokens, epochs=epochs, learning_rate=learning_rate),
            **options,
        )
    _say(out, report)
    if "win_rate" in report:
        print(_judged(report["win_rate"]))


@app.command()
@grouped
def steering(
    sets: SteeringSets,
    out: Out,
    trials: Trials,
    claim_column: Annotated[
        str | None, typer.Option(help="What questions rest on, which never stands on both sides; default: claim.")
    ] = None,
    claim_is_last_sentence: Annotated[
        bool,
        typer.Option(
            "--claim-is-last-sentence", help="They rest on the last sentence before the options (sycophancy)."
        ),
    ] = False,
    layers: Annotated[
        list[int] | None, typer.Option("--layers", help="Layer to steer; more than once; default: the middle.")
    ] = None,
    multipliers: Annotated[
        list[float] | None, typer.Option("--multipliers", help="Of the curve; more than once; default: -2 to 2.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Behaviour steering: how mean difference vectors move the answers to A/B questions."""
    from fac_datasets.downstream import behaviour_steering
    from fac_datasets.progress import progress_said

    with progress_said(print):
        report = behaviour_steering(
            **sets.load(),
            out=out,
            claim_is_last_sentence=claim_is_last_sentence,
            overwrite=overwrite,
            **_given(claim_column=claim_column, layers=layers or None, multipliers=multipliers or None),
            **trials.options,
        )
    # The curve of each layer is in the report.
    headlines = {name: mean for name, mean in report["mean"].items() if "/" not in name}
    _say(out, {**report, "mean": headlines})


def _judged(found: dict[str, Any]) -> str:
    """What a judge's win rate is, in a line."""
    if found["verdict"] == "uninformative":
        return f"win rate: uninformative, since {found['why']}"
    rates = [
        f"{name} {found[key]['mean']:.1f}"
        for name, key in (("raw", "raw"), ("length-controlled", "length_controlled"))
        if found[key]["mean"] is not None
    ]
    return f"win rate: {', '.join(rates)}"


def _say(out: Path, report: dict[str, Any]) -> None:
    """Print the figures, and what was left out."""
    from fac_datasets.downstream.trials import in_words

    print(f"{out}: {in_words(report)}")
    for name, counts in report["left_out"].items():
        if counts:
            print(f"left out of {name}: {', '.join(f'{count:,} {reason}' for reason, count in counts.items())}")
