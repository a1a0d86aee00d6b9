"""`fac-datasets publish`: to the Hub."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def publish() -> None:
    """Publish to the Hub."""


@app.command()
def metrics(
    owner: Annotated[str, typer.Option(help="User or organization that gets a Space for each metric.")],
    name: Annotated[list[str] | None, typer.Option(help="Only this metric; may be given more than once.")] = None,
    push: Annotated[bool, typer.Option("--push", help="Push; without it only what would be pushed is shown.")] = False,
) -> None:
    """Push the metrics as Spaces, from which evaluate.load("OWNER/NAME") loads them."""
    from fac_datasets.publishing import metric_spaces, publish_metrics

    if push:
        for address in publish_metrics(owner, name).values():
            print(address)
        return
    for space in metric_spaces(owner, name):
        print(f"{space.repository}: " + ", ".join(f"{file} ({size:,} bytes)" for file, size in space.files.items()))
    print("nothing was pushed; add --push")
