"""Sparsify (PyPI `eai-sparsify`): `layers.N/cfg.json` and `sae.safetensors`, TopK; the folder's name is the hook."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.formats.base import SAEFormat, layer_of_hook, read_json
from fac_datasets.sae.model import SAEConfig

_CONFIG, _WEIGHTS = "cfg.json", "sae.safetensors"


def _config(weights: Path) -> SAEConfig:
    content = read_json(weights.parent / _CONFIG, ("d_in", "k"))
    if content.get("transcode") or content.get("skip_connection"):
        raise SAEFormatError(f"{weights.parent} holds a transcoder, which does not reconstruct what it reads")
    folder = weights.absolute().parent
    # Runs with several seeds have a folder a seed below the hook's.
    hook = folder.parent.name if folder.name.startswith("seed") else folder.name
    return SAEConfig(
        d_in=content["d_in"],
        d_sae=content.get("num_latents") or content["d_in"] * content["expansion_factor"],
        layer=layer_of_hook(hook),
        architecture=content.get("activation", "topk"),
        k=content["k"],
        name=hook,
        hook=hook,
        backbone=_backbone(folder),
    )


def _backbone(folder: Path) -> str:
    """The model that a run's own configuration names, above the folder of the hook."""
    for parent in list(folder.parents)[:2]:
        if (parent / "config.json").is_file():
            return str(read_json(parent / "config.json", ()).get("model") or "")
    return ""


def _tensors(weights: Path) -> dict[str, Tensor]:
    content = load_file(weights)
    return {
        "W_enc": content["encoder.weight"].T,
        "b_enc": content["encoder.bias"],
        "W_dec": content["W_dec"],
        "b_dec": content["b_dec"],
    }


SPARSIFY = SAEFormat("sparsify", _WEIGHTS, _CONFIG, _config, _tensors)
