"""One training run in one of its processes: its weights, its optimiser, and how far it has come."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor
from tqdm.auto import tqdm

from fac_datasets.backbone.model import Backbone
from fac_datasets.errors import TrainingError
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.reader import ColumnChoice
from fac_datasets.sae.activations import ChunkCache, ResidualStream, Rows, Texts
from fac_datasets.sae.architectures import ARCHITECTURES
from fac_datasets.sae.model import SAEConfig, SparseAutoencoder
from fac_datasets.sae.training.checkpoint import Checkpoint, Progress, require_same_run
from fac_datasets.sae.training.config import FOR_PEOPLE, TrainingConfig
from fac_datasets.sae.training.objectives import make_objective, mean_square


class TrainingRun:
    """Weights, optimiser and position of one training run, in one of its processes."""

    def __init__(
        self,
        accelerator: Accelerator,
        backbone: Backbone,
        texts: Sequence[Texts],
        config: TrainingConfig,
        *,
        weights: Sequence[float] | None,
        column: ColumnChoice,
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
        self.progress = Progress()
        self.stream = ResidualStream(
            backbone,
            self.rows,
            max_length=config.max_length,
            truncate=config.truncate,
            cache=self._cache(cache_dir, renders, rank) if cache_dir else None,
        )

    def _cache(self, cache_dir: str | Path, renders: Sequence[str], rank: int) -> ChunkCache:
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
        key = hashlib.sha256(json.dumps([identity, rank], sort_keys=True).encode()).hexdigest()
        return ChunkCache(folder if self.n_processes == 1 else folder / f"process-{rank}", key)

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
        # Seeded by the position and not carried over from chunk to chunk, so that a resumed run shuffles alike.
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
        # A gradient along a row of norm 1 only changes the norm, which is set back, and would feed Adam's moments.
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
        if self.accelerator.is_main_process:
            state = Checkpoint(
                identity=self.identity(),
                weights=self.sae.state_dict(),
                optimizer=self.optimizer.state_dict()["state"],
                silent_for=self.silent_for,
                input_scale=self.sae.config.input_scale,
                progress=self.progress,
                positions=positions,
            )
            state.save(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same run."""
        found = Checkpoint.load(path, self.identity())
        self.sae.load_state_dict(found.weights)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": found.optimizer})
        self.silent_for = found.silent_for.to(self.backbone.device)
        self.sae.config.input_scale = found.input_scale
        self.progress = found.progress
        self.rows.go_to(found.positions[self.accelerator.process_index])

    def identity(self) -> dict[str, str]:
        """What decides the weights: settings without names, backbone, texts, and number of processes."""
        settings = {k: v for k, v in dataclasses.asdict(self.config).items() if k not in FOR_PEOPLE}
        return {
            "settings": json.dumps(settings),
            "backbone": self._backbone_identity(),
            "texts": json.dumps(self.corpus),
            "processes": str(self.n_processes),
        }

    def finished(self, output: Path) -> SparseAutoencoder:
        """The SAE that an earlier run with the same identity left in the folder."""
        sae = SparseAutoencoder.from_pretrained(output)
        require_same_run(output, sae.config.training.get("identity", {}), self.identity())
        return sae

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
