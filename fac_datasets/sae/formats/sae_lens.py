"""SAELens: `cfg.json` and `sae_weights.safetensors`, as versions 6 (with `metadata`) and older (flat) write them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.formats.base import SAEFormat, layer_of_hook, read_json
from fac_datasets.sae.model import SAEConfig

_CONFIG, _WEIGHTS = "cfg.json", "sae_weights.safetensors"
_ARCHITECTURES = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}
"""SAELens saves BatchTopK SAEs as JumpReLU."""
_NORMALIZATIONS = {
    "none": "scale",
    "expected_average_only_in": "scale",
    "constant_norm_rescale": "constant_norm",
    "layer_norm": "layer_norm",
}


def _content(weights: Path) -> dict[str, Any]:
    """The configuration in the words of version 6, flat."""
    content = read_json(weights.parent / _CONFIG, ("d_in", "d_sae"))
    content = {**content, **(content.get("metadata") or {})}
    for old, new in (("hook_point", "hook_name"), ("activation_fn_str", "activation_fn")):
        content.setdefault(new, content.get(old))
    if content["activation_fn"] == "topk":
        content["architecture"] = "topk"
        content.setdefault("k", (content.get("activation_fn_kwargs") or {}).get("k"))
    elif content["activation_fn"] not in (None, "relu"):
        raise SAEFormatError(f"{weights.parent} uses the activation {content['activation_fn']!r}; known: relu, topk")
    normalization = content.get("normalize_activations")
    content["normalize_activations"] = {True: "expected_average_only_in", False: "none", None: "none"}.get(
        normalization, normalization
    )
    return content


def _known(folder: Path, name: str, value: str, known: dict[str, str]) -> str:
    if value not in known:
        raise SAEFormatError(f"{folder} has {name} {value!r}; supported: {', '.join(known)}")
    return known[value]


def _config(weights: Path) -> SAEConfig:
    content, folder = _content(weights), weights.parent
    architecture = _known(folder, "architecture", content.get("architecture", "standard"), _ARCHITECTURES)
    normalization = _known(folder, "normalize_activations", content["normalize_activations"], _NORMALIZATIONS)
    if content["hook_name"] is None:
        raise SAEFormatError(f"{folder / _CONFIG} names no hook_name, so the layer is unknown")
    if content.get("hook_name_out") not in (None, content["hook_name"]):
        raise SAEFormatError(
            f"{folder} is a transcoder, which does not reconstruct what it reads: it reads {content['hook_name']!r} "
            f"and writes {content['hook_name_out']!r}"
        )
    if content.get("hook_head_index") is not None:
        raise SAEFormatError(f"{folder} reads one attention head; only the whole residual stream is supported")
    if (content.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights"):
        raise SAEFormatError(
            f"{folder} was trained on a model with centred weights (center_writing_weights), whose residual stream is "
            f"another than that of transformers"
        )
    if content["normalize_activations"] == "expected_average_only_in":
        warnings.warn(
            f"{folder.name} was trained on inputs scaled to an average norm, but its files lack the factor; like "
            f"SAELens, it is applied to unscaled inputs. Check its reconstruction before use",
            stacklevel=2,
        )
    return SAEConfig(
        d_in=content["d_in"],
        d_sae=content["d_sae"],
        layer=layer_of_hook(content["hook_name"]),
        architecture=architecture,
        k=int(content["k"]) if architecture == "topk" and content.get("k") else None,
        subtract_b_dec=content.get("apply_b_dec_to_input", True),
        normalization=normalization,
        name=folder.absolute().name,
        hook=content["hook_name"],
        backbone=str(content.get("model_name") or ""),
    )


def _tensors(weights: Path) -> dict[str, Tensor]:
    tensors = dict(load_file(weights))
    factor = tensors.pop("scaling_factor", None)
    if factor is not None and not bool((factor == 1).all()):
        raise SAEFormatError(
            f"{weights} scales its features for decoding only (scaling_factor), which is not supported"
        )
    if _content(weights).get("rescale_acts_by_decoder_norm"):
        # Activations are in units of the decoder's norm: z |W_dec_i| with W_dec_i / |W_dec_i|.
        norms = tensors["W_dec"].float().norm(dim=-1)
        tensors["W_enc"] = tensors["W_enc"].float() * norms
        tensors["b_enc"] = tensors["b_enc"].float() * norms
        tensors["W_dec"] = tensors["W_dec"].float() / norms[:, None]
    return tensors


SAE_LENS = SAEFormat("sae_lens", _WEIGHTS, _CONFIG, _config, _tensors)
