"""Training a sparse autoencoder on the residual stream of a backbone, on the fly and resumable."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import datasets
import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm.auto import tqdm

from fac_datasets.backbone import Backbone, Row, Window, batches_by_tokens, own_vectors, torch_dtype
from fac_datasets.caching import write_atomically
from fac_datasets.columns import read_rows, resolve_column
from fac_datasets.errors import OutputError, TrainingError
from fac_datasets.identity import identify
from fac_datasets.sae.model import CONFIG_FILE, SAEConfig, SparseAutoencoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHECKPOINT = "checkpoint.safetensors"
OUTLIER = 5.0
"""Residual vectors with more than this many times the median norm are attention sinks and are dropped."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run; the defaults made the embedded SAE."""

    d_sae: int = 8192
    """Number of features."""
    k: int = 32
    """Active features a token."""
    n_tokens: int = 1_000_000
    """Own tokens to train on; the texts are repeated where they hold fewer."""
    batch_size: int = 1024
    """Tokens an optimiser step."""
    learning_rate: float = 8e-4
    """Peak learning rate of Adam."""
    warmup: float = 0.03
    """Share of the run over which the learning rate rises."""
    decay: float = 0.3
    """Share of the run, at its end, over which the learning rate falls to zero."""
    chunk_tokens: int = 65_536
    """Residual vectors that are shuffled together."""
    aux_k: int = 256
    """Dead features that reconstruct the error (AuxK; Gao et al. 2024, appendix A.2)."""
    aux_weight: float = 1 / 32
    """Weight of that loss."""
    dead_after: int = 200_000
    """A feature that did not fire for this many tokens is dead."""
    renders: tuple[str, ...] | None = None
    """How texts are rendered; several take turns by row. By default chat and raw, or raw where there is no template."""
    max_length: int = 256
    """Tokens in a window."""
    seed: int = 0
    """Of the weights and of all orders."""
    name: str = "sae"
    """Name of the SAE, for people."""
    corpus: str = ""
    """What the texts are, for people."""
    dtype: str = "float32"
    """Of the saved weights."""


class StepResult(NamedTuple):
    """What one optimiser step saw."""

    fvu: float
    """Fraction of variance unexplained on the batch."""
    dead: int
    """Features that are dead."""


def train_sae(
    backbone: Backbone,
    texts: datasets.Dataset,
    config: TrainingConfig,
    output_dir: str | Path,
    *,
    column: str | None = None,
    resume: bool = True,
) -> SparseAutoencoder:
    """Train a TopK SAE and save it in `output_dir`, with what the run measured in its configuration.

    The texts pass in random order. Residual vectors of their own tokens fill a chunk, which is shuffled, trained on and
    dropped; a checkpoint is written behind each chunk, and a killed run continues from it with the same result.

    Args:
        backbone: cut behind the layer whose residual stream is read.
        texts: rows of texts or chats.
        config: settings.
        output_dir: made when missing.
        column: the column that holds the texts; by default the one known name that is present.
        resume: continue from a checkpoint in `output_dir`.

    Returns:
        The trained SAE, in float32 on the CPU.

    Raises:
        TrainingError: there is nothing to train on, the loss became NaN, or the checkpoint is of another run.

    Example:
        >>> config = TrainingConfig(d_sae=128, k=8, n_tokens=200)
        >>> sae = train_sae(Backbone("embedded", 15), texts, config, "my-sae")
        >>> sae.config.training["tokens"] >= 200
        True
    """
    output = Path(output_dir)
    save_dtype = torch_dtype(config.dtype)
    if not len(texts):
        raise TrainingError("the dataset has no rows to train on")
    run = _Run(backbone, texts, resolve_column(texts.features, column), config)
    checkpoint = output / CHECKPOINT
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the output folder {output} cannot be written: {error}") from error
    if resume and checkpoint.exists():
        run.load(checkpoint)
    elif resume and (output / CONFIG_FILE).exists():
        return run.finished(output)
    else:
        run.start()
    with tqdm(
        total=config.n_tokens,
        initial=run.position.trained,
        unit="tok",
        desc="train SAE",
        disable=datasets.utils.are_progress_bars_disabled(),
    ) as bar:
        while run.position.trained < config.n_tokens:
            before = run.position.trained
            result = run.train_chunk()
            bar.update(run.position.trained - before)
            bar.set_postfix(fvu=f"{result.fvu:.3f}", dead=f"{result.dead / config.d_sae:.1%}")
            run.save(checkpoint)
    sae = run.finish()
    sae.save_pretrained(output, dtype=save_dtype)
    checkpoint.unlink(missing_ok=True)
    return sae


@dataclass
class _Position:
    """Where a run stands."""

    row: int = 0
    """Rows of the shuffled stream that are used up."""
    trained: int = 0
    """Tokens trained on."""
    outliers: int = 0
    """Vectors dropped as attention sinks."""
    steps: int = 0
    """Optimiser steps taken."""
    fvu: float = 0.0
    """Mean FVU over the last chunk."""


