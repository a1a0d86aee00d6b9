"""Loading tokenizers and models of transformers, whole or cut, with errors that say what is wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import BackboneError, OptionError

if TYPE_CHECKING:
    import torch


DTYPES = ("float32", "bfloat16", "float16", "float64")
"""Number formats that a model computes in."""


def torch_device(name: str | None) -> torch.device:
    """A torch device by name; without one, CUDA where there is one, else the CPU.

    Of several processes that were launched together, each takes the CUDA device of its local rank.

    Raises:
        OptionError: there is no such device on this machine.
    """
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise OptionError(f"device={name!r} is no torch device such as 'cpu' or 'cuda:0'") from error
    if str(device) == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    if not _is_there(device):
        raise OptionError(
            f"device={str(device)!r} is not on this machine, which has {torch.cuda.device_count()} CUDA devices; leave "
            f"it out, or say 'cpu'"
        )
    return device


def _is_there(device: torch.device) -> bool:
    import torch

    # Counting does not start CUDA, after which no worker could be forked.
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        return False
    return device.type != "meta"


def require_dtype(name: str) -> None:
    """Raise OptionError unless a model can compute in this number format; needs no torch."""
    if name not in DTYPES:
        raise OptionError(f"dtype={name!r} is none of {', '.join(DTYPES)}")


def torch_dtype(name: str) -> torch.dtype:
    """A floating-point torch dtype by name."""
    import torch

    require_dtype(name)
    dtype: torch.dtype = getattr(torch, name)
    return dtype


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


def load_cut_model(path: str, layer: int, dtype: str) -> Any:
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
