"""`fac-datasets run`: the whole pipeline."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from fac_datasets.cli.groups import grouped
from fac_datasets.cli.options import (
    BackboneName,
    Device,
    Layer,
    OtherBackbone,
    Out,
    Overwrite,
    Reading,
    SaeName,
    Seed,
    dataset_name,
    typed_options,
)

_OF_THIS_MACHINE = ("seed_data", "anchor_data", "out", "device", "overwrite")
"""Parameters that are not part of the command on a card, or stand in it under other names."""


@grouped
def run(
    context: typer.Context,
    seed_data: Annotated[str, typer.Argument(metavar="SEED", help="Dataset to augment: a file, a folder or a Hub id.")],
    anchor_data: Annotated[str, typer.Argument(metavar="ANCHOR", help="Dataset that stands for the target task.")],
    out: Out,
    reading: Reading,
    backbone: BackboneName = "embedded",
    sae: SaeName = "embedded",
    layer: Layer = None,
    other_backbone: OtherBackbone = False,
    threshold: Annotated[str, typer.Option(help="Of coverage: a number, or q50, q75, q90, q95, q99.")] = "q90",
    max_features: Annotated[int, typer.Option(help="Missing features to aim at.")] = 50,
    max_attempts: Annotated[int, typer.Option(help="Samples tried for a feature.")] = 8,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of a sample.")] = 64,
    license: Annotated[
        list[str] | None, typer.Option(help="Licence of the seed; default: that on its card. More than once.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Language code; default: that on the seed's card. More than once.")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure a dataset's coverage, synthesize what is missing, and write the augmented dataset."""
    from fac_datasets.feature_space import parse_threshold
    from fac_datasets.pipeline import Settings
    from fac_datasets.pipeline import run as run_pipeline
    from fac_datasets.publishing.dataset_card import HARMFUL
    from fac_datasets.rows.loading import header_of

    seed_rows, anchor_rows = reading.load(seed_data), reading.load(anchor_data)
    header = header_of(seed_data)
    settings = Settings(
        backbone=backbone,
        sae=sae,
        layer=layer,
        other_backbone=other_backbone,
        column=reading.column,
        threshold=parse_threshold(threshold),
        max_features=max_features,
        max_attempts=max_attempts,
        max_new_tokens=max_new_tokens,
        seed=seed,
        device=device,
        license=license or header.get("license"),
        license_name=None if license else header.get("license_name"),
        license_link=None if license else header.get("license_link"),
        language=language or header.get("language"),
        not_for_all_audiences=HARMFUL in (header.get("tags") or []),
    )
    names = (dataset_name(seed_data), dataset_name(anchor_data))
    words = ["fac-datasets", "run", *names, "--out", "FOLDER", *typed_options(context, without=_OF_THIS_MACHINE)]
    run_pipeline(seed_rows, anchor_rows, out, settings, names=names, command=shlex.join(words), overwrite=overwrite)
