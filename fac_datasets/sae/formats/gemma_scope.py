"""Gemma Scope (Lieberum et al. 2024, arXiv 2408.05147): `layer_N/width_*/average_l0_*/params.npz`, JumpReLU."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.formats.base import SAEFormat, layer_of_hook
from fac_datasets.sae.model import SAEConfig

_TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


def _arrays(weights: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    try:
        with np.load(weights, allow_pickle=False) as content:
            return {name: torch.from_numpy(content[name]) for name in names}
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise SAEFormatError(f"{weights} is no archive of {', '.join(_TENSORS)}: {error}") from error


_REPOSITORY = re.compile(r"gemma-scope-(?P<size>\d+b)-(?P<kind>pt|it)-\w+")
"""The suite's repositories, such as `gemma-scope-2b-pt-res`; only their names tell the model and the place."""

_PLACES = {
    "mlp": "hook_mlp_out",
    "att": "attn.hook_z",
    "attn": "attn.hook_z",
    "attention": "attn.hook_z",
    "transcoder": "ln2.hook_normalized",
    "transcoders": "ln2.hook_normalized",
}
"""Hook points by the words of names that tell another place than the residual stream."""


def _config(weights: Path) -> SAEConfig:
    # A folder may be a link to one that tells more; the file itself may be one to a cache that tells nothing.
    folders = weights.parent.resolve().parts
    number = next((i for i in reversed(range(len(folders))) if re.fullmatch(r"layer_\d+", folders[i])), None)
    if number is None:
        raise SAEFormatError(
            f"the folders above {weights} do not tell the layer; keep Gemma Scope's layer_N/width_*/average_l0_*"
        )
    hook = f"blocks.{folders[number].removeprefix('layer_')}.{_place(folders, number)}"
    l0 = re.fullmatch(r"average_l0_(\d+)", folders[-1])
    biases = _arrays(weights, ("b_enc", "b_dec"))
    return SAEConfig(
        d_in=len(biases["b_dec"]),
        d_sae=len(biases["b_enc"]),
        layer=layer_of_hook(hook),
        architecture="jumprelu",
        subtract_b_dec=False,
        name="-".join(["gemma-scope", *folders[-3:]]),
        hook=hook,
        backbone=_backbone(folders),
        training={"l0": int(l0[1])} if l0 else {},
    )


def _place(folders: Sequence[str], layer: int) -> str:
    """The hook point of the SAEs in a repository, or in a copy of it under another name."""
    # Folders above the repository are the user's own, and may be called anything.
    first = next(
        (i for i in reversed(range(layer)) if _REPOSITORY.search(folders[i]) or folders[i].startswith("models--")),
        max(0, layer - 2),
    )
    words = re.split(r"[^a-z0-9]+", " ".join(folders[first:]).lower())
    return next((_PLACES[word] for word in words if word in _PLACES), "hook_resid_post")


def _backbone(folders: Sequence[str]) -> str:
    """The model that the repository's name tells; empty where a copy lies under another name."""
    found = next(filter(None, map(_REPOSITORY.search, reversed(folders))), None)
    return f"google/gemma-2-{found['size']}{'-it' if found['kind'] == 'it' else ''}" if found else ""


def _tensors(weights: Path) -> dict[str, Tensor]:
    return _arrays(weights, _TENSORS)


GEMMA_SCOPE = SAEFormat("gemma_scope", "params.npz", None, _config, _tensors)
