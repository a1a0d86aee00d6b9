"""Whether a language model only looks back: by its configuration, and by running it once.

Windows are padded on the right and cut behind their last own token; both change nothing only where no token sees what
follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

_WINDOW, _LONGER_WINDOW = 8, 64
"""Tokens of the window that is run alone and padded, and of the one beside it."""

_LEAST_TOLERANCE = 0.01
"""Relative difference that no rounding reaches in float32, TF32 included; a token that sees padding differs by more."""


def require_causal_config(config: Any, name: str) -> None:
    """Raise unless a model's configuration leaves its attention causal.

    Args:
        config: of the language model, in the words of transformers.
        name: of the model, for the error.

    Raises:
        BackboneError: attention looks both ways, throughout or within the prompt.
    """
    found = _both_ways(config)
    if found:
        raise BackboneError(
            f"{name!r} has {found}: its tokens see those behind them, so features would change with the batch; use a "
            f"causal language model"
        )


def _both_ways(config: Any) -> str | None:
    """What in a configuration makes attention look both ways, or None."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if getattr(config, "is_causal", None) is False:
        return "is_causal=False"
    # "vision" concerns the tokens of images alone.
    if getattr(config, "use_bidirectional_attention", None) not in (None, False, "vision"):
        return f"use_bidirectional_attention={config.use_bidirectional_attention!r}"
    if getattr(config, "prefix_lm", False):
        return "prefix_lm=True"
    # Encoders say nothing of their attention; the types that can be decoders too say is_decoder.
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        return f"the type {config.model_type!r}, an encoder"
    return None


def require_causal_run(run: Callable[[NDArray[np.int64]], torch.Tensor], n_tokens: int, name: str) -> None:
    """Raise unless a window gives the same alone as padded in a batch beside a longer one.

    Args:
        run: token ids [n_windows, length] to residual vectors [n_windows, length, d_model].
        n_tokens: size of the vocabulary.
        name: of the model, for the error.

    Raises:
        BackboneError: the vectors differ by more than rounding.
    """
    import torch

    longer = np.linspace(0, n_tokens - 1, _LONGER_WINDOW).astype(np.int64)
    batch = np.zeros((2, _LONGER_WINDOW), dtype=np.int64)
    batch[0, :_WINDOW] = longer[-_WINDOW:]
    batch[1] = longer
    alone, padded = run(batch[:1, :_WINDOW])[0], run(batch)[0, :_WINDOW]
    tolerance = max(_LEAST_TOLERANCE, torch.finfo(alone.dtype).eps ** 0.5)
    relative = (alone.float() - padded.float()).norm(dim=-1) / alone.float().norm(dim=-1)
    # Vectors that are not finite have an error of their own, when rows are read.
    difference = float(relative.nan_to_num(0.0).max())
    if difference > tolerance:
        raise BackboneError(
            f"{name!r} gives a window of {_WINDOW} tokens other residual vectors alone than padded in a batch "
            f"(relative difference {difference:.2g}, at most {tolerance:.2g} is rounding), so features would change "
            f"with the batch; use a causal language model"
        )
