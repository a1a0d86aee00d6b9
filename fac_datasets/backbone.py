"""The backbone: a tokenizer and a language model cut after L decoder blocks, and what identifies them.

A layer L is the residual stream after L decoder blocks; 0 is the embedding.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.caching import cache_folder, write_atomically
from fac_datasets.errors import BackboneError, OptionError
from fac_datasets.windows import Batch, Row, Window, batches_by_tokens, pad, row_windows

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fac_datasets.errors import RowError

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


class Backbone:
    """A tokenizer and a causal language model cut after `layer` decoder blocks.

    Args:
        name: `"embedded"`, a local folder or a Hub id of a causal language model of transformers.
        layer: number of decoder blocks that run, in [0, number of blocks].
        device: torch device; by default CUDA where there is one, else the CPU.
        dtype: torch dtype of the weights, by name.

    Raises:
        BackboneError: the model cannot be loaded, has another structure than a decoder, or has fewer blocks.

    Example:
        >>> backbone = Backbone("embedded", layer=15)
        >>> windows = backbone.windows(["Hello."], render="raw", max_length=512)
        >>> backbone.residual(windows).shape
        torch.Size([1, 3, 576])
    """

    def __init__(self, name: str, layer: int, *, device: str | None = None, dtype: str = "float32") -> None:

        self.info = backbone_info(name)
        if not 0 <= layer <= self.info.n_layers:
            raise BackboneError(
                f"layer={layer} is past the end of {self.info.name}, which has {self.info.n_layers} decoder blocks; "
                f"choose a layer in [0, {self.info.n_layers}]"
            )
        self.layer = layer
        self.tokenizer = load_tokenizer(self.info.path)
        self.device = torch_device(device)
        self.model = _load_cut_model(self.info.path, layer, dtype).to(self.device)
        self._head: tuple[NDArray[np.int64], Any] | None = None

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.info.d_model

    def windows(
        self,
        rows: Sequence[Row],
        *,
        render: str,
        max_length: int,
        roles: Sequence[str] | None = None,
        truncate: bool = False,
        refused: list[RowError] | None = None,
    ) -> list[Window]:
        """Render, tokenize and split rows; see `row_windows`."""
        return list(
            row_windows(
                self.tokenizer,
                rows,
                render=render,
                max_length=max_length,
                roles=roles,
                truncate=truncate,
                refused=refused,
            )
        )

    def residual(self, windows: Sequence[Window]) -> torch.Tensor:
        """Run windows as one right-padded batch and return the residual stream after `layer` blocks.

        Attention is causal, so padding on the right never reaches a real token and needs no mask.

        Args:
            windows: at least one window.

        Returns:
            Float tensor [len(windows), longest window, d_model] on the backbone's device.
        """
        import torch

        token_ids, _ = pad(windows)
        with torch.inference_mode():
            output = self.model(input_ids=torch.from_numpy(token_ids).to(self.device), use_cache=False)
        residual: torch.Tensor = output.last_hidden_state
        return residual

    def batches(self, windows: Sequence[Window], batch_tokens: int) -> Iterator[Batch]:
        """Windows in batches for `own_vectors`; see `batches_by_tokens`."""
        from fac_datasets.shared_head import keeps_all_tokens

        return batches_by_tokens(windows, batch_tokens, share_heads=keeps_all_tokens(self.model.config))

    def own_vectors(self, batch: Batch) -> torch.Tensor:
        """Run a batch and return the residual vectors of its own tokens.

        A head that the windows share is run once, for all batches that follow each other with it; the others attend to
        its keys and values.

        Returns:
            Float tensor [own tokens of the batch, d_model], in the order of the windows, on the backbone's device.

        Raises:
            BackboneError: a vector is not finite.
        """
        import torch

        heads = self._heads_of(batch) if batch.head else None
        token_ids, own = pad(batch.windows, batch.head)
        with torch.inference_mode():
            output = self.model(
                input_ids=torch.from_numpy(token_ids).to(self.device),
                past_key_values=heads,
                use_cache=heads is not None,
            )
            vectors: torch.Tensor = output.last_hidden_state[torch.from_numpy(own).to(self.device)]
        if not torch.isfinite(vectors).all():
            raise BackboneError(
                f"{self.info.name} gives residual vectors that are not finite in {self.model.dtype}; use another "
                f"dtype, or check its weights"
            )
        return vectors

    def _heads_of(self, batch: Batch) -> Any:
        """The keys and values of the head of a batch."""
        import torch

        from fac_datasets.shared_head import shared_by_rows

        token_ids = batch.windows[0].token_ids[: batch.head]
        if self._head is None or not np.array_equal(self._head[0], token_ids):
            with torch.inference_mode():
                output = self.model(input_ids=torch.from_numpy(token_ids)[None].to(self.device), use_cache=True)
            self._head = token_ids, shared_by_rows(output.past_key_values)
        return self._head[1]


def torch_device(name: str | None) -> torch.device:
    """A torch device by name; without one, CUDA where there is one, else the CPU.

    Of several processes that were launched together, each takes the CUDA device of its local rank.
    """
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise OptionError(f"device={name!r} is no torch device such as 'cpu' or 'cuda:0'") from error
    if str(device) == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def torch_dtype(name: str) -> torch.dtype:
    """A floating-point torch dtype by name."""
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise OptionError(f"dtype={name!r} is no floating-point dtype such as 'float32' or 'bfloat16'")
    return dtype


# --- identity and loading -------------------------------------------------------------------------------------------


def load_tokenizer(path: str) -> Any:
    """The fast tokenizer in a folder or Hub id; raises BackboneError where it gives no character offsets."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise BackboneError(f"no tokenizer in {path!r}: {error}") from error
    if not tokenizer.is_fast:
        raise BackboneError(f"the tokenizer of {path!r} gives no character offsets; a fast tokenizer is needed")
    return tokenizer


