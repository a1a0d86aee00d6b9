"""`fac-datasets sae`: train, evaluate and calibrate sparse autoencoders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fac_datasets.cli.groups import Changes, grouped
from fac_datasets.cli.options import BackboneName, Device, Dtype, OtherBackbone, Out, Overwrite, Reading, SaeName
from fac_datasets.sae.training.config import TrainingConfig

app = typer.Typer(no_args_is_help=True)

_NO_OPTIONS = ("unit_norm", "normalize_input", "epsilon", "aux_weight", "truncate", "checkpoint_seconds")
"""Settings that a preset decides."""

Texts = Annotated[list[str], typer.Argument(metavar="DATA...", help="Texts or chats: files, folders or Hub ids.")]
Renders = Annotated[list[str] | None, typer.Option("--render", help="chat, raw or both; default: as the model allows.")]


@app.command()
@grouped
def train(
    data: Texts,
    out: Out,
    layer: Annotated[int, typer.Option("--layer", help="Decoder blocks before the residual stream.")],
    reading: Reading,
    changes: Annotated[
        dict[str, Any], Changes(TrainingConfig, _NO_OPTIONS, {"n_tokens": "tokens", "renders": "render"})
    ],
    backbone: BackboneName = "embedded",
    weight: Annotated[list[float] | None, typer.Option(help="Share of rows of each DATA, in order.")] = None,
    streaming: Annotated[bool, typer.Option(help="Read DATA as streams.")] = False,
    preset: Annotated[str, typer.Option(help="default, or reference: the recipe of the paper.")] = "default",
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps activations, for several passes or SAEs.")
    ] = None,
    tracker: Annotated[list[str] | None, typer.Option(help="Trackers of accelerate, such as tensorboard.")] = None,
    dtype: Dtype = "float32",
    device: Device = None,
    overwrite: Overwrite = False,
) -> None:
    """Train an SAE on the residual stream; killed and run again, it continues. For several processes, start it with
    `accelerate launch -m fac_datasets sae train ...`."""
    from accelerate import PartialState

    from fac_datasets.backbone.model import Backbone
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.rows.loading import stream_rows
    from fac_datasets.sae.training.train import train_sae

    config = TrainingConfig.preset(preset, **changes)
    require_present(*data)
    sae = train_sae(
        Backbone(backbone, layer, device=device, dtype=dtype),
        [stream_rows(one, reading.split) if streaming else reading.load(one) for one in data],
        config,
        out,
        weights=weight,
        column=reading.column,
        cache_dir=cache,
        trackers=tracker or (),
        resume=not overwrite,
    )
    if not PartialState().is_main_process:
        return
    result = sae.config.training
    print(
        f"{out}: {result['tokens']:,} tokens, fraction of variance unexplained {result['fvu']:.3f}, "
        f"L0 {result['l0']:.1f}, dead {result['dead_share']:.2%}"
    )


@app.command()
@grouped
def evaluate(
    data: Texts,
    out: Out,
    reading: Reading,
    sae: SaeName = "embedded",
    backbone: BackboneName = "embedded",
    kind_column: Annotated[
        str | None, typer.Option(help="Column by whose values the measures are broken down.")
    ] = None,
    render: Renders = None,
    max_tokens: Annotated[int | None, typer.Option(help="Own tokens measured of each kind; default: all.")] = None,
    other_backbone: OtherBackbone = False,
    device: Device = None,
    dtype: Dtype = "float32",
    overwrite: Overwrite = False,
) -> None:
    """Measure an SAE on held-out text; writes report.json and report.png."""
    import json

    from fac_datasets.backbone.rendering import require_render
    from fac_datasets.errors import OutputError
    from fac_datasets.files.atomic import write_atomically
    from fac_datasets.plots import evaluation_png
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.sae.evaluation import evaluate_sae, evaluation_identity

    require_present(*data)
    for one_render in render or ():
        require_render(one_render)
    texts = [reading.load(one) for one in data]
    path = out / "report.json"
    options: dict[str, Any] = {
        "column": reading.column,
        "kind_column": kind_column,
        "renders": render,
        "max_tokens": max_tokens,
        "dtype": dtype,
    }
    report = _kept_report(path)
    if report and not overwrite:
        asked = evaluation_identity(backbone, sae, texts, **options)
        differing = [name for name, value in asked.items() if name not in report or report[name] != value]
        if differing:
            raise OutputError(f"{path} is of other {', '.join(differing)}; choose another --out, or say --overwrite")
    else:
        report = evaluate_sae(backbone, sae, texts, other_backbone=other_backbone, device=device, **options)
        write_atomically(path, (json.dumps(report, indent=2) + "\n").encode())
        write_atomically(out / "report.png", evaluation_png(report))
    for kind, part in {"all": report, **report["kinds"]}.items():
        print(
            f"{kind}: {part['tokens']:,} tokens, fraction of variance unexplained {part['fvu']:.3f}, L0 "
            f"{part['l0']:.1f}, never active {part['dead_share']:.2%}, loss recovered {part['loss_recovered']:.3f}"
        )


def _kept_report(path: Path) -> dict[str, Any]:
    """The report of an SAE in a file; empty where there is no file.

    Raises:
        OutputError: the file is something else, which must not be written over.
    """
    import json

    from fac_datasets.errors import OutputError

    if not path.exists():
        return {}
    try:
        report = json.loads(path.read_text())
    except ValueError:
        report = None
    if not isinstance(report, dict) or "sae_digest" not in report:
        raise OutputError(f"{path} is no report of an SAE and is kept; choose another --out")
    return report


@app.command()
@grouped
def calibrate(
    data: Texts,
    sae: Annotated[str, typer.Option("--sae", help="Folder of the SAE.")],
    reading: Reading,
    backbone: BackboneName = "embedded",
    render: Renders = None,
    activation: Annotated[list[str] | None, typer.Option(help="sae, relu, or both; default: both.")] = None,
    other_backbone: OtherBackbone = False,
    device: Device = None,
) -> None:
    """Measure each feature's usual activations, which quantile thresholds need, and store them with the SAE."""
    from fac_datasets.backbone.model import Backbone
    from fac_datasets.backbone.rendering import require_render
    from fac_datasets.feature_space import require_activation
    from fac_datasets.rows.data_files import require_present
    from fac_datasets.rows.reader import RowReader
    from fac_datasets.sae.calibration import calibrate_sae
    from fac_datasets.sae.loading import find_sae

    require_present(*data)
    for one_render in render or ():
        require_render(one_render)
    for one_activation in activation or ():
        require_activation(one_activation)
    rows = []
    for one in data:
        texts_or_chats = reading.load(one)
        rows += RowReader(texts_or_chats.features, reading.column).read(texts_or_chats.with_format("arrow")[:])
    texts = [row for row in rows if not isinstance(row, list)]
    model = Backbone(backbone, find_sae(sae).config.layer, device=device)
    wanted = render or model.info.renders
    if not texts and "raw" in wanted and not render:
        print(f"{sae}: raw is left out, since every row is a chat; --render raw measures their messages in a row")
        wanted = ["chat"]
    for one_render in wanted:
        used = rows if one_render == "chat" or not texts else texts
        for one_activation in activation or ["sae", "relu"]:
            result = calibrate_sae(
                model, sae, used, render=one_render, activation=one_activation, other_backbone=other_backbone
            )
            print(
                f"{sae}: {one_render}, {one_activation}: {result.n_tokens:,} tokens of {len(used):,} rows; "
                f"{result.n_rare:,} rare features take the pooled quantiles"
            )
        if len(used) < len(rows):
            print(f"{sae}: {one_render}: {len(rows) - len(used):,} chats were left out, since they need the template")
