"""The command line: one group of commands a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from fac_datasets.cli import coverage, extraction, interpretation, pipeline, publishing, review, sae
from fac_datasets.errors import FacDatasetsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Dataset curation by Feature Activation Coverage.",
)
app.command()(pipeline.run)
app.command()(extraction.extract)
app.command()(coverage.coverage)
app.command()(interpretation.table)
app.command()(interpretation.explain)
app.command()(interpretation.relevance)
app.command()(interpretation.score)
app.add_typer(review.app, name="review", help="Let people judge explanations and samples, in Argilla.")
app.add_typer(publishing.app, name="publish", help="Publish to the Hub.")
app.add_typer(sae.app, name="sae", help="Train, evaluate and calibrate sparse autoencoders.")


def main() -> None:
    """The `fac-datasets` command."""
    exit_with(app)


def exit_with(command: Callable[[], Any]) -> None:
    """Run a command; an expected error becomes one line and exit code 1."""
    try:
        command()
    except FacDatasetsError as error:
        print(f"fac-datasets: {error}", file=sys.stderr)
        sys.exit(1)