def load_model(kind: Any, path: str, dtype: str) -> Any:
    """A frozen model of one of transformers' auto classes, without the report on weights that the class leaves out."""
    import transformers

    logging: Any = transformers.utils.logging
    weights = torch_dtype(dtype)
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(path, dtype=weights).eval().requires_grad_(False)
    except (OSError, ValueError) as error:
        raise BackboneError(f"no language model in {path!r}: {error}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load_cut_model(path: str, layer: int, dtype: str) -> Any:
    """The decoder without head and final norm, with its first `layer` blocks."""
    import torch
    from transformers import AutoModel

    model = load_model(AutoModel, path, dtype)
    blocks_name, norm_name = _decoder_parts(model, path)
    setattr(model, blocks_name, getattr(model, blocks_name)[:layer])
    setattr(model, norm_name, torch.nn.Identity())
    model.config.num_hidden_layers = layer
    return model


def decoder_blocks(model: Any) -> Any:
    """The module list of decoder blocks of a causal language model (whole or cut)."""
    base = getattr(model, model.base_model_prefix, model)
    return getattr(base, _decoder_parts(base, type(model).__name__)[0])


def _decoder_parts(model: Any, name: str) -> tuple[str, str]:
    blocks = ("layers", "h", "blocks")
    norms = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f")
    blocks_name = next((part for part in blocks if hasattr(model, part)), None)
    norm_name = next((part for part in norms if hasattr(model, part)), None)
    if blocks_name is None or norm_name is None:
        raise BackboneError(
            f"{name!r} ({type(model).__name__}) is not built as a decoder: looked for blocks in {blocks} and a final "
            f"norm in {norms}"
        )
    return blocks_name, norm_name


def backbone_info(name: str) -> BackboneInfo:
    """Identify a backbone by the content of its files, without loading it into memory.

    Args:
        name: `"embedded"`, a local folder, or a Hub id.

    Raises:
        BackboneError: no configuration, tokenizer or safetensors weights are found.
        EmbeddedModelMissing: the embedded backbone is absent and cannot be fetched.
    """
    if name == EMBEDDED:
        from fac_datasets.embedded import EMBEDDED_BACKBONE_NAME, embedded_backbone_folder

        return _folder_info(str(embedded_backbone_folder()), EMBEDDED_BACKBONE_NAME)
    if Path(name).is_dir():
        return _folder_info(str(Path(name).resolve()), Path(name).resolve().name)
    return _folder_info(_hub_folder(name), name)


def _hub_folder(name: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
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


def remembered_digest(files: Sequence[Path], digest_of: Callable[[Sequence[Path]], str]) -> str:
    """A digest of files, remembered while their sizes and times are unchanged."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:32]
    remembered = cache_folder("digests") / key
    if remembered.exists():
        return remembered.read_text()
    digest = digest_of(files)
    write_atomically(remembered, digest.encode())
    return digest


def tensors_digest(files: Sequence[Path]) -> str:
    """sha256 over the tensors of safetensors files by name, whatever their sharding and metadata."""
    headers: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for file in files:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
        header.pop("__metadata__", None)
        headers.update({name: (file, 8 + size, entry) for name, entry in header.items()})
    digest = hashlib.sha256()
    for name in sorted(headers):
        file, base, entry = headers[name]
        begin, end = entry["data_offsets"]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        with file.open("rb") as stream:
            stream.seek(base + begin, os.SEEK_SET)
            remaining = end - begin
            while remaining:
                block = stream.read(min(remaining, 1 << 24))
                if not block:
                    raise BackboneError(f"{file.name} ends inside tensor {name!r}; download it again")
                digest.update(block)
                remaining -= len(block)
    return digest.hexdigest()
