"""safetensors files that carry a digest of what they hold, so that a changed number or a missing tensor is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fac_datasets.errors import OutputError
from fac_datasets.files.atomic import write_atomically

_DIGEST = "digest"


def save_sealed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and words with their digest, whole or not at all.

    Args:
        path: of the file.
        tensors: on any device.
        metadata: words beside them.

    Raises:
        OutputError: the file cannot be written.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(held, {**metadata, _DIGEST: _digest(held, metadata)}))


def load_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_sealed` wrote, on the CPU.

    Raises:
        OutputError: the file cannot be read, carries no digest, or is not as it was written.
    """
    try:
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        metadata: dict[str, str] = dict(json.loads(content[8 : 8 + size]).get("__metadata__") or {})
        tensors = load(content)
    except (OSError, SafetensorError, ValueError, AttributeError) as error:
        raise OutputError(f"{path} cannot be read ({error})") from error
    wanted = metadata.pop(_DIGEST, None)
    if wanted is None:
        raise OutputError(f"{path} carries no digest; an older version wrote it")
    if wanted != _digest(tensors, metadata):
        raise OutputError(f"{path} is not as it was written")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Hex sha256 over names, types, shapes and bytes of tensors on the CPU, and over the words."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
