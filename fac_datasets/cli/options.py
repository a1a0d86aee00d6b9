"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
