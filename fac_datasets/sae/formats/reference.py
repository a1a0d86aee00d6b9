"""The torch checkpoints of the paper's authors (arXiv 2602.10388): `TopK7_l16_h65536_epoch3.pth`.

They hold `{"weight": state_dict, "config": {"d_inp", "d_hide", "topK"}}` with tied weights. The number behind `l` says
how many decoder blocks have run.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.formats.base import SAEFormat
from fac_datasets.sae.model import SAEConfig


class PublishedPair(NamedTuple):
    """A backbone and an SAE that the authors publish."""

    backbone: str
    sae: str
    layer: int


PUBLISHED = {
    "llama": PublishedPair("meta-llama/Llama-3.1-8B-Instruct", "Zhongzhi1228/sae_llama_l16_h65536", 16),
    "qwen2": PublishedPair("Qwen/Qwen2-7B-Instruct", "Zhongzhi1228/sae_qwen_l14_h65536", 14),
    # The paper names no version of Mistral-7B-Instruct.
    "mistral": PublishedPair("mistralai/Mistral-7B-Instruct-v0.3", "Zhongzhi1228/sae_mistral_l16_h65536", 16),
}


def _read(weights: Path) -> dict[str, Any]:
    try:
        content = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
        return {**content["weight"], **content["config"]}
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, KeyError) as error:
        # A pickle that would run code is among them.
        raise SAEFormatError(
            f"{weights} is no checkpoint of the form {{'weight': ..., 'config': ...}} that loads without running code: "
            f"{error}"
        ) from error


def _config(weights: Path) -> SAEConfig:
    layer = re.search(r"_l(\d+)_", weights.name)
    if not layer:
        raise SAEFormatError(
            f"the name {weights.name!r} does not tell the layer; expected TopK*_l<layer>_h*_epoch*.pth"
        )
    content = _read(weights)
    missing = {"d_inp", "d_hide", "topK", "W_enc", "b_enc", "b_dec"} - set(content)
    if missing:
        raise SAEFormatError(f"{weights} lacks {sorted(missing)}")
    if "mask" in content and not bool((content["mask"] == 1).all()):
        raise SAEFormatError(
            f"{weights} masks features out, whose meaning is not published; only a mask of ones is known"
        )
    return SAEConfig(
        d_in=content["d_inp"],
        d_sae=content["d_hide"],
        layer=int(layer[1]),
        k=content["topK"],
        tied=True,
        name=weights.stem,
        hook=f"l{layer[1]}",
        backbone=_backbone(weights),
    )


def _backbone(weights: Path) -> str:
    """The model of a checkpoint below a folder named for one of the authors' repositories; the file does not tell."""
    folders = str(weights.absolute().parent)
    return next((pair.backbone for pair in PUBLISHED.values() if Path(pair.sae).name in folders), "")


def _tensors(weights: Path) -> dict[str, Tensor]:
    content = _read(weights)
    return {name: content[name] for name in ("W_enc", "b_enc", "b_dec")}


REFERENCE = SAEFormat("reference", "*.pth", None, _config, _tensors)
