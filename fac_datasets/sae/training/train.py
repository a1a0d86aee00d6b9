"""Training a sparse autoencoder on the residual stream of a backbone, on the fly and resumable."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import datasets
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from accelerate.utils import broadcast_object_list

from fac_datasets.backbone.model import Backbone
from fac_datasets.backbone.pretrained import torch_dtype
from fac_datasets.errors import OutputError
from fac_datasets.files.atomic import write_atomically
from fac_datasets.plots import training_png
from fac_datasets.rows.reader import ColumnChoice
from fac_datasets.sae.activations import Texts
from fac_datasets.sae.model import CONFIG_FILE, WEIGHTS_FILE, SparseAutoencoder
from fac_datasets.sae.training.checkpoint import is_checkpoint
from fac_datasets.sae.training.config import TrainingConfig
from fac_datasets.sae.training.run import TrainingRun

CHECKPOINT = "checkpoint.safetensors"


REPORT = "training.json"


PLOT = "training.png"


def train_sae(
    backbone: Backbone,
    texts: Texts | Sequence[Texts],
    config: TrainingConfig,
    output_dir: str | Path,
    *,
    weights: Sequence[float] | None = None,
    column: ColumnChoice = None,
    cache_dir: str | Path | None = None,
    trackers: Sequence[str | GeneralTracker] = (),
    resume: bool = True,
) -> SparseAutoencoder:
    """Train an SAE and save it in `output_dir`, with what the run measured in its configuration.

    Residual vectors of the rows' own tokens fill a chunk, which is shuffled, trained on and dropped; a killed run
    continues from its last checkpoint, which is written behind a chunk, with the same result. Streams are taken up
    where they were left, but a shuffle buffer of their own is not: leave shuffling to the chunks. Under `accelerate
    launch` every process reads its own share of the rows, and gradients are averaged. Beside the SAE stand
    `training.json` and `training.png`: settings, texts, and what each chunk measured.

    Args:
        backbone: cut behind the layer whose residual stream is read.
        texts: one or several datasets of texts or chats, in memory or streamed.
        config: settings.
        output_dir: made when missing.
        weights: share of the rows that each dataset gives; by default by their numbers of rows, or equal for streams.
        column: the column that holds the texts; by default the one known name that is present.
        cache_dir: folder for the residual vectors, which several SAEs or passes can then share.
        trackers: trackers of `accelerate`, by name or as objects, that log every chunk.
        resume: continue from a checkpoint in `output_dir`.

    Returns:
        The trained SAE, in float32 on the CPU.

    Raises:
        OptionError: a setting has no meaning.
        OutputError: the disk is full or the folder cannot be written, where the last checkpoint is kept; or the folder
            holds a model that is no SAE.
        TrainingError: there is nothing to train on, the loss became NaN, or the checkpoint is of another run.

    Example:
        >>> config = TrainingConfig(d_sae=128, k=8, n_tokens=200)
        >>> sae = train_sae(Backbone("embedded", 15), texts, config, "my-sae")
        >>> sae.config.training["tokens"] >= 200
        True
    """
    output = Path(output_dir)
    save_dtype = torch_dtype(config.save_dtype)
    accelerator = Accelerator(
        cpu=backbone.device.type == "cpu", log_with=list(trackers) or None, project_dir=str(output)
    )
    several = [texts] if isinstance(texts, datasets.Dataset | datasets.IterableDataset) else list(texts)
    run = TrainingRun(accelerator, backbone, several, config, weights=weights, column=column, cache_dir=cache_dir)
    checkpoint = output / CHECKPOINT
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the output folder {output} cannot be written: {error}") from error
    # One process decides for all of them.
    state = "new"
    if resume:
        state = "stopped" if checkpoint.exists() else "finished" if (output / CONFIG_FILE).exists() else "new"
    (state,) = broadcast_object_list([state])
    if state != "stopped":
        _require_own(output)
    if state == "finished":
        return run.finished(output)
    if state == "stopped":
        run.load(checkpoint)
    else:
        if accelerator.is_main_process:
            # First what says whose the folder is, so that an interrupted clean-up can be repeated.
            write_atomically(output / REPORT, json.dumps(run.report(), indent=2).encode())
            for name in (WEIGHTS_FILE, PLOT, CHECKPOINT, CONFIG_FILE):
                (output / name).unlink(missing_ok=True)
        run.start()
    accelerator.init_trackers("fac-datasets-sae", config={k: str(v) for k, v in dataclasses.asdict(config).items()})
    try:
        run.train(checkpoint)
    finally:
        # Not end_training, which would also take down the process group of whoever called.
        for tracker in accelerator.trackers:
            tracker.finish()
    sae = run.finish()
    if accelerator.is_main_process:
        sae.save_pretrained(output, dtype=save_dtype)
        write_atomically(output / REPORT, json.dumps(run.report(), indent=2).encode())
        write_atomically(output / PLOT, training_png(run.progress.history))
        checkpoint.unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return sae


def _require_own(output: Path) -> None:
    """Raise OutputError where a run would write over files of something else, such as a backbone."""
    written = (CHECKPOINT, CONFIG_FILE, WEIGHTS_FILE, REPORT, PLOT)
    in_the_way = [name for name in written if (output / name).exists()]
    marks = {CONFIG_FILE: {"d_in", "d_sae", "layer"}, REPORT: {"settings", "backbone_digest", "history"}}
    own = any(keys <= _keys(output / name) for name, keys in marks.items()) or is_checkpoint(output / CHECKPOINT)
    if in_the_way and not own:
        raise OutputError(
            f"{output} holds {', '.join(in_the_way)} of something else than an SAE, which training would write over; "
            f"choose another output_dir (--out)"
        )


def _keys(path: Path) -> set[str]:
    """The keys of a JSON object; none where there is no such file."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return set()
    return set(content) if isinstance(content, dict) else set()