class _Run:
    """Weights, optimiser and position of one training run."""

    def __init__(self, backbone: Backbone, texts: datasets.Dataset, column: Any, config: TrainingConfig) -> None:
        self.backbone, self.texts, self.column, self.config = backbone, texts, column, config
        self.renders = config.renders or (("chat", "raw") if backbone.info.has_template else ("raw",))
        self.corpus = identify(texts.select_columns(list(column)))
        self.sae = SparseAutoencoder(
            SAEConfig(
                d_in=backbone.d_model,
                d_sae=config.d_sae,
                k=config.k,
                layer=backbone.layer,
                name=config.name,
                backbone=backbone.info.name,
                backbone_digest=backbone.info.digest,
            )
        ).to(backbone.device)
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=config.learning_rate, betas=(0.9, 0.999))
        self.silent_for = torch.zeros(config.d_sae, dtype=torch.int64, device=backbone.device)
        self.position = _Position()
        self.last_order: tuple[int, NDArray[np.int64]] | None = None

    def start(self) -> None:
        """Set the weights from the first chunk: decoder bias its mean, input scale its mean norm."""
        vectors, _, _ = self._collect(self.position.row, min(self.config.chunk_tokens // 4, self.config.n_tokens))
        generator = torch.Generator().manual_seed(self.config.seed)
        d_in, d_sae = self.sae.config.d_in, self.sae.config.d_sae
        directions = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=-1)
        self.sae.config.input_scale = math.sqrt(d_in) / vectors.norm(dim=-1).mean().item()
        with torch.no_grad():
            self.sae.W_dec.copy_(directions)
            self.sae.W_enc.copy_(directions.T)
            self.sae.b_dec.copy_(vectors.mean(dim=0) * self.sae.config.input_scale)

    def train_chunk(self) -> StepResult:
        """Fill a chunk with residual vectors, shuffle it and train on it once."""
        wanted = min(self.config.chunk_tokens, self.config.n_tokens - self.position.trained)
        vectors, self.position.row, outliers = self._collect(self.position.row, wanted)
        self.position.outliers += outliers
        order = torch.Generator().manual_seed(self.config.seed + 1 + self.position.steps)
        vectors = vectors[torch.randperm(len(vectors), generator=order).to(vectors.device)]
        batches = [
            batch for batch in torch.split(vectors, self.config.batch_size) if len(batch) == self.config.batch_size
        ]
        results = []
        for batch in batches or [vectors]:
            results.append(self._step(batch * self.sae.config.input_scale))
            self.position.trained += len(batch)
        self.position.fvu = sum(result.fvu for result in results) / len(results)
        return StepResult(self.position.fvu, results[-1].dead)

    def _step(self, scaled: Tensor) -> StepResult:
        config, sae = self.config, self.sae
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * self._learning_rate_factor()
        pre = torch.addmm(sae.b_enc, scaled - sae.b_dec, sae.W_enc)
        values, ids = pre.topk(config.k, dim=-1)
        values = values.relu()
        reconstruction = torch.zeros_like(pre).scatter(-1, ids, values) @ sae.W_dec + sae.b_dec
        error = scaled - reconstruction
        variance = (scaled - scaled.mean(dim=0)).square().sum(dim=-1).mean()
        fvu = error.square().sum(dim=-1).mean() / variance
        loss = fvu
        dead = self.silent_for >= config.dead_after
        n_dead = int(dead.sum())
        if n_dead:
            aux_values, aux_ids = pre.masked_fill(~dead, -torch.inf).topk(min(config.aux_k, n_dead), dim=-1)
            aux = torch.zeros_like(pre).scatter(-1, aux_ids, aux_values.relu()) @ sae.W_dec
            loss = loss + config.aux_weight * (error.detach() - aux).square().sum(dim=-1).mean() / variance
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()} at step {self.position.steps}; the last checkpoint is kept. Lower "
                f"learning_rate={config.learning_rate} and resume"
            )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        with torch.no_grad():
            # Decoder rows keep unit norm: drop the gradient along them, step, and scale what is left of the drift away.
            assert sae.W_dec.grad is not None
            sae.W_dec.grad -= (sae.W_dec.grad * sae.W_dec).sum(dim=-1, keepdim=True) * sae.W_dec
            self.optimizer.step()
            sae.W_dec.div_(sae.W_dec.norm(dim=-1, keepdim=True))
            fired = torch.zeros(config.d_sae, dtype=torch.bool, device=ids.device)
            fired[ids[values > 0]] = True
            self.silent_for += len(scaled)
            self.silent_for[fired] = 0
        self.position.steps += 1
        return StepResult(fvu.item(), n_dead)

    def _learning_rate_factor(self) -> float:
        progress = self.position.trained / self.config.n_tokens
        rising = progress / self.config.warmup if self.config.warmup else 1.0
        falling = (1 - progress) / self.config.decay if self.config.decay else 1.0
        return max(min(1.0, rising, falling), 1e-3)

    def _collect(self, row: int, n_tokens: int) -> tuple[Tensor, int, int]:
        """Residual vectors of the rows from `row` on: [at least n_tokens, d_in], the next row, and outliers dropped."""
        found: list[Tensor] = []
        total, first = 0, row
        while total < n_tokens:
            batch, row = self._rows(row, 64)
            windows = list(self._windows(batch))
            for indices in batches_by_tokens(windows, 4096):
                group = [windows[i] for i in indices]
                found.append(own_vectors(self.backbone.residual(group).float(), group))
            gained = sum(len(vectors) for vectors in found) - total
            # Each pass has another order, so only twice as many rows are sure to hold a whole one.
            if not total + gained and row - first >= 2 * len(self.texts):
                raise TrainingError(f"the {len(self.texts)} rows hold no tokens to train on")
            total += gained
        vectors = torch.cat(found).clone()
        norms = vectors.norm(dim=-1)
        kept = vectors[norms <= OUTLIER * norms.median()]
        return kept, row, len(vectors) - len(kept)

    def _rows(self, row: int, count: int) -> tuple[list[tuple[Row, str]], int]:
        """The next rows of the stream with their render; each pass over the texts has an order of its own."""
        rows: list[tuple[Row, str]] = []
        while len(rows) < count:
            turn, offset = divmod(row, len(self.texts))
            order = self._order(turn)
            picked = order[offset : offset + count - len(rows)]
            contents = read_rows(self.texts[picked], self.column)
            rows += [
                (content, "chat" if isinstance(content, list) else self.renders[(int(i) + turn) % len(self.renders)])
                for i, content in zip(picked, contents, strict=True)
            ]
            row += len(picked)
        return rows, row

    def _order(self, turn: int) -> NDArray[np.int64]:
        """The order of a pass over the texts, kept while the pass lasts."""
        if self.last_order is None or self.last_order[0] != turn:
            order = np.random.default_rng([self.config.seed, turn]).permutation(len(self.texts))
            self.last_order = turn, order
        return self.last_order[1]

    def _windows(self, batch: list[tuple[Row, str]]) -> Iterator[Window]:
        for render in ("chat", "raw"):
            rows = [content for content, wanted in batch if wanted == render]
            yield from self.backbone.windows(rows, render=render, max_length=self.config.max_length)

    def save(self, path: Path) -> None:
        """Write everything that the next chunk depends on."""
        tensors = {f"sae.{name}": tensor for name, tensor in self.sae.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors.update({f"adam.{index}.{name}": torch.as_tensor(value) for name, value in state.items()})
        tensors["silent_for"] = self.silent_for
        metadata = {
            **self.identity(),
            "position": json.dumps(dataclasses.asdict(self.position)),
            "input_scale": repr(self.sae.config.input_scale),
        }
        write_atomically(path, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same run."""
        from safetensors import safe_open

        with safe_open(path, "pt") as stream:
            metadata = stream.metadata()
        tensors = load_file(path)
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
        self.position = _Position(**json.loads(metadata["position"]))

    def identity(self) -> dict[str, str]:
        """What decides the weights: settings without names, backbone, and texts."""
        settings = dataclasses.asdict(self.config)
        for name in ("name", "corpus", "dtype"):
            del settings[name]
        return {
            "settings": json.dumps(settings),
            "backbone": f"{self.backbone.info.digest} layer {self.backbone.layer}",
            "texts": f"{self.corpus.fingerprint} in {', '.join(self.column)}",
        }

    def finished(self, output: Path) -> SparseAutoencoder:
        """The SAE that an earlier run with the same identity left in the folder."""
        sae = SparseAutoencoder.from_pretrained(output)
        self._require_same_run(output, sae.config.training.get("identity", {}))
        return sae

    def _require_same_run(self, place: Path, found: dict[str, str]) -> None:
        for name, value in self.identity().items():
            if found.get(name) != value:
                raise TrainingError(
                    f"{place} is of another run: its {name} are {found.get(name)}, not {value}. Choose another "
                    f"output_dir, or resume=False to start anew"
                )

    def finish(self) -> SparseAutoencoder:
        """The trained SAE with what the run measured."""
        dead = (self.silent_for >= self.config.dead_after).float().mean().item()
        self.sae.config.training = {
            "corpus": {"description": self.config.corpus, **self.corpus._asdict()},
            "tokens": self.position.trained,
            "steps": self.position.steps,
            "outliers_dropped": self.position.outliers,
            "fvu": round(self.position.fvu, 4),
            "l0": self.config.k,
            "dead_share": round(dead, 5),
            "identity": self.identity(),
        }
        return self.sae.to("cpu").eval().requires_grad_(False)
