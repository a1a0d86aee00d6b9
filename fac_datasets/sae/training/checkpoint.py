"""What a training run leaves on disk, so that a killed one ends with the same weights."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fac_datasets.errors import OutputError, TrainingError
from fac_datasets.files.sealed_tensors import load_sealed, save_sealed
from fac_datasets.sae.training.config import TrainingConfig


@dataclass
class Progress:
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


@dataclass
class Checkpoint:
    """Everything that the next chunk of a run depends on."""

    identity: dict[str, str]
    """What decides the weights; see `TrainingRun.identity`."""
    weights: dict[str, Tensor]
    """Of the SAE."""
    optimizer: dict[int, dict[str, Tensor]]
    """Adam's state of each parameter."""
    silent_for: Tensor
    """Tokens since each feature fired, [d_sae]."""
    input_scale: float
    """See `SAEConfig`."""
    progress: Progress
    positions: list[Any]
    """Of each process in its rows."""

    def save(self, path: Path) -> None:
        """Write one safetensors file with its digest, whole or not at all."""
        tensors = {f"sae.{name}": tensor for name, tensor in self.weights.items()}
        for index, state in self.optimizer.items():
            tensors.update({f"adam.{index}.{name}": torch.as_tensor(value) for name, value in state.items()})
        tensors["silent_for"] = self.silent_for
        metadata = {
            **self.identity,
            "progress": json.dumps(dataclasses.asdict(self.progress)),
            "rows": json.dumps(self.positions),
            "input_scale": repr(self.input_scale),
        }
        save_sealed(path, tensors, metadata)

    @classmethod
    def load(cls, path: Path, wanted: dict[str, str]) -> Checkpoint:
        """Read a file that `save` wrote.

        Args:
            path: of the file.
            wanted: identity of the run that goes on.

        Raises:
            TrainingError: it is damaged or changed, of another run, or holds values that are not finite.
        """
        try:
            tensors, metadata = load_sealed(path)
        except OutputError as error:
            raise TrainingError(f"{error}; delete it, or start anew with resume=False (--overwrite)") from error
        require_same_run(path, metadata, wanted)
        damaged = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
        if damaged:
            raise TrainingError(
                f"{path} holds values in {', '.join(damaged)} that are not finite; start anew with resume=False "
                f"(--overwrite)"
            )
        optimizer: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".", 2)
                optimizer.setdefault(int(index), {})[name] = tensor
        return cls(
            identity=wanted,
            weights={k[4:]: v for k, v in tensors.items() if k.startswith("sae.")},
            optimizer=optimizer,
            silent_for=tensors["silent_for"],
            input_scale=float(metadata["input_scale"]),
            progress=Progress(**json.loads(metadata["progress"])),
            positions=json.loads(metadata["rows"]),
        )


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint of this or an earlier version, whole or changed."""
    try:
        with safe_open(path, "pt") as stream:
            return "progress" in (stream.metadata() or {})
    except (SafetensorError, OSError):
        return False


def require_same_run(place: Path, found: dict[str, str], wanted: dict[str, str]) -> None:
    """Raise TrainingError, saying what differs, unless what lies in a place is of the wanted run.

    Args:
        place: of the checkpoint or the finished SAE.
        found: its identity.
        wanted: identity of the run that asks.
    """
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
