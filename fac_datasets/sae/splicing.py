"""A whole language model in which the residual stream after L blocks can be read and replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from fac_datasets.backbone.pretrained import decoder_blocks, load_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class SplicedModel:
    """A causal language model with a hook on its residual stream.

    Args:
        path: where transformers loads it from.
        layer: decoder blocks before the residual stream.
        device: torch device.
        dtype: of the weights, by name.
    """

    def __init__(self, path: str, layer: int, *, device: torch.device, dtype: str = "float32") -> None:
        from transformers import AutoModelForCausalLM

        self._model = load_model(AutoModelForCausalLM, path, dtype).to(device)
        # A block's output is what the next one reads; layer 0 is what the first one reads.
        blocks = decoder_blocks(self._model)
        self._before = list(blocks[:layer])
        self._blocks_give_tuples = False
        if layer:
            blocks[layer - 1].register_forward_hook(self._on_output)
        else:
            blocks[0].register_forward_pre_hook(self._on_input, with_kwargs=True)
        self._seen: Tensor | None = None
        self._replacement: Tensor | None = None

    @property
    def residual(self) -> Tensor:
        """The residual stream of the last pass as the model made it, [n, n_tokens, d_model]."""
        assert self._seen is not None
        return self._seen

    def logits(self, token_ids: Tensor, replacement: Tensor | None = None) -> Tensor:
        """Logits of every token, [n, n_tokens] -> [n, n_tokens, n_vocabulary].

        Args:
            token_ids: padded on the right.
            replacement: stands in for the residual stream, [n, n_tokens, d_model]; what comes before it does not run.
        """
        self._replacement = None if replacement is None else replacement.to(self._model.dtype)
        with nullcontext() if replacement is None else self._skipping():
            logits: Tensor = self._model(input_ids=token_ids, use_cache=False).logits
        return logits

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """While open, the blocks before the residual stream hand on what they get."""

        def hand_on(hidden: Tensor, *_arguments: Any, **_named: Any) -> Any:
            return (hidden, None) if self._blocks_give_tuples else hidden

        for block in self._before:
            block.forward = hand_on
        try:
            yield
        finally:
            for block in self._before:
                del block.forward

    def _on_output(self, _module: Any, _inputs: Any, output: Any) -> Any:
        self._blocks_give_tuples = isinstance(output, tuple)
        hidden = output[0] if isinstance(output, tuple) else output
        self._seen = hidden
        if self._replacement is None:
            return None
        return (self._replacement, *output[1:]) if isinstance(output, tuple) else self._replacement

    def _on_input(self, _module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self._seen = inputs[0] if inputs else named["hidden_states"]
        if self._replacement is None:
            return None
        return (
            ((self._replacement, *inputs[1:]), named)
            if inputs
            else (inputs, {**named, "hidden_states": self._replacement})
        )
