"""SAEs of other libraries give the activations that their owners' code gives (see tests/foreign_saes)."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fac_datasets import Backbone, FeatureExtractor, SparseAutoencoder, calibrate_sae, load_sae
from fac_datasets.errors import OptionError, SAEFormatError, SAEMismatch
from fac_datasets.sae.formats import FORMATS
from fac_datasets.sae.formats.base import layer_of_hook
from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.model import SAEConfig
from tests.hub_double import Hub

FIXTURES = Path(__file__).parent / "foreign_saes" / "fixtures"
CASES = {path.parent.name: json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*/expected.json"))}
SUPPORTED = [name for name, case in CASES.items() if "refused" not in case]
REFUSED = [name for name, case in CASES.items() if "refused" in case]


def load(name: str) -> SparseAutoencoder:
    with warnings.catch_warnings():
        # One case is stored without its input scale; the loader says so.
        warnings.simplefilter("ignore", UserWarning)
        return load_sae(FIXTURES / name / CASES[name]["sae"])


@pytest.mark.parametrize("name", SUPPORTED)
def test_text_gives_the_activations_of_the_owners_code(name: str) -> None:
    case, sae = CASES[name], load(name)
    expected = load_file(FIXTURES / name / "expected.safetensors")
    backbone = Backbone(str(FIXTURES / "tiny-llama"), sae.config.layer)
    for number, text in enumerate(case["texts"]):
        (window,) = backbone.windows([text], render="raw", max_length=64)
        assert window.token_ids.tolist() == case["tokens"][number]
        residual = backbone.residual([window])[0]
        torch.testing.assert_close(residual, expected[f"residual.{number}"], rtol=1e-5, atol=1e-5)
        activations = sae.encode(residual)
        wanted = expected[f"activations.{number}"]
        assert torch.equal(activations > 0, wanted > 0)
        torch.testing.assert_close(activations, wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(sae(residual), expected[f"reconstruction.{number}"], rtol=1e-5, atol=2e-5)


def test_every_format_is_proven() -> None:
    assert {find_sae(FIXTURES / name / CASES[name]["sae"]).format.name for name in SUPPORTED} == set(FORMATS) - {
        "native"
    }


def test_a_shift_of_one_layer_would_be_seen() -> None:
    case = CASES["sae_lens_standard"]
    expected = load_file(FIXTURES / "sae_lens_standard" / "expected.safetensors")["residual.0"]
    backbone = Backbone(str(FIXTURES / "tiny-llama"), case["blocks_run"] + 1)
    (window,) = backbone.windows([case["texts"][0]], render="raw", max_length=64)
    assert not torch.allclose(backbone.residual([window])[0], expected, atol=0.1)


@pytest.mark.parametrize("name", SUPPORTED)
def test_sparse_and_dense_encoding_agree(name: str) -> None:
    sae = load(name)
    residual = load_file(FIXTURES / name / "expected.safetensors")["residual.2"]
    dense = sae.encode(residual)
    tokens, ids, values = sae.active_features(residual)
    again = torch.zeros_like(dense)
    again[tokens, ids] = values
    assert torch.equal(again, dense)


def test_plain_relu_reproduces_the_papers_own_setting() -> None:
    sae = load("paper_reference")
    expected = load_file(FIXTURES / "paper_reference" / "expected.safetensors")
    pre = sae.pre_activations(expected["residual.1"])
    torch.testing.assert_close(pre.relu(), expected["relu_activations.1"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_sae_of_the_residual_stream_is_refused(name: str) -> None:
    with pytest.raises(SAEFormatError):
        load(name)


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_foreign_sae_saved_natively_gives_the_same(name: str, tmp_path: Path) -> None:
    sae = load(name)
    sae.save_pretrained(tmp_path)
    assert find_sae(tmp_path).format.name == "native"
    residual = load_file(FIXTURES / name / "expected.safetensors")["residual.2"]
    assert torch.equal(load_sae(tmp_path).encode(residual), sae.encode(residual))


@pytest.mark.parametrize("name", ["sae_lens_topk_rescaled", "sparsify_run", "gemma_scope", "paper_reference"])
def test_the_configuration_tells_what_the_sae_reads(name: str) -> None:
    case, config = CASES[name], load(name).config
    assert (config.layer, config.hook) == (case["blocks_run"], case["hook"])
    assert (config.d_in, config.d_sae) == (16, 48)


def test_an_extractor_reads_a_foreign_sae() -> None:
    # The name of its repository, which would tell the backbone, is not kept here.
    sae = str(FIXTURES / "gemma_scope" / CASES["gemma_scope"]["sae"])
    extractor = FeatureExtractor(str(FIXTURES / "tiny-llama"), sae, threshold=0, other_backbone=True)
    case = CASES["gemma_scope"]
    columns = extractor.extract(case["texts"])
    for number, ids in enumerate(columns["feature_ids"]):
        # The row's own tokens are all but the first, which begins every text.
        pooled = load_file(FIXTURES / "gemma_scope" / "expected.safetensors")[f"activations.{number}"][1:].amax(dim=0)
        assert ids.tolist() == pooled.nonzero()[:, 0].tolist()
        np.testing.assert_allclose(columns["feature_activations"][number], pooled[ids], rtol=1e-4)


def test_digests_tell_saes_apart() -> None:
    digests = [find_sae(FIXTURES / name / CASES[name]["sae"]).digest for name in SUPPORTED]
    assert len(set(digests)) == len(digests)


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


def test_a_folder_without_an_sae_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SAEFormatError) as caught:
        load_sae(tmp_path)
    for format in FORMATS.values():
        assert format.looks_for in str(caught.value)


def test_a_run_of_several_saes_lists_them() -> None:
    with pytest.raises(SAEFormatError, match=r"layers\.0, layers\.2"):
        load_sae(FIXTURES / "sparsify_run" / "sae")


def test_one_of_several_checkpoints_is_named(tmp_path: Path) -> None:
    source = FIXTURES / "paper_reference" / CASES["paper_reference"]["sae"]
    source = source if source.is_file() else next(source.glob("*.pth"))
    for epoch in (1, 2):
        shutil.copy(source, tmp_path / f"TopK7_l2_h48_epoch{epoch}.pth")
    with pytest.raises(SAEFormatError, match="several"):
        load_sae(tmp_path)
    assert load_sae(tmp_path / "TopK7_l2_h48_epoch2.pth").config.k == 7


@pytest.mark.parametrize("name", ["sae_lens_standard", "sparsify_unnormalized", "gemma_scope", "paper_reference"])
def test_damaged_weights_are_an_error(name: str, tmp_path: Path) -> None:
    found = find_sae(FIXTURES / name / CASES[name]["sae"])
    place = tmp_path / "layer_2" / "layers.0"
    shutil.copytree(found.folder, place)
    content = found.weights.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"nothing"):
        (place / found.weights.name).write_bytes(damaged)
        with pytest.raises(SAEFormatError, match=found.weights.name):
            load_sae(place)


def test_a_checkpoint_that_would_run_code_does_not(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(marker),)

    with (tmp_path / "TopK7_l2_h48_epoch1.pth").open("wb") as stream:
        pickle.dump({"weight": Payload(), "config": {}}, stream)
    with pytest.raises(SAEFormatError, match="without running code"):
        load_sae(tmp_path)
    assert not marker.exists()


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(OptionError, match="known: native, gemma_scope, reference, sae_lens"):
        load_sae("embedded", format="onnx")


def test_the_wrong_format_is_an_error() -> None:
    with pytest.raises(SAEFormatError, match=r"looked for params\.npz"):
        load_sae(FIXTURES / "sae_lens_standard" / "sae", format="gemma_scope")


def test_an_input_scale_that_is_not_stored_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="lack the factor"):
        load_sae(FIXTURES / "sae_lens_standard_expected_average" / "sae")


def test_an_sae_of_another_backbone_is_refused_unless_allowed(tmp_path: Path) -> None:
    other = tmp_path / "other-llama"
    shutil.copytree(FIXTURES / "tiny-llama", other)
    sae = str(FIXTURES / "sae_lens_standard" / "sae")
    with pytest.raises(SAEMismatch, match="other_backbone=True"):
        _ = FeatureExtractor(str(other), sae, threshold=0).feature_space
    assert FeatureExtractor(str(other), sae, threshold=0, other_backbone=True).feature_space.layer == 1


def test_per_token_normalisation_is_undone_only_with_the_residual() -> None:
    sae = load("sae_lens_standard_layer_norm")
    with pytest.raises(OptionError, match="give decode the vectors"):
        sae.decode(torch.zeros(1, 48))


# --- places ---------------------------------------------------------------------------------------------------------


def test_a_release_of_sae_lens_is_converted_once_by_sae_lens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path))
    asked = []

    class SAE:
        """Stands for the class of the optional package, which gives SAEs by release and saves them."""

        @classmethod
        def from_pretrained(cls, release: str, sae_id: str) -> SAE:
            if release != "tiny-res":
                raise ValueError(f"Release {release} not found")
            asked.append((release, sae_id))
            return cls()

        def save_model(self, folder: str) -> None:
            shutil.copytree(FIXTURES / "sae_lens_topk" / "sae", folder)

    monkeypatch.setitem(sys.modules, "sae_lens", SimpleNamespace(SAE=SAE))
    for _ in range(2):
        assert load_sae("tiny-res:blocks.1.hook_resid_post").config.layer == 2
    assert asked == [("tiny-res", "blocks.1.hook_resid_post")]
    with pytest.raises(SAEFormatError, match="SAELens did not give other-res:x"):
        load_sae("other-res:x")


def test_without_sae_lens_a_release_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    with pytest.raises(SAEFormatError, match=r"fac-datasets\[sae-lens\]"):
        load_sae("gpt2-small-res-jb:blocks.8.hook_resid_pre")


def test_an_sae_goes_to_the_hub_and_comes_back(hub: Hub, tiny_sae: str) -> None:
    sae = load_sae(tiny_sae)
    report = {"fvu": 0.25, "l0": 8.0, "dead_share": 0.0, "loss_recovered": 0.9, "tokens": 100, "kinds": {}}
    assert "/me/tiny/commit/" in sae.push_to_hub("me/tiny", report=report, license="apache-2.0")
    files = hub.files("me/tiny")
    assert {"config.json", "model.safetensors", "README.md", "report.json"} <= set(files)
    card = files["README.md"].decode()
    assert "license: apache-2.0" in card
    assert "| all | 100 | 0.250 | 0.900 | 8.0 | 0.00 % |" in card
    assert len([name for name in files if name.startswith("calibration/")]) == 2
    again = load_sae("me/tiny")
    assert again.config == sae.config
    assert torch.equal(again.W_enc, sae.W_enc)


def test_an_sae_on_the_hub_is_calibrated_into_the_cache(
    hub: Hub, tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path))
    sae = SparseAutoencoder(SAEConfig(d_in=32, d_sae=64, k=4, layer=2, backbone=Path(tiny_backbone).name))
    with torch.no_grad():
        sae.W_enc.normal_()
    sae.push_to_hub("me/bare")
    calibrate_sae(Backbone(tiny_backbone, 2), "me/bare", ["The cat sat on the mat."] * 9, render="raw")
    assert not (find_sae("me/bare").folder / "calibration").exists()
    extractor = FeatureExtractor(tiny_backbone, "me/bare", render="raw", threshold="q50")
    assert extractor.extract(["The cat sat."])["feature_tokens"][0]


def test_a_run_of_sparsify_on_the_hub_tells_its_backbone(hub: Hub) -> None:
    folder = FIXTURES / "sparsify_run" / "sae"
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub.seed("me/run", files)
    assert load_sae("me/run:layers.2").config.backbone == load_sae(folder / "layers.2").config.backbone != ""
    with pytest.raises(SAEFormatError, match="holds 2 SAEs"):
        load_sae("me/run")


def test_a_foreign_sae_comes_from_a_subfolder_and_revision_of_the_hub(hub: Hub) -> None:
    folder = FIXTURES / "gemma_scope" / "sae" / "layer_2" / "width_48" / "average_l0_5"
    hub.seed(
        "me/scope", {"layer_2/width_48/average_l0_5/params.npz": (folder / "params.npz").read_bytes()}, revision="v1"
    )
    hub.seed("me/scope", {"other.txt": b"nothing"})
    sae = load_sae("me/scope:layer_2/width_48/average_l0_5@v1")
    assert (sae.config.layer, sae.config.training["l0"]) == (3, 5)
    assert sae.config.name == "me-scope-layer_2-width_48-average_l0_5-v1"
    with pytest.raises(SAEFormatError, match="no folder or file 'layer_9'"):
        load_sae("me/scope:layer_9@v1")
    with pytest.raises(SAEFormatError, match="the Hub did not give it"):
        load_sae("me/scope@v2")


def test_a_checkpoint_of_the_paper_is_named_by_its_file_on_the_hub(hub: Hub) -> None:
    source = next((FIXTURES / "paper_reference").rglob("*.pth"))
    hub.seed("me/paper", {f"TopK7_l2_h48_epoch{epoch}.pth": source.read_bytes() for epoch in (1, 2)})
    with pytest.raises(SAEFormatError, match="2 SAEs; name the folder or file of one of them"):
        load_sae("me/paper")
    assert load_sae("me/paper:TopK7_l2_h48_epoch2.pth").config.k == 7


def test_a_name_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(SAEFormatError, match="is no folder, and the Hub did not give it"):
        load_sae("nobody/nothing")
