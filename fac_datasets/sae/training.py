"""Training a sparse autoencoder on the residual stream of a backbone, on the fly and resumable."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm.auto import tqdm

from fac_datasets.backbone import Backbone, torch_dtype
from fac_datasets.caching import write_atomically
from fac_datasets.errors import OptionError, OutputError, TrainingError
from fac_datasets.plots import plot_training
from fac_datasets.sae.activations import ResidualStream, Rows, Texts
from fac_datasets.sae.architectures import ARCHITECTURES
from fac_datasets.sae.model import CONFIG_FILE, SAEConfig, SparseAutoencoder
from fac_datasets.sae.objectives import make_objective, mean_square
from fac_datasets.windows import require_render

CHECKPOINT = "checkpoint.safetensors"
REPORT = "training.json"
PLOT = "training.png"

_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "reference": {
        "objective": "reference",
        "d_sae": 65_536,
        "k": 20,
        "k_start": 200,
        "tied": True,
        "unit_norm": False,
        "normalize_input": False,
        "learning_rate": 1e-3,
        "epsilon": 6.25e-10,
        "warmup": 0.0,
        "decay": 0.0,
        "renders": ("chat",),
        "max_length": 256,
        "truncate": True,
    },
}
_FOR_PEOPLE = ("name", "corpus", "save_dtype", "checkpoint_seconds")
"""Settings that do not change the weights."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run; the embedded SAE is made with the defaults and more tokens."""

    objective: str = "topk"
    """`"topk"`, `"relu"` or `"reference"`; see `fac_datasets.sae.objectives`."""
    d_sae: int = 8192
    """Number of features."""
    k: int = 32
    """Active features a token (TopK)."""
    k_start: int | None = None
    """The k that the reference starts with."""
    tied: bool = False
    """Use the encoder's weights, transposed, as decoder."""
    unit_norm: bool = True
    """Keep decoder rows at norm 1, and drop the gradient along them."""
    normalize_input: bool = True
    """Scale residual vectors so that their mean norm is sqrt(d_in)."""
    n_tokens: int = 1_000_000
    """Own tokens that a pass takes from the texts, which are repeated where they hold fewer."""
    passes: int = 1
    """Times that these tokens are trained on; a cache of activations makes every pass but the first cheap."""
    batch_size: int = 1024
    """Tokens an optimiser step, of all processes together."""
    learning_rate: float = 8e-4
    """Peak learning rate of Adam."""
    epsilon: float = 1e-8
    """Of Adam."""
    warmup: float = 0.03
    """Share of the run over which the learning rate rises."""
    decay: float = 0.3
    """Share of the run, at its end, over which the learning rate falls to zero."""
    chunk_tokens: int = 65_536
    """Residual vectors that are shuffled together, of all processes."""
    aux_k: int = 256
    """Dead features that reconstruct the error (AuxK)."""
    aux_weight: float = 1 / 32
    """Weight of that loss."""
    l1_weight: float = 5.0
    """Weight of the sum of activations (ReLU)."""
    dead_after: int = 200_000
    """A feature that did not fire for this many tokens is dead."""
    renders: tuple[str, ...] | None = None
    """How texts are rendered; several take turns by row. By default chat and raw, or raw where there is no template."""
    max_length: int = 256
    """Tokens in a window."""
    truncate: bool = False
    """Cut longer rows instead of reading them in several windows."""
    precision: str = "float32"
    """Of the SAE's large products: `"float32"` or `"bfloat16"`; the backbone's is its own."""
    seed: int = 0
    """Of the weights and of all orders."""
    name: str = "sae"
    """Name of the SAE, for people."""
    corpus: str = ""
    """What the texts are, for people."""
    save_dtype: str = "float32"
    """Of the saved weights."""
    checkpoint_seconds: float = 60.0
    """Least time between two checkpoints, which are written behind a chunk."""

    def __post_init__(self) -> None:
        for name in ("d_sae", "k", "n_tokens", "passes", "chunk_tokens", "aux_k", "dead_after"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)} must be at least 1")
        if self.batch_size < 2:
            raise OptionError(
                f"batch_size={self.batch_size} must be at least 2, since the loss is a share of its variance"
            )
        for name in ("k", "k_start"):
            if (getattr(self, name) or 1) > self.d_sae:
                raise OptionError(f"{name}={getattr(self, name)} must not exceed d_sae={self.d_sae}; set it too")
        if self.precision not in ("float32", "bfloat16"):
            raise OptionError(f"precision={self.precision!r} is neither 'float32' nor 'bfloat16'")
        for render in self.renders or ():
            require_render(render)

    @classmethod
    def preset(cls, preset: str, /, **changes: Any) -> TrainingConfig:
        """A named recipe with changes.

        Args:
            preset: `"default"`, or `"reference"`, the recipe of arXiv 2602.10388: tied weights, k annealed from 200 to
                20 over the first half, error over the square of the input, Adam at 1e-3, 256 tokens a prompt.
            changes: settings that differ.

        Raises:
            OptionError: there is no preset of that name.

        Example:
            >>> TrainingConfig.preset("reference", d_sae=4096).tied
            True
        """
        if preset not in _PRESETS:
            raise OptionError(f"preset={preset!r} is not known; known: {', '.join(_PRESETS)}")
        return cls(**{**_PRESETS[preset], **changes})


