"""Settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fac_datasets.backbone.rendering import require_render
from fac_datasets.errors import OptionError

_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "reference": {
        "objective": "reference",
        "d_sae": 65_536,
        "k": 20,
        "k_start": 200,
        "tied": True,
        "unit_norm": False,
        "normalize_input": False,
        "learning_rate": 1e-3,
        "epsilon": 6.25e-10,
        "warmup": 0.0,
        "decay": 0.0,
        "renders": ("chat",),
        "max_length": 256,
        "truncate": True,
    },
}


FOR_PEOPLE = ("name", "corpus", "save_dtype", "checkpoint_seconds")
"""Settings that do not change the weights."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run; the embedded SAE is made with the defaults and more tokens."""

    objective: str = "topk"
    """`"topk"`, `"relu"` or `"reference"`; see `fac_datasets.sae.training.objectives`."""
    d_sae: int = 8192
    """Number of features."""
    k: int = 32
    """Active features a token (TopK)."""
    k_start: int | None = None
    """The k that the reference starts with."""
    tied: bool = False
    """Use the encoder's weights, transposed, as decoder."""
    unit_norm: bool = True
    """Keep decoder rows at norm 1, and drop the gradient along them."""
    normalize_input: bool = True
    """Scale residual vectors so that their mean norm is sqrt(d_in)."""
    n_tokens: int = 1_000_000
    """Own tokens that a pass takes from the texts, which are repeated where they hold fewer."""
    passes: int = 1
    """Times that these tokens are trained on; a cache of activations makes every pass but the first cheap."""
    batch_size: int = 1024
    """Tokens an optimiser step, of all processes together."""
    learning_rate: float = 8e-4
    """Peak learning rate of Adam."""
    epsilon: float = 1e-8
    """Of Adam."""
    warmup: float = 0.03
    """Share of the run over which the learning rate rises."""
    decay: float = 0.3
    """Share of the run, at its end, over which the learning rate falls to zero."""
    chunk_tokens: int = 65_536
    """Residual vectors that are shuffled together, of all processes."""
    aux_k: int = 256
    """Dead features that reconstruct the error (AuxK)."""
    aux_weight: float = 1 / 32
    """Weight of that loss."""
    l1_weight: float = 5.0
    """Weight of the sum of activations (ReLU)."""
    dead_after: int = 200_000
    """A feature that did not fire for this many tokens is dead."""
    renders: tuple[str, ...] | None = None
    """How texts are rendered; several take turns by row. By default chat and raw, or raw where there is no template."""
    max_length: int = 256
    """Tokens in a window."""
    truncate: bool = False
    """Cut longer rows instead of reading them in several windows."""
    precision: str = "float32"
    """Of the SAE's large products: `"float32"` or `"bfloat16"`; the backbone's is its own."""
    seed: int = 0
    """Of the weights and of all orders."""
    name: str = "sae"
    """Name of the SAE, for people."""
    corpus: str = ""
    """What the texts are, for people."""
    save_dtype: str = "float32"
    """Of the saved weights."""
    checkpoint_seconds: float = 60.0
    """Least time between two checkpoints, which are written behind a chunk."""

    def __post_init__(self) -> None:
        for name in ("d_sae", "k", "n_tokens", "passes", "chunk_tokens", "aux_k", "dead_after"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)} must be at least 1")
        if self.batch_size < 2:
            raise OptionError(
                f"batch_size={self.batch_size} must be at least 2, since the loss is a share of its variance"
            )
        for name in ("k", "k_start"):
            if (getattr(self, name) or 1) > self.d_sae:
                raise OptionError(f"{name}={getattr(self, name)} must not exceed d_sae={self.d_sae}; set it too")
        if self.precision not in ("float32", "bfloat16"):
            raise OptionError(f"precision={self.precision!r} is neither 'float32' nor 'bfloat16'")
        for render in self.renders or ():
            require_render(render)

    @classmethod
    def preset(cls, preset: str, /, **changes: Any) -> TrainingConfig:
        """A named recipe with changes.

        Args:
            preset: `"default"`, or `"reference"`, the recipe of arXiv 2602.10388: tied weights, k annealed from 200 to
                20 over the first half, error over the square of the input, Adam at 1e-3, 256 tokens a prompt.
            changes: settings that differ.

        Raises:
            OptionError: there is no preset of that name.

        Example:
            >>> TrainingConfig.preset("reference", d_sae=4096).tied
            True
        """
        if preset not in _PRESETS:
            raise OptionError(f"preset={preset!r} is not known; known: {', '.join(_PRESETS)}")
        return cls(**{**_PRESETS[preset], **changes})
