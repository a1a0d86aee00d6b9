"""What identifies a backbone: a digest over weights, tokenizer and template, read without loading it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fac_datasets.backbone.causality import require_causal_config
from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.errors import BackboneError
from fac_datasets.files.credentials import hub_token
from fac_datasets.files.digests import remembered_digest, tensors_digest

EMBEDDED = "embedded"
"""The name under which the default backbone and its SAE are loaded."""


@dataclass(frozen=True)
class BackboneInfo:
    """What identifies a backbone without loading its weights into memory."""

    name: str
    """A name for people, never a local path."""
    digest: str
    """First 16 hex digits of the sha256 over weights, vocabulary and chat template."""
    path: str
    """Where transformers loads it from."""
    n_layers: int
    """Number of decoder blocks."""
    d_model: int
    """Width of the residual stream."""
    has_template: bool
    """Whether the tokenizer has a chat template."""

    @property
    def renders(self) -> tuple[str, ...]:
        """The ways in which it can read a text, the usual one first."""
        return ("chat", "raw") if self.has_template else ("raw",)


def backbone_info(name: str) -> BackboneInfo:
    """Identify a backbone by the content of its files, without loading it into memory.

    Args:
        name: `"embedded"`, a local folder, or a Hub id.

    Raises:
        BackboneError: no configuration, tokenizer or safetensors weights are found, or attention is not causal.
        EmbeddedModelMissing: the embedded backbone is absent and cannot be fetched.
    """
    if name == EMBEDDED:
        from fac_datasets.backbone.bundled import EMBEDDED_BACKBONE_NAME, embedded_backbone_folder

        return _folder_info(str(embedded_backbone_folder()), EMBEDDED_BACKBONE_NAME)
    if Path(name).is_dir():
        return _folder_info(str(Path(name).resolve()), Path(name).resolve().name)
    return _folder_info(_hub_folder(name), name)


def _hub_folder(name: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    hub_token()
    try:
        return str(snapshot_download(name, allow_patterns=patterns))
    except HFValidationError as error:
        raise BackboneError(f"{name!r} is neither a folder nor a Hub id: {error}") from error
    except (RepositoryNotFoundError, LocalEntryNotFoundError, OSError) as error:
        raise BackboneError(f"backbone {name!r} is no local folder, and the Hub did not give it: {error}") from error


@lru_cache(maxsize=16)
def _folder_info(path: str, name: str) -> BackboneInfo:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise BackboneError(f"no language model in {name!r}: {error}") from error
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    require_causal_config(config, name)
    weights = sorted(Path(path).glob("*.safetensors"))
    if not weights:
        raise BackboneError(f"{name!r} has no *.safetensors; save the model with save_pretrained first")
    tokenizer = load_tokenizer(path)
    digest = hashlib.sha256()
    digest.update(remembered_digest(weights, tensors_digest).encode())
    # The behaviour of the tokenizer is hashed, not its file: releases of transformers write the same one differently.
    digest.update(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    digest.update(json.dumps(tokenizer(_TOKENIZER_PROBE)["input_ids"]).encode())
    template = tokenizer.chat_template or ""
    digest.update((template if isinstance(template, str) else json.dumps(template, sort_keys=True)).encode())
    return BackboneInfo(
        name=name,
        digest=digest.hexdigest()[:16],
        path=path,
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        has_template=bool(tokenizer.chat_template),
    )


_TOKENIZER_PROBE = "It's 3,141.59 ≈ π;\n\n\tdef f(x): return x  # naïve 漢字 🙂\r\n  UPPER lower"