def train_sae(
    backbone: Backbone,
    texts: Texts | Sequence[Texts],
    config: TrainingConfig,
    output_dir: str | Path,
    *,
    weights: Sequence[float] | None = None,
    column: str | None = None,
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
        OutputError: the disk is full or the folder cannot be written; the last checkpoint is kept.
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
    run = _Run(accelerator, backbone, several, config, weights=weights, column=column, cache_dir=cache_dir)
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
    if state == "finished":
        return run.finished(output)
    if state == "stopped":
        run.load(checkpoint)
    else:
        if accelerator.is_main_process:
            for name in (CHECKPOINT, CONFIG_FILE, REPORT):
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
        plot_training(run.progress.history, output / PLOT)
        checkpoint.unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return sae


@dataclass
class _Progress:
    """How far a run has come."""

    chunk: int = 0
    """The next chunk of the pass."""
    turn: int = 0
    """Passes that are done."""
    of_pass: int = 0
    """Tokens trained on in this pass."""
    trained: int = 0
    """Tokens trained on."""
    steps: int = 0
    """Optimiser steps taken."""
    outliers: int = 0
    """Vectors dropped as attention sinks, in the first pass."""
    seconds: float = 0.0
    """Time spent training."""
    history: list[dict[str, float]] = field(default_factory=list)
    """What each chunk measured."""


class _Run:
    """Weights, optimiser and position of one training run, in one of its processes."""

    def __init__(
        self,
        accelerator: Accelerator,
        backbone: Backbone,
        texts: Sequence[Texts],
        config: TrainingConfig,
        *,
        weights: Sequence[float] | None,
        column: str | None,
        cache_dir: str | Path | None,
    ) -> None:
        self.accelerator, self.backbone, self.config = accelerator, backbone, config
        self.objective = make_objective(config)
        self.n_processes, rank = accelerator.num_processes, accelerator.process_index
        renders = config.renders or backbone.info.renders
        whole = Rows(texts, weights=weights, column=column, renders=renders, seed=config.seed)
        self.corpus = whole.identity()
        self.batch_size = max(1, config.batch_size // self.n_processes)
        """Tokens an optimiser step of this process."""
        self.rows = whole if self.n_processes == 1 else whole.share(rank, self.n_processes)
        self.first_rows = self.rows.position
        self.sae = SparseAutoencoder(
            SAEConfig(
                d_in=backbone.d_model,
                d_sae=config.d_sae,
                architecture=self.objective.architecture,
                k=config.k if ARCHITECTURES[self.objective.architecture].takes_k else None,
                tied=config.tied,
                layer=backbone.layer,
                name=config.name,
                backbone=backbone.info.name,
                backbone_digest=backbone.info.digest,
            )
        ).to(backbone.device)
        self.optimizer = torch.optim.Adam(
            self.sae.parameters(), lr=config.learning_rate, betas=(0.9, 0.999), eps=config.epsilon, fused=True
        )
        self.silent_for = torch.zeros(config.d_sae, dtype=torch.int64, device=backbone.device)
        self.progress = _Progress()
        self.stream = ResidualStream(
            backbone,
            self.rows,
            max_length=config.max_length,
            truncate=config.truncate,
            cache=self._cache(cache_dir, renders, rank) if cache_dir else None,
        )

    def _cache(self, cache_dir: str | Path, renders: Sequence[str], rank: int) -> Path:
        """The cache folder of this process, checked to be of the same texts, backbone and settings."""
        folder = Path(cache_dir)
        config = self.config
        identity = {
            "backbone": self._backbone_identity(),
            "texts": self.corpus,
            "renders": list(renders),
            **{
                name: getattr(config, name) for name in ("max_length", "truncate", "chunk_tokens", "batch_size", "seed")
            },
            "processes": self.n_processes,
        }
        path = folder / "cache.json"
        if path.exists():
            try:
                found = json.loads(path.read_text())
            except ValueError as error:
                raise TrainingError(f"{path} is damaged ({error}); delete the cache folder") from error
            differs = sorted(name for name in identity if found.get(name) != identity[name])
            if differs:
                raise TrainingError(
                    f"the activations in {folder} are of other {', '.join(differs)}; use another cache folder"
                )
        elif rank == 0:
            write_atomically(path, json.dumps(identity, indent=2).encode())
        return folder if self.n_processes == 1 else folder / f"process-{rank}"

    def _backbone_identity(self) -> str:
        return f"{self.backbone.info.digest} layer {self.backbone.layer} {next(self.backbone.model.parameters()).dtype}"

    @property
    def complete(self) -> bool:
        """Whether every pass is done."""
        return self.progress.turn >= self.config.passes

    def train(self, checkpoint: Path) -> None:
        """Train chunk by chunk to the end, with a progress bar, trackers and checkpoints."""
        written = -math.inf
        quiet = datasets.utils.are_progress_bars_disabled() or not self.accelerator.is_main_process
        with tqdm(
            total=self.config.n_tokens * self.config.passes,
            initial=self.progress.trained,
            unit="tok",
            desc="train SAE",
            disable=quiet,
        ) as bar:
            while not self.complete:
                before = self.progress.trained
                measured = self.train_chunk()
                bar.update(self.progress.trained - before)
                bar.set_postfix(
                    fvu=f"{measured['fvu']:.3f}", l0=f"{measured['l0']:.1f}", dead=f"{measured['dead_share']:.1%}"
                )
                logged = {name: value for name, value in measured.items() if name != "tokens"}
                self.accelerator.log(logged, step=self.progress.steps)
                due = self.complete or time.monotonic() - written >= self.config.checkpoint_seconds
                if broadcast_object_list([due])[0]:
                    self.save(checkpoint)
                    written = time.monotonic()

    def start(self) -> None:
        """Set the weights from the first chunk: decoder bias its mean, input scale its mean norm."""
        wanted = self._batches_of_chunk() * self.batch_size
        vectors = self.stream.chunk(0, wanted).vectors[:wanted].float()
        self.rows.go_to(self.first_rows)
        mean = self._average(vectors.mean(dim=0))
        norm = self._average(vectors.norm(dim=-1).mean()).item()
        generator = torch.Generator().manual_seed(self.config.seed)
        d_in, d_sae = self.sae.config.d_in, self.sae.config.d_sae
        directions = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=-1)
        if self.config.normalize_input:
            self.sae.config.input_scale = math.sqrt(d_in) / norm
        with torch.no_grad():
            self.sae.W_enc.copy_(directions.T)
            if not self.config.tied:
                self.sae.W_dec.copy_(directions)
            self.sae.b_dec.copy_(mean * self.sae.config.input_scale)

    def _average(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        averaged: Tensor = self.accelerator.reduce(tensor, "mean")
        return averaged

    def train_chunk(self) -> dict[str, float]:
        """Fill a chunk with residual vectors, shuffle it, train on it once, and say what was measured."""
        began = time.perf_counter()
        progress, config = self.progress, self.config
        size, n_batches = self.batch_size, self._batches_of_chunk()
        chunk = self.stream.chunk(progress.chunk, n_batches * size)
        order = torch.Generator().manual_seed(config.seed + 1 + progress.steps)
        # Only as many as were asked for: a cache may hold more, left by a longer run.
        places = torch.randperm(n_batches * size, generator=order).to(chunk.vectors.device)
        sums = torch.zeros(3)
        for batch in torch.split(chunk.vectors[places], size):
            sums += self._step(self.sae.normalize(batch))
            progress.of_pass += len(batch) * self.n_processes
            progress.trained += len(batch) * self.n_processes
        if progress.turn == 0:
            progress.outliers += sum(gather_object([chunk.outliers]))
        progress.chunk += 1
        if progress.of_pass >= config.n_tokens:
            progress.turn, progress.chunk, progress.of_pass = progress.turn + 1, 0, 0
            self.rows.go_to(self.first_rows)
        seconds = time.perf_counter() - began
        progress.seconds += seconds
        squared_error, variance, l0 = (sums / n_batches).tolist()
        measured = {
            "tokens": progress.trained,
            "fvu": squared_error / variance,
            "l0": l0,
            # Of a short run, features that never fired.
            "dead_share": (self.silent_for >= min(config.dead_after, progress.trained)).float().mean().item(),
            "learning_rate": self._learning_rate(),
            "tokens_per_second": n_batches * size * self.n_processes / seconds,
        }
        progress.history.append({name: float(f"{value:.6g}") for name, value in measured.items()})
        return measured

    def _batches_of_chunk(self) -> int:
        """Optimiser steps in the next chunk: a whole chunk's, or what is left of the pass."""
        wanted = min(self.config.chunk_tokens, self.config.n_tokens - self.progress.of_pass)
        return math.ceil(wanted / self.config.batch_size)

    def _step(self, vectors: Tensor) -> Tensor:
        """One optimiser step; returns squared error, variance and L0 of the batch."""
        config, sae = self.config, self.sae
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        done = self.progress.trained / (config.n_tokens * config.passes)
        with torch.autocast(vectors.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            outcome = self.objective(sae, vectors, self.silent_for >= config.dead_after, done)
        variance = mean_square(vectors - vectors.mean(dim=0))
        measured = self._average(
            torch.stack([outcome.loss.detach(), outcome.squared_error.detach(), variance, outcome.l0]).float()
        ).cpu()
        self._require_finite("loss", measured[0])
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(outcome.loss)
        with torch.no_grad():
            for name, parameter in sae.named_parameters():
                assert parameter.grad is not None
                parameter.grad = self._average(parameter.grad)
                self._require_finite(f"gradient of {name}", parameter.grad.sum())
            self._update()
            fired = self.accelerator.reduce(outcome.fired.long(), "sum") > 0
            self.silent_for += len(vectors) * self.n_processes
            self.silent_for[fired] = 0
        self.progress.steps += 1
        return measured[1:]

    def _require_finite(self, what: str, value: Tensor) -> None:
        """Stop before anything that is no number reaches the weights, and so a checkpoint."""
        if not torch.isfinite(value):
            raise TrainingError(
                f"the {what} became {value.item()} at step {self.progress.steps}; the last checkpoint is kept. Lower "
                f"learning_rate={self.config.learning_rate} and start anew"
            )

    def _update(self) -> None:
        """An optimiser step that keeps decoder rows at norm 1: no gradient along them, and no drift."""
        weight = self.sae.W_enc if self.config.tied else self.sae.W_dec
        if not self.config.unit_norm:
            self.optimizer.step()
            return
        assert weight.grad is not None
        across = 0 if self.config.tied else 1
        weight.grad -= (weight.grad * weight).sum(dim=across, keepdim=True) * weight
        self.optimizer.step()
        weight.div_(weight.norm(dim=across, keepdim=True))

    def _learning_rate(self) -> float:
        config = self.config
        progress = self.progress.trained / (config.n_tokens * config.passes)
        rising = progress / config.warmup if config.warmup else 1.0
        falling = (1 - progress) / config.decay if config.decay else 1.0
        return config.learning_rate * max(min(1.0, rising, falling), 1e-3)

    def save(self, path: Path) -> None:
        """Write everything that the next chunk depends on."""
        positions = gather_object([self.rows.position])
        if not self.accelerator.is_main_process:
            return
        tensors = {f"sae.{name}": tensor for name, tensor in self.sae.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors.update({f"adam.{index}.{name}": torch.as_tensor(value) for name, value in state.items()})
        tensors["silent_for"] = self.silent_for
        metadata = {
            **self.identity(),
            "progress": json.dumps(dataclasses.asdict(self.progress)),
            "rows": json.dumps(positions),
            "input_scale": repr(self.sae.config.input_scale),
        }
        write_atomically(path, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same run."""
        try:
            with safe_open(path, "pt") as stream:
                metadata = stream.metadata()
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise TrainingError(
                f"{path} cannot be read ({error}); delete it, or start anew with resume=False"
            ) from error
        self._require_same_run(path, metadata)
        self.sae.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("sae.")})
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.silent_for = tensors["silent_for"].to(self.backbone.device)
        self.sae.config.input_scale = float(metadata["input_scale"])
        self.progress = _Progress(**json.loads(metadata["progress"]))
        self.rows.go_to(json.loads(metadata["rows"])[self.accelerator.process_index])

    def identity(self) -> dict[str, str]:
        """What decides the weights: settings without names, backbone, texts, and number of processes."""
        settings = {k: v for k, v in dataclasses.asdict(self.config).items() if k not in _FOR_PEOPLE}
        return {
            "settings": json.dumps(settings),
            "backbone": self._backbone_identity(),
            "texts": json.dumps(self.corpus),
            "processes": str(self.n_processes),
        }

    def finished(self, output: Path) -> SparseAutoencoder:
        """The SAE that an earlier run with the same identity left in the folder."""
        sae = SparseAutoencoder.from_pretrained(output)
        self._require_same_run(output, sae.config.training.get("identity", {}))
        return sae

    def _require_same_run(self, place: Path, found: dict[str, str]) -> None:
        wanted = self.identity()
        if found == wanted:
            return
        differing = [name for name, value in wanted.items() if found.get(name) != value]
        if differing == ["settings"] and found.get("settings"):
            before, now = (json.loads(settings) for settings in (found["settings"], wanted["settings"]))
            # A setting that was not known then had its default.
            before = {**json.loads(json.dumps(dataclasses.asdict(TrainingConfig()))), **before}
            differing = [f"{name} {before[name]}, not {now[name]}" for name in now if before[name] != now[name]]
        if differing:
            raise TrainingError(
                f"{place} is of another run: it has other {'; '.join(differing)}. Choose another output_dir, or "
                f"resume=False (--overwrite) to start anew"
            )

    def finish(self) -> SparseAutoencoder:
        """The trained SAE with what the run measured."""
        last = self.progress.history[-1]
        self.sae.config.training = {
            "corpus": {"description": self.config.corpus, "datasets": self.corpus},
            "tokens": self.progress.trained,
            "steps": self.progress.steps,
            "outliers_dropped": self.progress.outliers,
            **{name: last[name] for name in ("fvu", "l0", "dead_share")},
            "identity": self.identity(),
        }
        return self.sae.to("cpu").eval().requires_grad_(False)

    def report(self) -> dict[str, Any]:
        """Settings, texts and the history of the run."""
        return {
            "settings": dataclasses.asdict(self.config),
            "backbone": self.backbone.info.name,
            "backbone_digest": self.backbone.info.digest,
            "layer": self.backbone.layer,
            "datasets": self.corpus,
            "processes": self.n_processes,
            "tokens": self.progress.trained,
            "steps": self.progress.steps,
            "outliers_dropped": self.progress.outliers,
            "seconds": round(self.progress.seconds, 1),
            "history": self.progress.history,
        }
