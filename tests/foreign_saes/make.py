r"""Builds small SAEs with their owners' libraries and records what those libraries compute with them.

The tests of our loaders read the results in ``fixtures/``; nothing else needs this script. It runs in an environment
of its own, never in the project's:

    python -m venv foreign && . foreign/bin/activate
    pip install torch==2.13.0            # a CPU build, and first: the libraries would bring a CUDA one
    pip install sae-lens==6.54.12 transformer-lens==3.9.0 eai-sparsify==1.3.3 transformers==5.23.0 tokenizers==0.23.3 \
        safetensors==0.8.0 numpy==2.4.6
    pip install --no-deps --target sae_lens_5 sae-lens==5.11.0         # for `sae-lens-5` alone

    python tests/foreign_saes/make.py model            # fixtures/tiny-llama, which all the others read
    python tests/foreign_saes/make.py sae-lens         # sae_lens_*
    PYTHONPATH=sae_lens_5 python tests/foreign_saes/make.py sae-lens-5 DIR     # writes an old SAE into DIR ...
    python tests/foreign_saes/make.py sae-lens-old DIR                         # ... which the new library reads
    python tests/foreign_saes/make.py gemma-scope      # gemma_scope
    python tests/foreign_saes/make.py sparsify         # sparsify_*
    python tests/foreign_saes/make.py paper            # paper_reference

Every case is a folder of ``fixtures/``: ``sae/`` as the library's own writer left it (or, where the owner published
no library, as the format is published), ``expected.json`` with the texts, their tokens and where the SAE stands, and
``expected.safetensors`` with ``residual.N``, ``activations.N`` and ``reconstruction.N`` of text N. A case whose
``expected.json`` says ``refused`` has no expected values: it is one our loaders must not take.

Values are recorded only where they are settled: the seed of a case is the first one whose set of active features
stays the same when the residual stream is disturbed by 1e-4 of itself, so that another machine's rounding cannot
turn a feature on or off.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

FIXTURES = Path(__file__).parent / "fixtures"
MODEL = FIXTURES / "tiny-llama"

TEXTS = ["Good morning.", "The cat sat.", "A small boat is on the lake."]
CORPUS = [
    *TEXTS,
    "The cat sat on the mat, and a small boat is on the lake today.",
    "The rain fell on the roof all day, and the garden was green again.",
    "She reads a book in the morning and walks to the lake in the evening.",
    "The train to the city leaves at nine; is there a seat for the small dog?",
    "Bread, milk and tea are on the table. Who sat on the mat today?",
    "A boat on the lake, a cat on the roof: it was a good day.",
]

D_IN, D_SAE, K, GROUPS = 16, 48, 7, 8
REFUSED_D_SAE = 8

Encode = Callable[[torch.Tensor], torch.Tensor]


# What the cases share


@dataclass
class Recording:
    """One text through the model and the SAE: [n_tokens, ...] each, and an encoder to disturb."""

    residual: torch.Tensor
    activations: torch.Tensor
    reconstruction: torch.Tensor


def library(name: str) -> Any:
    """A library that the project itself does not install."""
    return importlib.import_module(name)


def seeds() -> Iterator[int]:
    return itertools.count(1)


def load_tiny() -> tuple[Any, Any]:
    """The tiny Llama and its tokenizer, as transformers loads them."""
    transformers = library("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(str(MODEL), dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(str(MODEL))


def tokenize(tokenizer: Any) -> list[list[int]]:
    return [list(tokenizer(text)["input_ids"]) for text in TEXTS]


def block_outputs(model: Any, tokens: list[int]) -> list[torch.Tensor]:
    """The residual stream before the first block and after each one: item N is the stream after N blocks.

    Not transformers' own hidden states: their last one has gone through the final norm.
    """
    seen: list[torch.Tensor] = []
    hooks = [
        model.model.layers[0].register_forward_pre_hook(
            lambda _module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
    ]
    hooks.extend(
        layer.register_forward_hook(lambda _module, _args, out: seen.append(out[0] if isinstance(out, tuple) else out))
        for layer in model.model.layers
    )
    try:
        with torch.no_grad():
            model(torch.tensor([tokens]))
    finally:
        for hook in hooks:
            hook.remove()
    return [stream[0].detach() for stream in seen]


def is_settled(encode: Encode, recordings: list[Recording]) -> bool:
    """Whether rounding of another machine could turn no feature on or off."""
    generator = torch.Generator().manual_seed(0)
    for recording in recordings:
        active = recording.activations > 0
        for _ in range(8):
            noise = 1 + 1e-4 * torch.randn(recording.residual.shape, generator=generator)
            if not torch.equal(encode(recording.residual * noise) > 0, active):
                return False
    return True


def is_lively(recordings: list[Recording]) -> bool:
    """Whether every token has some features active, and none has all."""
    counts = torch.cat([(r.activations > 0).sum(dim=1) for r in recordings])
    return bool(counts.min() > 0 and counts.max() < D_SAE)


def has_short_token(recordings: list[Recording], k: int) -> bool:
    """Whether some tokens have fewer than k active features (the ReLU shows) and some exactly k (the k shows)."""
    counts = torch.cat([(r.activations > 0).sum(dim=1) for r in recordings])
    return bool(counts.min() < k and counts.max() == k)


def fresh(case: str) -> Path:
    """An empty folder for a case."""
    folder = FIXTURES / case
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def versions(*names: str) -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in ("torch", "transformers", *names)}}


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def record(
    folder: Path,
    *,
    kind: str,
    sae: str,
    hook: str,
    blocks_run: int,
    recordings: list[Recording],
    libraries: list[str],
    more: dict[str, Any] | None = None,
    more_tensors: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a case's expected values, after checking that the SAE saw transformers' own residual stream."""
    model, tokenizer = load_tiny()
    tokens = tokenize(tokenizer)
    tensors = dict(more_tensors or {})
    for number, (ids, recording) in enumerate(zip(tokens, recordings, strict=True)):
        torch.testing.assert_close(recording.residual, block_outputs(model, ids)[blocks_run], atol=1e-4, rtol=1e-4)
        tensors[f"residual.{number}"] = recording.residual
        tensors[f"activations.{number}"] = recording.activations
        tensors[f"reconstruction.{number}"] = recording.reconstruction
    save_file(
        {name: value.detach().float().contiguous() for name, value in sorted(tensors.items())},
        folder / "expected.safetensors",
    )
    content = {
        "format": kind,
        "sae": sae,
        "model": "tiny-llama",
        "hook": hook,
        "blocks_run": blocks_run,
        "texts": TEXTS,
        "tokens": tokens,
        **(more or {}),
        "versions": versions(*libraries),
    }
    write_json(folder / "expected.json", content)
    counts = torch.cat([(r.activations > 0).sum(dim=1) for r in recordings])
    print(f"{folder.name}: {int(counts.min())}-{int(counts.max())} of {D_SAE} active a token")


