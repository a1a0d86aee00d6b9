"""The command line: one group of commands a file."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from fac_datasets.cli import (
    comparison,
    coverage,
    downstream,
    extraction,
    finding,
    interpretation,
    pipeline,
    publishing,
    review,
    sae,
    selection,
    synthesis,
)
from fac_datasets.errors import exit_with

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"fac-datasets {version('fac-datasets')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Say the version and leave.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Dataset curation by Feature Activation Coverage."""


app.command()(pipeline.run)
app.command()(extraction.extract)
app.command()(coverage.coverage)
app.command()(finding.find)
app.command()(comparison.compare)
app.command()(selection.select)
app.command()(synthesis.synthesize)
app.command()(interpretation.table)
app.command()(interpretation.explain)
app.command()(interpretation.relevance)
app.command()(interpretation.score)
app.add_typer(review.app, name="review", help="Let people judge explanations and samples, in Argilla.")
app.add_typer(publishing.app, name="publish", help="Publish to the Hub.")
app.add_typer(downstream.app, name="downstream", help="Train and measure what a model learns from a dataset.")
app.add_typer(sae.app, name="sae", help="Train, evaluate and calibrate sparse autoencoders.")


def main() -> None:
    """The `fac-datasets` command."""
    exit_with(app)
