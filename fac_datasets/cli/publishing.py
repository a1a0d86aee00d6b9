"""`fac-datasets publish`: to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import AllowSecret, Column, PlanOnly, Public, Publication

if TYPE_CHECKING:
    import datasets

app = typer.Typer(no_args_is_help=True)

Repository = Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME on the Hub, made where there is none.")]
License = Annotated[str | None, typer.Option("--license", help="Hub identifier, such as cc-by-4.0.")]


@app.callback()
def publish() -> None:
    """Publish to the Hub."""


@app.command()
@grouped
def data(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder that `fac-datasets run` wrote.")],
    repository: Repository,
    publication: Publication,
    anchor: Annotated[
        str | None, typer.Option(metavar="DATA", help="The run's anchor, in which no synthetic row may stand.")
    ] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Publish rows that stand in the anchor, or without looking.")
    ] = False,
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Leave out synthetic rows that stand in the anchor.")
    ] = False,
    reviewed: Annotated[
        str | None, typer.Option(metavar="DATA", help="What `review pull samples` wrote: only accepted rows are kept.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(metavar="DATA", help="The rows of train with feature columns, to publish too.")
    ] = None,
    feature_table: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Feature table to publish too; it holds excerpts of the anchor.")
    ] = None,
    license: License = None,
    language: Annotated[list[str] | None, typer.Option(help="Language code; may be given more than once.")] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Task category of the Hub, such as text-generation; more than once.")
    ] = None,
    not_for_all_audiences: Annotated[
        bool, typer.Option("--not-for-all-audiences", help="Tag the dataset so: it is harmful by intent.")
    ] = False,
    column: Column = None,
    dry_run: PlanOnly = False,
) -> None:
    """Publish an augmented dataset: tables, provenance, report, plot and card, by one commit."""
    from fac_datasets.pipeline import CARD, PLOT
    from fac_datasets.publishing.data import publish as publish_data
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.synthesis.augment import AugmentedDataset, augment

    require_present(anchor, reviewed, features, feature_table)
    report = _report(path)
    augmented = AugmentedDataset.load(path)
    judged = None if reviewed is None else _rows(reviewed)
    if judged is not None:
        seed = augmented.dataset["seed"].remove_columns("synthetic_id")
        augmented = augment(seed, judged, column=column)
    print(
        publish_data(
            augmented,
            publication.target(repository),
            report,
            anchor=None if anchor is None else _rows(anchor, report["given"]["anchor"]["split"]),
            allow_leaks=allow_leaks,
            drop_leaks=drop_leaks,
            allow_secrets=publication.allow_secrets,
            reviewed=judged,
            features=None if features is None else _rows(features),
            feature_table=None if feature_table is None else _rows(feature_table),
            files={PLOT: path / PLOT} if (path / PLOT).is_file() else None,
            card=(path / CARD).read_text(encoding="utf-8") if (path / CARD).is_file() else None,
            license=license,
            language=language,
            task_categories=task or (),
            not_for_all_audiences=not_for_all_audiences,
            column=column,
            dry_run=dry_run,
        )
    )


@app.command()
@grouped
def sae(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of an SAE.")],
    repository: Repository,
    publication: Publication,
    license: License = None,
    dry_run: PlanOnly = False,
) -> None:
    """Publish an SAE with its calibrations, report and card."""
    from fac_datasets.publishing.sae import publish_sae

    print(
        publish_sae(
            path,
            publication.target(repository),
            license=license,
            allow_secrets=publication.allow_secrets,
            dry_run=dry_run,
        )
    )


@app.command()
def metrics(
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="User or organization that gets a Space for each.")],
    name: Annotated[list[str] | None, typer.Option(help="Only this metric; may be given more than once.")] = None,
    public: Public = False,
    allow_secret: AllowSecret = None,
    dry_run: PlanOnly = False,
) -> None:
    """Publish the metrics as Spaces, from which evaluate.load("OWNER/NAME") loads them."""
    from fac_datasets.publishing.spaces import publish_metrics

    for published in publish_metrics(owner, name, public=public, allow_secrets=allow_secret or (), dry_run=dry_run):
        print(published)


@app.command()
@grouped
def space(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Folder of a Gradio Space, or the name of one of ours.")],
    repository: Repository,
    publication: Publication,
    dry_run: PlanOnly = False,
) -> None:
    """Publish a Gradio Space."""
    from fac_datasets.publishing.spaces import publish_space

    print(publish_space(path, publication.target(repository), allow_secrets=publication.allow_secrets, dry_run=dry_run))


def _report(path: Path) -> dict[str, Any]:
    """The report of a finished run."""
    import json

    from fac_datasets.errors import OptionError
    from fac_datasets.pipeline import REPORT

    try:
        report: dict[str, Any] = json.loads((path / REPORT).read_text())
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} holds no finished run, whose report is {REPORT}: {error}") from error
    return report


def _rows(name: str, split: str | None = None) -> datasets.Dataset:
    from fac_datasets.rows.loading import load_rows

    return load_rows(name, split or None)
