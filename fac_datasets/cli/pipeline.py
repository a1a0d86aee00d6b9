"""`fac-datasets run`: the whole pipeline."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import (
    AnchorReading,
    Extraction,
    Generation,
    Out,
    Overwrite,
    Reading,
    Seed,
    typed_options,
)
from fac_datasets.cli.writing import Others, Writing

_OF_THIS_MACHINE = ("seed_data", "anchor_data", "out", "device", "overwrite", "concurrency", "dry_run", "preview")
"""Parameters that are not part of the command on a card, or stand in it under other names."""


@grouped
def run(
    context: typer.Context,
    seed_data: Annotated[str, typer.Argument(metavar="SEED", help="Dataset to augment: a file, a folder or a Hub id.")],
    anchor_data: Annotated[str, typer.Argument(metavar="ANCHOR", help="Dataset that stands for the target task.")],
    out: Out,
    extraction: Extraction,
    reading: Reading,
    anchor_reading: AnchorReading,
    writing: Writing,
    generation: Generation,
    others: Others,
    threshold: Annotated[str, typer.Option(help="Of coverage: a number, or q50, q75, q90, q95, q99.")] = "q90",
    features: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Judged feature table; only relevant features count.")
    ] = None,
    preview: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Make N samples, show them, and write nothing.")
    ] = None,
    license: Annotated[
        list[str] | None, typer.Option(help="Licence of the seed; default: that on its card. More than once.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Language code; default: that on the seed's card. More than once.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Measure a dataset's coverage, synthesize what is missing, and write the augmented dataset."""
    from fac_datasets.feature_space import parse_threshold
    from fac_datasets.pipeline import Settings
    from fac_datasets.pipeline import preview as preview_run
    from fac_datasets.pipeline import run as run_pipeline
    from fac_datasets.publishing.dataset_card import HARMFUL
    from fac_datasets.rows.data_files import require_present, short_name
    from fac_datasets.rows.loading import header_of, load_rows

    require_present(seed_data, anchor_data, features)
    of_coverage = parse_threshold(threshold)
    of_anchor = anchor_reading.reading(reading)
    seed_rows, anchor_rows = reading.load(seed_data), of_anchor.load(anchor_data)
    header = header_of(seed_data)
    settings = Settings(
        **asdict(extraction),
        **writing.settings(),
        column=reading.column,
        anchor_column=of_anchor.column,
        threshold=of_coverage,
        limits=generation.limits,
        answer_tokens=others.answer_tokens,
        seed=seed,
        license=license or header.get("license"),
        license_name=None if license else header.get("license_name"),
        license_link=None if license else header.get("license_link"),
        language=language or header.get("language"),
        not_for_all_audiences=HARMFUL in (header.get("tags") or []),
    )
    names = (short_name(seed_data), short_name(anchor_data))
    words = ["fac-datasets", "run", *names, "--out", "FOLDER", *typed_options(context, without=_OF_THIS_MACHINE)]
    given: dict[str, Any] = {
        "generator": generation.generator(extraction.device),
        "responder": others.responder(extraction.device),
        "verifier": others.verifier(extraction.device),
        "features": None if features is None else load_rows(features),
        "names": names,
    }
    if preview is not None:
        preview_run(seed_rows, anchor_rows, preview, settings, **given)
        return
    run_pipeline(
        seed_rows,
        anchor_rows,
        out,
        settings,
        **given,
        command=shlex.join(words),
        overwrite=overwrite,
        dry_run=generation.dry_run,
    )
