"""This project's own format: `config.json` and `model.safetensors`, under the names of `SAEConfig`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.formats.base import SAEFormat, layer_of_hook, read_json
from fac_datasets.sae.model import CONFIG_FILE, WEIGHTS_FILE, SAEConfig

if TYPE_CHECKING:
    from torch import Tensor


def _config(weights: Path) -> SAEConfig:
    path = weights.parent / CONFIG_FILE
    try:
        config = SAEConfig(**read_json(path, ("d_in", "d_sae", "layer")))
    except TypeError as error:
        raise SAEFormatError(f"{path} is not an SAE's configuration: {error}") from error
    if config.hook:
        layer_of_hook(config.hook)
    return config


def _tensors(weights: Path) -> dict[str, Tensor]:
    return dict(load_file(weights))


NATIVE = SAEFormat("native", WEIGHTS_FILE, CONFIG_FILE, _config, _tensors)
