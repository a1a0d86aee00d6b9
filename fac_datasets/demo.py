"""The demo: the whole pipeline on real conversations, with the embedded backbone and SAE.

python -m fac_datasets.demo --out fac-demo
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fac_datasets.rows.conversations import CORPUS, seed_and_anchor


def main(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace another run in that folder.")] = False,
) -> None:
    """Run the whole pipeline on the demo's conversations."""
    from fac_datasets.pipeline import Settings, run

    seed_rows, anchor_rows = seed_and_anchor(seed)
    settings = Settings(seed=seed, license="bsd-3-clause", language="en")
    names = (f"{CORPUS.requirement}, six topics", f"{CORPUS.requirement}, all topics")
    run(seed_rows, anchor_rows, out, settings, names=names, overwrite=overwrite)


if __name__ == "__main__":
    from fac_datasets.errors import exit_with

    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    exit_with(app)
