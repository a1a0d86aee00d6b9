"""Models whose tokens see those behind them are no backbones: told by their configuration, else by one run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from fac_datasets import Backbone
from fac_datasets.backbone.causality import require_causal_config
from fac_datasets.backbone.identity import backbone_info
from fac_datasets.errors import BackboneError

SHAPE: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


def gemma_3(**options: Any) -> transformers.PreTrainedConfig:
    return transformers.Gemma3TextConfig(**SHAPE, head_dim=8, **options)


def with_switch(config: transformers.PreTrainedConfig, **options: bool) -> transformers.PreTrainedConfig:
    config.update(options)
    return config


def folder_of(config: transformers.PreTrainedConfig, tiny_backbone: str, folder: Path) -> str:
    """A folder with a random model of a configuration and the tiny backbone's tokenizer."""
    torch.manual_seed(0)
    shutil.copytree(tiny_backbone, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    auto: Any = transformers.AutoModel
    auto.from_config(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    "config",
    [
        gemma_3(),
        transformers.GPT2Config(vocab_size=400, n_embd=32, n_layer=3, n_head=4),
        transformers.GPTNeoXConfig(**{**SHAPE, "num_key_value_heads": None}),
        transformers.LlamaConfig(**SHAPE),
    ],
    ids=lambda config: config.model_type,
)
def test_a_decoder_reads_a_window_in_a_batch_as_alone(
    config: transformers.PreTrainedConfig, tiny_backbone: str, tmp_path: Path
) -> None:
    backbone = Backbone(folder_of(config, tiny_backbone, tmp_path / "model"), 2)
    windows = backbone.windows(
        ["Dogs bark.", "The train to Madrid leaves at nine o'clock."], render="raw", max_length=64
    )
    alone = backbone.residual(windows[:1])[0]
    torch.testing.assert_close(backbone.residual(windows)[0, : len(alone)], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (transformers.EuroBertConfig(**SHAPE, mask_token_id=2), "'eurobert', an encoder"),
        (gemma_3(use_bidirectional_attention=True), "use_bidirectional_attention=True"),
    ],
    ids=["eurobert", "gemma3"],
)
def test_a_model_that_looks_both_ways_is_refused_by_its_configuration(
    config: transformers.PreTrainedConfig, named: str, tiny_backbone: str, tmp_path: Path
) -> None:
    folder = folder_of(config, tiny_backbone, tmp_path / "model")
    with pytest.raises(BackboneError, match=named):
        backbone_info(folder)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (transformers.GemmaConfig(use_bidirectional_attention=True), "use_bidirectional_attention=True"),
        (transformers.Gemma4TextConfig(use_bidirectional_attention="all"), "is_causal=False"),
        (with_switch(transformers.LlamaConfig(), is_causal=False), "is_causal=False"),
        (with_switch(transformers.MptConfig(), prefix_lm=True), "prefix_lm=True"),
        (transformers.RobertaConfig(), "'roberta', an encoder"),
    ],
    ids=["gemma", "gemma4", "is_causal", "prefix_lm", "encoder"],
)
def test_each_switch_of_a_configuration_is_read(config: transformers.PreTrainedConfig, named: str) -> None:
    with pytest.raises(BackboneError, match=named):
        require_causal_config(config, "model")


@pytest.mark.parametrize(
    "config",
    [
        transformers.Gemma4TextConfig(use_bidirectional_attention="vision"),
        with_switch(transformers.LlamaConfig(), is_causal=True),
        transformers.RobertaConfig(is_decoder=True),
    ],
    ids=["only_images", "is_causal", "encoder_as_decoder"],
)
def test_what_leaves_text_causal_is_accepted(config: transformers.PreTrainedConfig) -> None:
    require_causal_config(config, "model")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_whose_configuration_says_nothing_is_found_by_running_it(
    dtype: str, tiny_backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama import modeling_llama

    def both_ways(self: Any, hidden_states: torch.Tensor, *args: Any, **options: Any) -> Any:
        length = hidden_states.shape[1]
        seen = torch.zeros(1, 1, length, length, dtype=hidden_states.dtype)
        return causal(self, hidden_states, *args, **{**options, "attention_mask": seen})

    causal = modeling_llama.LlamaAttention.forward
    monkeypatch.setattr(modeling_llama.LlamaAttention, "forward", both_ways)
    with pytest.raises(BackboneError, match="other residual vectors alone than padded in a batch"):
        Backbone(tiny_backbone, 2, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rounding_is_no_sign_of_looking_ahead(dtype: str, tiny_backbone: str) -> None:
    assert Backbone(tiny_backbone, 3, dtype=dtype).layer == 3
