"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import datasets

    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.generation.base import TextGenerator

Out = Annotated[Path, typer.Option("--out", help="Folder to write.")]
BackboneName = Annotated[str, typer.Option("--backbone", help="'embedded', a folder or a Hub id.")]
SaeName = Annotated[str, typer.Option("--sae", help="'embedded', a folder or a Hub id.")]
Layer = Annotated[int | None, typer.Option("--layer", help="Decoder blocks before the residual; default: the SAE's.")]
Column = Annotated[str | None, typer.Option("--column", help="Column of texts or chats; default: the one known name.")]
Split = Annotated[str | None, typer.Option("--split", help="Split to read; default: the only one, or train.")]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Device = Annotated[str | None, typer.Option("--device", help="Torch device; default: CUDA where there is one.")]
OtherBackbone = Annotated[bool, typer.Option("--other-backbone", help="Accept an SAE of another backbone.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another run in the folder.")]


def dataset_name(argument: str) -> str:
    """What to call a dataset argument in reports: a Hub id as it is, of a local path only the last part."""
    return Path(argument).name if Path(argument).exists() else argument


def typed_options(context: typer.Context, *, without: Collection[str]) -> list[str]:
    """The options that a user gave, as words of the command; of a local path only the last part."""
    words: list[str] = []
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name in without or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[str(parameter.name)]
        if isinstance(value, bool):
            words += parameter.opts[:1] if value else parameter.secondary_opts[:1]
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [parameter.opts[0], dataset_name(str(one))]
    return words


Model = Annotated[
    str | None, typer.Option("--model", help="'embedded', a folder or a Hub id; with --endpoint, its model there.")
]
Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Address of an OpenAI-compatible server.")]
Provider = Annotated[str | None, typer.Option("--provider", help="Of Inference Providers, or 'auto'.")]
Concurrency = Annotated[int, typer.Option("--concurrency", help="Requests to an endpoint at once.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many calls and tokens it would take.")]
MaxCalls = Annotated[
    int | None, typer.Option("--max-calls", help="Stop before more answers than this; failed tries are not counted.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", help="Stop before more tokens than this, of prompts and answers.")
]


def text_generator(
    model: str | None, endpoint: str | None, provider: str | None, concurrency: int, device: str | None
) -> TextGenerator | None:
    """The generator that these options name; None where they name none."""
    if endpoint or provider:
        from fac_datasets.generation.endpoint import EndpointGenerator

        named = None if provider == "auto" else provider
        return EndpointGenerator(model, base_url=endpoint, provider=named, concurrency=concurrency)
    if model is None:
        return None
    from fac_datasets.generation.local import LocalGenerator

    return LocalGenerator(model, device=device)


def row_extractor(
    backbone: str, sae: str, layer: int | None, column: str | None, other_backbone: bool, device: str | None
) -> FeatureExtractor:
    """The extractor that these options name; it stores every activation."""
    from fac_datasets.features.extractor import FeatureExtractor

    return FeatureExtractor(
        backbone, sae, layer, column=column, threshold=0, device=device, other_backbone=other_backbone
    )


def with_features(rows: datasets.Dataset, extractor: FeatureExtractor) -> datasets.Dataset:
    """Rows with feature columns: their own, or extracted now."""
    if f"{extractor.prefix(rows.features)}feature_ids" in rows.column_names:
        return rows
    return rows.map(extractor, batched=True, desc="extract")
