"""`fac-datasets review`: explanations and samples to an Argilla server, and people's answers back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import Column, Extraction, Out, Overwrite, kept_report

if TYPE_CHECKING:
    import datasets

app = typer.Typer(no_args_is_help=True)
push = typer.Typer(no_args_is_help=True)
pull = typer.Typer(no_args_is_help=True)
app.add_typer(push, name="push", help="Send records to the server of ARGILLA_API_URL, with the key ARGILLA_API_KEY.")
app.add_typer(pull, name="pull", help="Bring answers back from the server of ARGILLA_API_URL.")

RECORD = "review.json"

Table = Annotated[str, typer.Argument(metavar="TABLE", help="Feature table with names.")]
Samples = Annotated[str, typer.Argument(metavar="DATA", help="Synthetic rows, or an augmented dataset.")]
Name = Annotated[str, typer.Option("--name", help="Of the Argilla dataset.")]
Workspace = Annotated[str | None, typer.Option("--workspace", help="Default: the only one.")]
Kind = Annotated[str | None, typer.Option("--kind", help="Of data; default: recognised by the columns.")]
MinSubmitted = Annotated[int, typer.Option("--min-submitted", help="Reviewers that each record needs.")]
Consensus = Annotated[str, typer.Option("--consensus", help="majority, unanimous or median.")]


@push.command("explanations")
def push_explanations(
    table: Table,
    name: Name,
    workspace: Workspace = None,
    guideline: Annotated[str | None, typer.Option(help="Of the task: a name, or a file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Of coverage, in JSON: tells what is missing.")] = None,
    min_submitted: MinSubmitted = 1,
) -> None:
    """Send one record a feature; sent again, records are updated and answers kept."""
    from fac_datasets import review
    from fac_datasets.rows.loading import load_rows

    print(
        review.push_explanations(
            load_rows(table),
            name,
            workspace=workspace,
            guideline=guideline,
            report=None if report is None else kept_report(report, "--report"),
            min_submitted=min_submitted,
        )
    )


@push.command("samples")
@grouped
def push_samples(
    data: Samples,
    name: Name,
    extraction: Extraction,
    workspace: Workspace = None,
    kind: Kind = None,
    label_column: Annotated[str | None, typer.Option(help="Labels that reviewers check.")] = None,
    min_submitted: MinSubmitted = 1,
    column: Column = None,
) -> None:
    """Send one record a synthetic row, with the token marked where the feature peaks; sent again, answers are kept."""
    from fac_datasets import review
    from fac_datasets.synthesis.augment import load_synthetic

    print(
        review.push_samples(
            load_synthetic(data),
            name,
            workspace=workspace,
            kind=kind,
            column=column,
            label_column=label_column,
            min_submitted=min_submitted,
            extractor=extraction.extractor(),
        )
    )


@pull.command("explanations")
def pull_explanations(
    table: Table,
    name: Name,
    out: Out,
    workspace: Workspace = None,
    consensus: Consensus = "majority",
    overwrite: Overwrite = False,
) -> None:
    """Write the table with its reviews; pulled again into the same folder, newer answers replace older ones."""
    from fac_datasets import review
    from fac_datasets.coverage.relevant import relevant_features
    from fac_datasets.rows.loading import load_rows

    rows = load_rows(table)
    reviewed = review.pull_explanations(rows, name, workspace=workspace, consensus=consensus)
    _claim(out, "explanations", rows, [name, workspace, consensus], overwrite)
    _write(out, reviewed)
    print(f"{out}: {len(relevant_features(reviewed)):,} of {len(reviewed):,} features are relevant")


@pull.command("samples")
@grouped
def pull_samples(
    data: Samples,
    name: Name,
    out: Out,
    extraction: Extraction,
    workspace: Workspace = None,
    kind: Kind = None,
    consensus: Consensus = "majority",
    column: Column = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the rows with reviews and edited texts; pulled again into the same folder, newer answers replace older."""
    from fac_datasets import review
    from fac_datasets.synthesis.augment import load_synthetic

    rows = load_synthetic(data)
    extractor = extraction.extractor()
    reviewed = review.pull_samples(
        rows, name, workspace=workspace, kind=kind, column=column, consensus=consensus, extractor=extractor
    )
    _claim(out, "samples", rows, [name, workspace, consensus], overwrite)
    _write(out, reviewed)
    accepted = sum(decision is True for decision in reviewed["accepted"])
    edited = sum(text is not None for text in reviewed["original_text"])
    print(f"{out}: {accepted:,} of {len(reviewed):,} samples are accepted, {edited:,} have edited texts")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where a local server keeps its data.")] = Path("fac-review"),
    port: Annotated[int, typer.Option(help="Of a local server.")] = 6900,
) -> None:
    """Say how to get a server; where one is installed with this repository, start it with two reviews to look at."""
    from fac_datasets.review.local_server import HOW_TO_GET_A_SERVER, installed_server, run_demo

    repository = installed_server()
    if repository is None:
        print(HOW_TO_GET_A_SERVER)
    else:
        run_demo(repository, folder, port)


def _claim(out: Path, what: str, rows: datasets.Dataset, options: list[str | None], overwrite: bool) -> None:
    """Take a folder for what was pulled; before, a name that is none would take it, or empty it."""
    from fac_datasets.files.output_folder import claim
    from fac_datasets.rows.dataset_identity import content_fingerprint

    identity = {"command": f"review pull {what}", "rows": content_fingerprint(rows), "options": options}
    claim(out, RECORD, identity, parts=("data",), overwrite=overwrite)


def _write(out: Path, reviewed: datasets.Dataset) -> None:
    """Write what was pulled, and say how far people agree."""
    from fac_datasets.files.output_folder import write_table
    from fac_datasets.review import summary

    write_table(out, reviewed)
    print(summary(reviewed))
