"""The backbone computes the residual stream of the whole model, up to its layer."""

from __future__ import annotations

import pytest
import torch
import transformers

from fac_datasets import Backbone
from fac_datasets.errors import BackboneError


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_residual_is_the_hidden_state_of_the_whole_model(tiny_backbone: str, layer: int) -> None:
    backbone = Backbone(tiny_backbone, layer)
    windows = backbone.windows(["The cat sat on the mat.", "Hi."], render="chat", max_length=64)
    residual = backbone.residual(windows)
    whole = transformers.AutoModelForCausalLM.from_pretrained(tiny_backbone)
    states: list[torch.Tensor] = []
    blocks = whole.model.layers
    # The last entry of hidden_states is behind the final norm, so the last block is read by a hook.
    handle = (blocks[layer - 1] if layer else whole.model.embed_tokens).register_forward_hook(
        lambda _module, _inputs, output: states.append(output[0] if isinstance(output, tuple) else output)
    )
    for i, window in enumerate(windows):
        states.clear()
        whole(torch.from_numpy(window.token_ids)[None])
        torch.testing.assert_close(residual[i, : len(window.own)], states[0][0].detach(), rtol=1e-4, atol=1e-4)
    handle.remove()
    assert len(backbone.model.layers) == layer


def test_a_layer_past_the_end_is_an_error(tiny_backbone: str) -> None:
    with pytest.raises(BackboneError, match="has 3 decoder blocks"):
        Backbone(tiny_backbone, 4)