def record_refusal(folder: Path, *, kind: str, sae: str, why: str, libraries: list[str]) -> None:
    content = {"format": kind, "sae": sae, "refused": why, "versions": versions(*libraries)}
    write_json(folder / "expected.json", content)
    print(f"{folder.name}: refused, {why}")


def random_weights(seed: int, d_sae: int = D_SAE, *, bias: float = 0.0) -> dict[str, torch.Tensor]:
    """Weights with no zero bias and decoder rows of differing norms; ``bias`` shifts the encoder's bias."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    directions = torch.nn.functional.normalize(normal(d_sae, D_IN), dim=-1)
    norms = 0.4 + 1.6 * torch.rand(d_sae, 1, generator=generator)
    return {
        "W_enc": (directions + 0.1 * normal(d_sae, D_IN)).T.contiguous(),
        "b_enc": 0.4 * normal(d_sae) + bias,
        "W_dec": directions * norms,
        "b_dec": 0.3 * normal(D_IN),
        "threshold": 0.2 + 0.8 * torch.rand(d_sae, generator=generator),
    }


def tie_threshold(weights: dict[str, torch.Tensor]) -> None:
    """Feature 0 always exactly at its threshold, feature 1 always above it, whatever the input."""
    weights["W_enc"][:, :2] = 0
    weights["b_enc"][:2] = 0.5
    weights["threshold"][:2] = torch.tensor([0.5, 0.25])


# The model


def make_model() -> None:
    """A Llama of four blocks whose residual streams differ clearly, with a byte-level BPE of some 220 tokens."""
    transformers, tokenizers = library("transformers"), library("tokenizers")
    folder = fresh("tiny-llama")

    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=220,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
        # ASCII alone, as the byte-level alphabet writes it: a full one would be larger than the vocabulary.
        initial_alphabet=[*map(chr, range(33, 127)), "\u0120", "\u010a"],
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    bpe.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=128,
    )

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=bpe.get_vocab_size(),
        hidden_size=D_IN,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.25,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(1 + 0.2 * torch.randn_like(weight))
            elif "embed" in name:
                weight.mul_(3)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    (folder / "generation_config.json").unlink(missing_ok=True)

    model, tokenizer = load_tiny()
    for text, ids in zip(TEXTS, tokenize(tokenizer), strict=True):
        streams = block_outputs(model, ids)
        moved = [float((b - a).norm() / a.norm()) for a, b in itertools.pairwise(streams)]
        sizes = [round(float(stream.norm(dim=-1).mean()), 1) for stream in streams]
        if tokenizer.decode(ids, skip_special_tokens=True) != text or ids[0] != 1 or min(moved) < 0.2:
            raise RuntimeError(f"the tiny model is not as meant: {text!r} {ids} {moved}")
        print(f"tiny-llama: {len(ids)} tokens, norms of the stream {sizes}, moved by {[round(m, 2) for m in moved]}")


# SAELens


@dataclass(frozen=True)
class SAELensCase:
    """An SAE of SAELens: ``trained`` ones go from the training class through ``save_inference_model``."""

    name: str
    architecture: str
    hook: str
    blocks_run: int
    options: dict[str, Any] = field(default_factory=dict)
    trained: bool = False
    bias: float = 0.0
    tie: bool = False
    load_dtype: str | None = None
    note: str | None = None
    model_class_name: str = "HookedTransformer"


SAE_LENS_CASES = [
    SAELensCase("standard", "standard", "blocks.1.hook_resid_pre", 1, {"apply_b_dec_to_input": True}),
    SAELensCase("standard_last_layer", "standard", "blocks.3.hook_resid_post", 4, {"apply_b_dec_to_input": False}),
    SAELensCase(
        "standard_first_layer", "standard", "blocks.0.hook_resid_pre", 0, {"dtype": "bfloat16"}, load_dtype="float32"
    ),
    SAELensCase(
        "standard_layer_norm", "standard", "blocks.2.hook_resid_post", 3, {"normalize_activations": "layer_norm"}
    ),
    SAELensCase(
        "standard_constant_norm",
        "standard",
        "blocks.0.hook_resid_post",
        1,
        {"normalize_activations": "constant_norm_rescale"},
    ),
    SAELensCase(
        "standard_expected_average",
        "standard",
        "blocks.2.hook_resid_pre",
        2,
        {"normalize_activations": "expected_average_only_in"},
        note="unfolded: the factor is in no file, and the library does not scale",
    ),
    SAELensCase("standard_hf_hook", "standard", "model.layers.1", 2, model_class_name="AutoModelForCausalLM"),
    SAELensCase("topk", "topk", "blocks.1.hook_resid_post", 2, {"k": K}, bias=-1.6),
    SAELensCase(
        "topk_rescaled",
        "topk",
        "blocks.2.hook_resid_pre",
        2,
        {"k": K, "rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False},
    ),
    SAELensCase(
        "topk_from_training",
        "topk",
        "blocks.2.hook_resid_post",
        3,
        {"k": K, "rescale_acts_by_decoder_norm": True, "normalize_activations": "layer_norm"},
        trained=True,
    ),
    SAELensCase("jumprelu", "jumprelu", "blocks.2.hook_resid_post", 3, {"apply_b_dec_to_input": False}, tie=True),
    SAELensCase(
        "jumprelu_from_training",
        "jumprelu",
        "blocks.1.hook_resid_pre",
        1,
        {"normalize_activations": "constant_norm_rescale"},
        trained=True,
    ),
    SAELensCase("batchtopk", "batchtopk", "blocks.0.hook_resid_post", 1, {"k": float(K)}, trained=True),
]


class SAELens:
    """SAELens with the tiny model as it loads models itself: no folding, no centring."""

    def __init__(self) -> None:
        self.lib = library("sae_lens")
        self.metadata = library("sae_lens.saes.sae").SAEMetadata
        self.hf_model, self.tokenizer = load_tiny()
        self.tokens = tokenize(self.tokenizer)
        self.model = self.hook_model()
        for text, ids in zip(TEXTS, self.tokens, strict=True):
            if self.model.to_tokens(text, prepend_bos=True)[0].tolist() != ids:
                raise RuntimeError(f"SAELens and transformers tokenize {text!r} differently")

    def hook_model(self) -> Any:
        """What ``from_pretrained_no_processing`` does, which itself only takes names of published models."""
        loading = library("transformer_lens.loading_from_pretrained")
        with tempfile.TemporaryDirectory() as scratch:
            # A path with "llama" in it would be taken for one of the published Llamas.
            path = shutil.copytree(MODEL, Path(scratch) / "model")
            config = loading.get_pretrained_model_config(str(path), device="cpu", dtype=torch.float32)
            state = loading.get_pretrained_state_dict(str(path), config, self.hf_model, dtype=torch.float32)
        model = self.lib.HookedSAETransformer(config, self.tokenizer, move_to_device=False)
        model.load_and_process_state_dict(
            state, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
        )
        return model

    def build(self, case: SAELensCase, seed: int, *, d_sae: int = D_SAE) -> Any:
        stem = {"standard": "Standard", "topk": "TopK", "jumprelu": "JumpReLU", "batchtopk": "BatchTopK"}
        name = stem[case.architecture] + ("TrainingSAE" if case.trained else "SAE")
        sae_class, config_class = getattr(self.lib, name), getattr(self.lib, name + "Config")
        sae = sae_class(config_class(d_in=D_IN, d_sae=d_sae, metadata=self.describe(case), **case.options))
        weights = random_weights(seed, d_sae, bias=case.bias)
        if case.tie:
            tie_threshold(weights)
        self.fill(sae, weights)
        if case.architecture == "batchtopk":
            sae.topk_threshold.fill_(0.8)
        return sae

    def describe(self, case: SAELensCase) -> Any:
        """The metadata that SAELens' training runner sets."""
        return self.metadata(
            model_name="tiny-llama",
            model_class_name=case.model_class_name,
            hook_name=case.hook,
            hook_head_index=None,
            context_size=32,
            prepend_bos=True,
            seqpos_slice=[None],
            model_from_pretrained_kwargs={},
            dataset_path="",
            exclude_special_tokens=False,
            sequence_separator_token="bos",
            disable_concat_sequences=False,
        )

    def fill(self, sae: Any, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in sae.named_parameters():
                if name in weights:
                    parameter.copy_(weights[name])

    def save(self, sae: Any, folder: Path) -> None:
        trained = isinstance(sae, self.lib.TrainingSAE)
        (sae.save_inference_model if trained else sae.save_model)(str(folder))

    def run(self, sae: Any) -> list[Recording]:
        """Every text through the model with the SAE at its hook, by the library's own hooks."""
        hook = sae.cfg.metadata.hook_name
        recordings = []
        with torch.no_grad():
            for ids in self.tokens:
                names = [f"{hook}.hook_sae_{part}" for part in ("input", "acts_post", "output")]
                _, cache = self.model.run_with_cache_with_saes(torch.tensor([ids]), saes=[sae], names_filter=names)
                recordings.append(Recording(*(cache[name][0] for name in names)))
        return recordings

    def run_plain(self, sae: Any) -> list[Recording]:
        """The same for an SAE on a plain transformers model, hooked by the name of a module."""
        hook = sae.cfg.metadata.hook_name
        load = library("sae_lens.load_model").load_model
        model = load("AutoModelForCausalLM", str(MODEL), "cpu", {"dtype": torch.float32}, hook_names=[hook])
        recordings = []
        with torch.no_grad():
            for ids in self.tokens:
                _, cache = model.run_with_cache(torch.tensor([ids]), names_filter=[hook])
                acts = sae.encode(cache[hook][0])
                recordings.append(Recording(cache[hook][0], acts, sae.decode(acts)))
        return recordings


def make_sae_lens() -> None:
    for old in FIXTURES.glob("sae_lens_*"):
        if old.name != "sae_lens_version_5":
            shutil.rmtree(old)
    lens = SAELens()
    for case in SAE_LENS_CASES:
        folder = fresh(f"sae_lens_{case.name}")
        for seed in seeds():
            lens.save(lens.build(case, seed), folder / "sae")
            sae = lens.lib.SAE.load_from_disk(str(folder / "sae"), dtype=case.load_dtype)
            recordings = lens.run_plain(sae) if case.model_class_name == "AutoModelForCausalLM" else lens.run(sae)
            settled = is_lively(recordings) and is_settled(sae.encode, recordings)
            if settled and (case.bias == 0 or has_short_token(recordings, K)):
                break
        more = {"loaded_dtype": case.load_dtype, "note": case.note}
        record(
            folder,
            kind="sae_lens",
            sae="sae",
            hook=case.hook,
            blocks_run=case.blocks_run,
            recordings=recordings,
            libraries=["sae-lens", "transformer-lens"],
            more={name: value for name, value in more.items() if value},
        )
    make_sae_lens_run(lens)
    make_sae_lens_refused(lens)


def make_sae_lens_run(lens: SAELens) -> None:
    """An SAE from SAELens' training runner itself: a few steps, with all the files that it leaves."""
    folder = fresh("sae_lens_training_run")
    texts = library("datasets").Dataset.from_dict({"text": CORPUS * 40})
    hook = "blocks.1.hook_resid_post"
    for seed in seeds():
        torch.manual_seed(seed)
        config = lens.lib.LanguageModelSAERunnerConfig(
            sae=lens.lib.BatchTopKTrainingSAEConfig(
                d_in=D_IN,
                d_sae=D_SAE,
                k=float(K),
                normalize_activations="expected_average_only_in",
                decoder_init_norm=0.5,
                topk_threshold_lr=0.1,
            ),
            model_name="tiny-llama",
            hook_name=hook,
            is_dataset_tokenized=False,
            streaming=False,
            context_size=16,
            training_tokens=8192,
            train_batch_size_tokens=256,
            store_batch_size_prompts=4,
            n_batches_in_buffer=64,
            n_batches_for_norm_estimate=4,
            feature_sampling_window=8,
            lr=3e-3,
            seed=seed,
            device="cpu",
            output_path="sae",
            checkpoint_path=None,
            verbose=False,
            logger=lens.lib.LoggingConfig(log_to_wandb=False),
        )
        with contextlib.chdir(folder):
            runner = lens.lib.LanguageModelSAETrainingRunner(config, override_dataset=texts, override_model=lens.model)
            runner.run()
        sae = lens.lib.SAE.load_from_disk(str(folder / "sae"))
        recordings = lens.run(sae)
        if is_lively(recordings) and is_settled(sae.encode, recordings):
            break
    record(
        folder,
        kind="sae_lens",
        sae="sae",
        hook=hook,
        blocks_run=2,
        recordings=recordings,
        libraries=["sae-lens", "transformer-lens"],
    )


def make_sae_lens_refused(lens: SAELens) -> None:
    small: dict[str, Any] = {"d_sae": REFUSED_D_SAE}

    def refuse(name: str, sae: Any, why: str, *, checkpoint: bool = False) -> None:
        folder = fresh(f"sae_lens_refused_{name}")
        (sae.save_model if checkpoint else lambda path: lens.save(sae, Path(path)))(str(folder / "sae"))
        record_refusal(folder, kind="sae_lens", sae="sae", why=why, libraries=["sae-lens"])

    mlp = SAELensCase("", "standard", "blocks.1.hook_mlp_out", 0)
    refuse("hook_mlp_out", lens.build(mlp, 1, **small), "reads the output of an MLP, not the residual stream")
    heads = SAELensCase("", "standard", "blocks.1.attn.hook_z", 0, {"reshape_activations": "hook_z"})
    refuse("hook_z", lens.build(heads, 1, **small), "reads attention heads, not the residual stream")
    batch = SAELensCase("", "batchtopk", "blocks.1.hook_resid_post", 0, {"k": 2.0}, trained=True)
    refuse("checkpoint", lens.build(batch, 1, **small), "a checkpoint of training, not an SAE to use", checkpoint=True)

    weights = random_weights(1, REFUSED_D_SAE)
    between = SAELensCase("", "standard", "blocks.1.hook_mlp_in", 0)
    metadata = lens.describe(between)
    metadata.hook_name_out = "blocks.1.hook_mlp_out"
    config = lens.lib.TranscoderConfig(
        d_in=D_IN, d_sae=REFUSED_D_SAE, d_out=D_IN, apply_b_dec_to_input=False, metadata=metadata
    )
    transcoder = lens.lib.Transcoder(config)
    lens.fill(transcoder, weights)
    refuse("transcoder", transcoder, "a transcoder")

    config = lens.lib.GatedSAEConfig(
        d_in=D_IN, d_sae=REFUSED_D_SAE, metadata=lens.describe(SAELensCase("", "", "blocks.1.hook_resid_post", 2))
    )
    gated = lens.lib.GatedSAE(config)
    lens.fill(gated, {**weights, "b_gate": weights["b_enc"], "b_mag": -weights["b_enc"], "r_mag": weights["threshold"]})
    refuse("gated", gated, "a gated SAE")


def write_sae_lens_5(folder: Path) -> None:
    """Run under SAELens 5: a top-k SAE and its flat configuration, one candidate a seed."""
    lib = library("sae_lens")
    if not lib.__version__.startswith("5."):
        raise RuntimeError(f"SAELens 5 is not the one imported: {lib.__version__}")
    for seed in range(1, 21):
        config = lib.SAEConfig(
            architecture="topk",
            d_in=D_IN,
            d_sae=D_SAE,
            activation_fn_str="topk",
            activation_fn_kwargs={"k": K},
            apply_b_dec_to_input=True,
            finetuning_scaling_factor=False,
            context_size=32,
            model_name="tiny-llama",
            hook_name="blocks.2.hook_resid_pre",
            hook_layer=2,
            hook_head_index=None,
            prepend_bos=True,
            dataset_path="",
            dataset_trust_remote_code=True,
            normalize_activations="none",
            dtype="torch.float32",
            device="cpu",
            sae_lens_training_version=lib.__version__,
        )
        sae = lib.SAE(config)
        weights = random_weights(seed)
        with torch.no_grad():
            for name, parameter in sae.named_parameters():
                parameter.copy_(weights[name])
        sae.save_model(folder / str(seed))


def make_sae_lens_old(source: Path) -> None:
    """The SAE that SAELens 5 wrote, read and run by the present SAELens."""
    lens = SAELens()
    folder = fresh("sae_lens_version_5")
    for seed in seeds():
        sae = lens.lib.SAE.load_from_disk(str(source / str(seed)))
        recordings = lens.run(sae)
        if is_lively(recordings) and is_settled(sae.encode, recordings):
            break
    shutil.copytree(source / str(seed), folder / "sae")
    record(
        folder,
        kind="sae_lens",
        sae="sae",
        hook="blocks.2.hook_resid_pre",
        blocks_run=2,
        recordings=recordings,
        libraries=["sae-lens", "transformer-lens"],
        more={"written_by": "sae-lens 5.11.0"},
    )


# Gemma Scope


def make_gemma_scope() -> None:
    """An SAE in Gemma Scope's layout, read by SAELens' loader of it with the download answered from this disk."""
    lens = SAELens()
    loaders = library("sae_lens.loading.pretrained_sae_loaders")
    folder = fresh("gemma_scope")
    layout = "layer_2/width_48/average_l0_5"
    path = folder / "sae" / layout / "params.npz"
    path.parent.mkdir(parents=True)
    loaders.hf_hub_download = lambda *_args, **_kwargs: str(path)

    def read(_path: str, device: str, cfg_overrides: dict[str, Any] | None) -> Any:
        overrides = {"d_in": D_IN, "d_sae": D_SAE, **(cfg_overrides or {})}
        return loaders.gemma_2_sae_huggingface_loader(
            "google/gemma-scope-2b-pt-res", layout, device, cfg_overrides=overrides
        )[:2]

    for seed in seeds():
        weights = random_weights(seed)
        tie_threshold(weights)
        arrays: dict[str, Any] = {name: value.numpy() for name, value in weights.items()}
        np.savez(path, **arrays)
        sae = lens.lib.SAE.load_from_disk(str(path.parent), converter=read)
        recordings = lens.run(sae)
        if is_lively(recordings) and is_settled(sae.encode, recordings):
            break
    record(
        folder,
        kind="gemma_scope",
        sae=f"sae/{layout}",
        hook=sae.cfg.metadata.hook_name,
        blocks_run=3,
        recordings=recordings,
        libraries=["sae-lens", "transformer-lens"],
    )


# Sparsify


class Sparsify:
    """Sparsify and its hookpoints: modules of the base model by name, of which an SAE reads the output."""

    def __init__(self) -> None:
        self.lib = library("sparsify")
        self.model, self.tokenizer = load_tiny()
        self.tokens = tokenize(self.tokenizer)

    def build(self, seed: int, *, d_sae: int = D_SAE, bias: float = 0.0, **options: Any) -> Any:
        sae = self.lib.SparseCoder(D_IN, self.lib.SparseCoderConfig(num_latents=d_sae, **options))
        weights = random_weights(seed, d_sae, bias=bias)
        with torch.no_grad():
            sae.encoder.weight.copy_(weights["W_enc"].T)
            sae.encoder.bias.copy_(weights["b_enc"])
            sae.W_dec.copy_(weights["W_dec"])
            sae.b_dec.copy_(weights["b_dec"])
            if sae.cfg.normalize_decoder:
                sae.set_decoder_norm_to_unit_norm()
        return sae

    def encode(self, sae: Any, residual: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            top = sae.encode(residual)
            dense = torch.zeros(len(residual), sae.num_latents)
            return dense.scatter_(1, top.top_indices, top.top_acts)

    def run(self, sae: Any, hookpoint: str) -> list[Recording]:
        recordings: list[Recording] = []

        def hook(_module: Any, _inputs: Any, outputs: Any) -> None:
            residual = (outputs[0] if isinstance(outputs, tuple) else outputs)[0]
            top = sae.encode(residual)
            reconstruction = sae.decode(top.top_acts, top.top_indices)
            recordings.append(Recording(residual, self.encode(sae, residual), reconstruction))

        handle = self.model.base_model.get_submodule(hookpoint).register_forward_hook(hook)
        try:
            with torch.no_grad():
                for ids in self.tokens:
                    self.model(torch.tensor([ids]))
        finally:
            handle.remove()
        return recordings


def make_sparsify() -> None:
    for old in FIXTURES.glob("sparsify_*"):
        shutil.rmtree(old)
    sparsify = Sparsify()

    cases: list[tuple[str, str, int, float, dict[str, Any]]] = [
        ("unnormalized", "layers.0", 1, -1.2, {"k": K, "normalize_decoder": False}),
        ("groupmax", "layers.1", 2, 0.0, {"k": GROUPS, "activation": "groupmax"}),
    ]
    for name, hookpoint, blocks_run, bias, options in cases:
        folder = fresh(f"sparsify_{name}")
        for seed in seeds():
            sparsify.build(seed, bias=bias, **options).save_to_disk(folder / "sae" / hookpoint)
            sae = sparsify.lib.SparseCoder.load_from_disk(folder / "sae" / hookpoint)
            recordings = sparsify.run(sae, hookpoint)
            settled = is_lively(recordings) and is_settled(partial(sparsify.encode, sae), recordings)
            if settled and (bias == 0 or has_short_token(recordings, K)):
                break
        record(
            folder,
            kind="sparsify",
            sae=f"sae/{hookpoint}",
            hook=hookpoint,
            blocks_run=blocks_run,
            recordings=recordings,
            libraries=["eai-sparsify"],
        )
    make_sparsify_run(sparsify)

    refused = {
        "transcoder": ("layers.1.mlp", {"transcode": True, "skip_connection": True}, "a transcoder"),
        "mlp": ("layers.1.mlp", {}, "reads the output of an MLP, not the residual stream"),
    }
    for name, (hookpoint, options, why) in refused.items():
        folder = fresh(f"sparsify_refused_{name}")
        sae = sparsify.build(1, d_sae=REFUSED_D_SAE, k=2, **options)
        sae.save_to_disk(folder / "sae" / hookpoint)
        record_refusal(folder, kind="sparsify", sae=f"sae/{hookpoint}", why=why, libraries=["eai-sparsify"])


def make_sparsify_run(sparsify: Sparsify) -> None:
    """A run of Sparsify's trainer on two layers, without the optimizer states that it also leaves."""
    transformers, main = library("transformers"), library("sparsify.__main__")
    folder = fresh("sparsify_run")
    base = transformers.AutoModel.from_pretrained(str(MODEL), dtype=torch.float32)
    texts = library("datasets").Dataset.from_dict({"text": CORPUS * 20})
    chunks = library("sparsify.data").chunk_and_tokenize(texts, sparsify.tokenizer, max_seq_len=16, num_proc=1)
    for seed in seeds():
        config = main.RunConfig(
            sparsify.lib.SparseCoderConfig(num_latents=D_SAE, k=K),
            model="tiny-llama",
            dataset="fixture-texts",
            ctx_len=16,
            batch_size=8,
            hookpoints=["layers.0", "layers.2"],
            init_seeds=[seed],
            lr=3e-2,
            log_to_wandb=False,
            data_preprocessing_num_proc=1,
            run_name="sae",
            save_dir=".",
        )
        with contextlib.chdir(folder):
            main.Trainer(config, chunks.with_format("torch"), base).fit()
        sae = sparsify.lib.SparseCoder.load_from_disk(folder / "sae" / "layers.2")
        recordings = sparsify.run(sae, "layers.2")
        if is_lively(recordings) and is_settled(partial(sparsify.encode, sae), recordings):
            break
    for state in (folder / "sae").glob("*.pt"):
        state.unlink()
    record(
        folder,
        kind="sparsify",
        sae="sae/layers.2",
        hook="layers.2",
        blocks_run=3,
        recordings=recordings,
        libraries=["eai-sparsify"],
    )


# The paper's reference checkpoint


def make_paper() -> None:
    """The paper's reference checkpoint: a tied decoder, read as TopK and as plain ReLU by the published formula."""
    folder = fresh("paper_reference")
    model, tokenizer = load_tiny()
    streams = [block_outputs(model, ids)[2] for ids in tokenize(tokenizer)]
    for seed in seeds():
        weights = random_weights(seed, bias=-1.0)
        encoder, b_enc, b_dec = weights["W_enc"], weights["b_enc"], weights["b_dec"]

        def relu(
            residual: torch.Tensor, encoder: Any = encoder, b_enc: Any = b_enc, b_dec: Any = b_dec
        ) -> torch.Tensor:
            return torch.relu((residual - b_dec) @ encoder + b_enc)

        def topk(residual: torch.Tensor, relu: Encode = relu) -> torch.Tensor:
            values, indices = relu(residual).topk(K, dim=-1)
            return torch.zeros(len(residual), D_SAE).scatter_(1, indices, values)

        plain = [Recording(x, relu(x), relu(x) @ encoder.T + b_dec) for x in streams]
        sparse = [Recording(x, topk(x), topk(x) @ encoder.T + b_dec) for x in streams]
        settled = is_settled(relu, plain) and is_settled(topk, sparse)
        if settled and is_lively(sparse) and has_short_token(sparse, K):
            break
    (folder / "sae").mkdir()
    state = {"W_enc": encoder, "b_enc": b_enc, "b_dec": b_dec, "mask": torch.ones(D_SAE)}
    config = {"d_inp": D_IN, "d_hide": D_SAE, "topK": K}
    name = f"TopK{K}_l2_h{D_SAE}_epoch1.pth"
    torch.save({"weight": state, "config": config}, folder / "sae" / name)
    more_tensors = {}
    for number, recording in enumerate(plain):
        more_tensors[f"relu_activations.{number}"] = recording.activations
        more_tensors[f"relu_reconstruction.{number}"] = recording.reconstruction
    record(
        folder,
        kind="paper",
        sae=f"sae/{name}",
        hook="l2",
        blocks_run=2,
        recordings=sparse,
        libraries=[],
        more_tensors=more_tensors,
    )


def main() -> None:
    # SAELens writes a configuration's keys in the order of a set of strings: fixed here, so a remake changes nothing.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    commands: dict[str, Callable[..., None]] = {
        "model": make_model,
        "sae-lens": make_sae_lens,
        "sae-lens-5": write_sae_lens_5,
        "sae-lens-old": make_sae_lens_old,
        "gemma-scope": make_gemma_scope,
        "sparsify": make_sparsify,
        "paper": make_paper,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=commands)
    parser.add_argument(
        "folder", nargs="?", type=Path, help="of the old SAEs: sae-lens-5 writes it, sae-lens-old reads it"
    )
    arguments = parser.parse_args()
    if arguments.command in ("sae-lens-5", "sae-lens-old"):
        if arguments.folder is None:
            parser.error(f"{arguments.command} needs a folder")
        commands[arguments.command](arguments.folder)
    else:
        commands[arguments.command]()


if __name__ == "__main__":
    main()
