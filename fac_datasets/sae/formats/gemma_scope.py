"""Gemma Scope (Lieberum et al. 2024, arXiv 2408.05147): `layer_N/width_*/average_l0_*/params.npz`, JumpReLU."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.formats.base import SAEFormat
from fac_datasets.sae.model import SAEConfig

_TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


def _arrays(weights: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    try:
        with np.load(weights, allow_pickle=False) as content:
            return {name: torch.from_numpy(content[name]) for name in names}
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise SAEFormatError(f"{weights} is no archive of {', '.join(_TENSORS)}: {error}") from error


def _config(weights: Path) -> SAEConfig:
    parts = weights.absolute().parts[:-1]
    layer = next((found[1] for part in reversed(parts) if (found := re.fullmatch(r"layer_(\d+)", part))), None)
    if layer is None:
        raise SAEFormatError(
            f"the folders above {weights} do not tell the layer; keep Gemma Scope's layer_N/width_*/average_l0_*"
        )
    l0 = re.fullmatch(r"average_l0_(\d+)", parts[-1])
    biases = _arrays(weights, ("b_enc", "b_dec"))
    return SAEConfig(
        d_in=len(biases["b_dec"]),
        d_sae=len(biases["b_enc"]),
        # The number is that of the block whose output is read.
        layer=int(layer) + 1,
        architecture="jumprelu",
        subtract_b_dec=False,
        name="-".join(["gemma-scope", *parts[-3:]]),
        hook=f"blocks.{layer}.hook_resid_post",
        backbone=_backbone(weights),
        training={"l0": int(l0[1])} if l0 else {},
    )


def _backbone(weights: Path) -> str:
    """The model that the repository's name tells, such as `gemma-scope-2b-pt-res`; the files themselves do not."""
    found = re.search(r"gemma-scope-(\d+b)-(pt|it)-res", str(weights))
    return f"google/gemma-2-{found[1]}{'-it' if found[2] == 'it' else ''}" if found else ""


def _tensors(weights: Path) -> dict[str, Tensor]:
    return _arrays(weights, _TENSORS)


GEMMA_SCOPE = SAEFormat("gemma_scope", "params.npz", None, _config, _tensors)
