"""Hooks are counted in decoder blocks that have run."""

from __future__ import annotations

import pytest

from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.formats.base import layer_of_hook


@pytest.mark.parametrize(
    ("hook", "layer"),
    [
        ("blocks.0.hook_resid_pre", 0),
        ("blocks.7.hook_resid_post", 8),
        ("layers.7", 8),
        ("model.layers.7", 8),
        ("transformer.h.11", 12),
        ("hidden_states[3]", 3),
    ],
)
def test_hooks_are_counted_in_blocks_that_have_run(hook: str, layer: int) -> None:
    assert layer_of_hook(hook) == layer


@pytest.mark.parametrize("hook", ["blocks.1.hook_mlp_out", "blocks.1.attn.hook_z", "layers.3.mlp", "ln_final"])
def test_other_hooks_are_refused(hook: str) -> None:
    with pytest.raises(SAEFormatError, match="not the residual stream"):
        layer_of_hook(hook)
