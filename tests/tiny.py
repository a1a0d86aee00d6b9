"""A tiny random Llama with a byte-level tokenizer, and a tiny SAE on it: real objects that load in an instant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from fac_datasets import Backbone, SparseAutoencoder
from fac_datasets.sae.calibration import calibrate_sae
from fac_datasets.sae.model import SAEConfig

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRIPPING = CHATML.replace("message['content']", "message['content'] | trim")

TEXTS = [
    "The cat sat on the mat and looked at the rain.",
    "Water boils at one hundred degrees.",
    "Who wrote this book? A woman from Norway did.",
    "I would like two cups of coffee, please.",
    "def add(a, b):\n    return a + b",
    "The train to Madrid leaves at nine o'clock.",
    "Prices rose by 3.5 percent in March.",
    "Dogs bark, birds sing, and the river is quiet.",
] * 3

TINY_LAYER, TINY_WIDTH, TINY_FEATURES = 2, 32, 96


def make_tiny_backbone(folder: Path, template: str | None = CHATML, width: int = TINY_WIDTH) -> Path:
    """Write a random 3-block Llama with a byte-level tokenizer that has merges of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    fast: Any = transformers.PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(fast),
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.2,
    )
    model = transformers.LlamaForCausalLM(config)
    odd = [token for token in range(len(fast)) if not re.fullmatch(r"[ -~\n]+", fast.decode([token]))]
    # Never among the likeliest, so that it writes what is a text.
    model.lm_head.weight.data[odd] = 0
    model.save_pretrained(folder)
    return folder


def make_tiny_sae(backbone_folder: Path, folder: Path) -> Path:
    """Write a random TopK SAE for layer 2 of the tiny backbone, calibrated for chat and raw."""
    backbone = Backbone(str(backbone_folder), TINY_LAYER)
    config = SAEConfig(
        d_in=TINY_WIDTH,
        d_sae=TINY_FEATURES,
        k=8,
        layer=TINY_LAYER,
        name="tiny",
        backbone=backbone.info.name,
        backbone_digest=backbone.info.digest,
    )
    sae = SparseAutoencoder(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        sae.W_dec.copy_(
            torch.nn.functional.normalize(torch.randn(TINY_FEATURES, TINY_WIDTH, generator=generator), dim=-1)
        )
        sae.W_enc.copy_(sae.W_dec.T)
    sae.save_pretrained(folder)
    for render in ("chat", "raw"):
        calibrate_sae(backbone, folder, TEXTS, render=render)
    return folder
