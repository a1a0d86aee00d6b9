"""SAEs of other libraries give the activations that their owners' code gives (see tests/foreign_saes)."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fac_datasets import Backbone, FeatureExtractor, SparseAutoencoder, load_sae
from fac_datasets.errors import OptionError, SAEFormatError, SAEMismatch
from fac_datasets.sae.formats import FORMATS
from fac_datasets.sae.loading import find_sae
from tests.sae.formats.cases import CASES, FIXTURES, SUPPORTED

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
