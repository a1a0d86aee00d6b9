"""Shared objects: a tiny random Llama with a byte-level tokenizer, a tiny SAE on it, and extractors of both."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

# Before anything of Hugging Face is imported: no network, and caches of the tests' own.
_CACHE = tempfile.mkdtemp(prefix="fac-datasets-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
_USER_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fac-datasets"
_USER_CACHE = Path(os.environ.get("FAC_DATASETS_CACHE") or _USER_CACHE)
os.environ["FAC_DATASETS_CACHE"] = f"{_CACHE}/fac-datasets"
Path(os.environ["FAC_DATASETS_CACHE"]).mkdir()
for _kind in ("backbones", "packages"):
    # The embedded backbone and the packages are large and never change, so the user's own are used.
    (_USER_CACHE / _kind).mkdir(parents=True, exist_ok=True)
    Path(os.environ["FAC_DATASETS_CACHE"], _kind).symlink_to(_USER_CACHE / _kind)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HOME"] = f"{_CACHE}/huggingface"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from fac_datasets import Backbone, FeatureExtractor, SparseAutoencoder
from fac_datasets.sae.calibration import calibrate_sae
from fac_datasets.sae.model import SAEConfig
from tests.hub import hub as hub

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


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a random 3-block Llama of width 32 with a chat template."""
    return str(_tiny_backbone(tmp_path_factory.mktemp("tiny-llama"), CHATML))


@pytest.fixture(scope="session")
def backbone(tiny_backbone: str) -> Backbone:
    """The tiny backbone, loaded and cut after the tiny SAE's layer."""
    return Backbone(tiny_backbone, TINY_LAYER)


@pytest.fixture(scope="session")
def stripping_backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same, with a template that strips the contents of messages, as Llama 3's does."""
    return str(_tiny_backbone(tmp_path_factory.mktemp("stripping-llama"), STRIPPING))


@pytest.fixture(scope="session")
def plain_backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same without a template, and wider than the tiny SAE."""
    return str(_tiny_backbone(tmp_path_factory.mktemp("plain-llama"), None, width=48))


def _tiny_backbone(folder: Path, template: str | None, width: int = TINY_WIDTH) -> Path:
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
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_sae(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a random TopK SAE for layer 2 of the tiny backbone, calibrated for chat and raw."""
    folder = tmp_path_factory.mktemp("tiny-sae")
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
    return str(folder)


@pytest.fixture
def tiny_extractor(tiny_backbone: str, tiny_sae: str) -> FeatureExtractor:
    """Extractor on the tiny pair that stores every positive activation."""
    return FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(0)
