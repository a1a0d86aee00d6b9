"""`fac-datasets sae`: train and calibrate sparse autoencoders."""

from __future__ import annotations

from typing import Annotated

import typer

from fac_datasets.cli.options import BackboneName, Column, Device, Out, Seed, Split

app = typer.Typer(no_args_is_help=True)


@app.command()
def train(
    data: Annotated[str, typer.Argument(help="Texts or chats to train on.")],
    out: Out,
    layer: Annotated[int, typer.Option("--layer", help="Decoder blocks before the residual stream.")],
    backbone: BackboneName = "embedded",
    column: Column = None,
    split: Split = None,
    d_sae: Annotated[int, typer.Option(help="Number of features.")] = 8192,
    k: Annotated[int, typer.Option(help="Active features a token.")] = 32,
    tokens: Annotated[int, typer.Option(help="Own tokens to train on.")] = 1_000_000,
    render: Annotated[list[str] | None, typer.Option(help="chat, raw or both; default: as the template allows")] = None,
    name: Annotated[str, typer.Option(help="Name of the SAE.")] = "sae",
    corpus: Annotated[str, typer.Option(help="What the texts are, for the SAE's configuration.")] = "",
    dtype: Annotated[str, typer.Option(help="Of the backbone while training.")] = "float32",
    save_dtype: Annotated[str, typer.Option(help="Of the saved weights.")] = "float32",
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Train a TopK SAE on the residual stream; killed and run again, it continues."""
    from fac_datasets.backbone import Backbone
    from fac_datasets.loading import load_rows
    from fac_datasets.sae.training import TrainingConfig, train_sae

    config = TrainingConfig(
        d_sae=d_sae,
        k=k,
        n_tokens=tokens,
        renders=tuple(render) if render else None,
        seed=seed,
        name=name,
        corpus=corpus,
        save_dtype=save_dtype,
    )
    texts = load_rows(data, split)
    sae = train_sae(Backbone(backbone, layer, device=device, dtype=dtype), texts, config, out, column=column)
    result = sae.config.training
    print(
        f"{out}: {result['tokens']:,} tokens, fraction of variance unexplained {result['fvu']:.3f}, "
        f"L0 {result['l0']}, dead {result['dead_share']:.2%}"
    )


@app.command()
def calibrate(
    data: Annotated[str, typer.Argument(help="Texts or chats to measure usual activations on.")],
    sae: Annotated[str, typer.Option("--sae", help="Folder of the SAE.")],
    backbone: BackboneName = "embedded",
    column: Column = None,
    split: Split = None,
    render: Annotated[list[str] | None, typer.Option(help="chat, raw or both; default: as the template allows")] = None,
    activation: Annotated[list[str] | None, typer.Option(help="sae, relu, or both; default: both.")] = None,
    device: Device = None,
) -> None:
    """Measure each feature's usual activations, which quantile thresholds need, and store them with the SAE."""
    from fac_datasets.backbone import Backbone
    from fac_datasets.columns import read_rows, resolve_column
    from fac_datasets.loading import load_rows
    from fac_datasets.sae.calibration import calibrate_sae
    from fac_datasets.sae.formats import find_sae

    texts = load_rows(data, split)
    rows = read_rows(texts[:], resolve_column(texts.features, column))
    model = Backbone(backbone, find_sae(sae).config.layer, device=device)
    for one_render in render or (["chat", "raw"] if model.info.has_template else ["raw"]):
        for one_activation in activation or ["sae", "relu"]:
            result = calibrate_sae(model, sae, rows, render=one_render, activation=one_activation)
            print(
                f"{sae}: {one_render}, {one_activation}: {result.n_tokens:,} tokens; {result.n_rare:,} rare features "
                f"take the pooled quantiles"
            )
