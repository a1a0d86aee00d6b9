"""An SAE that does not say which backbone it was trained on is used only where that is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fac_datasets import Backbone, FeatureExtractor, calibrate_sae, evaluate_sae, load_sae
from fac_datasets.errors import SAEFormatError, SAEMismatch
from tests.tiny import TEXTS

FIXTURES = Path(__file__).parents[1] / "foreign_saes" / "fixtures"
TINY_LLAMA = str(FIXTURES / "tiny-llama")
CHECKPOINT = next((FIXTURES / "paper_reference").rglob("*.pth"))
ASK = "does not say which backbone it was trained on"


@pytest.fixture
def unnamed(tiny_sae: str, tmp_path: Path) -> str:
    """A copy of the tiny SAE whose configuration names no backbone."""
    return changed(tiny_sae, tmp_path / "unnamed", backbone="", backbone_digest="")


def changed(sae: str, folder: Path, **options: str) -> str:
    shutil.copytree(sae, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **options}))
    return str(folder)


def test_an_extractor_asks_whether_an_unnamed_backbone_is_meant(tiny_backbone: str, unnamed: str) -> None:
    with pytest.raises(SAEMismatch, match=ASK):
        _ = FeatureExtractor(tiny_backbone, unnamed, threshold=0).feature_space
    assert FeatureExtractor(tiny_backbone, unnamed, threshold=0, other_backbone=True).feature_space.layer == 2


def test_calibration_and_evaluation_ask_too(backbone: Backbone, tiny_backbone: str, unnamed: str) -> None:
    with pytest.raises(SAEMismatch, match=ASK):
        calibrate_sae(backbone, unnamed, TEXTS)
    with pytest.raises(SAEMismatch, match=ASK):
        evaluate_sae(tiny_backbone, unnamed, TEXTS)


def test_a_digest_names_a_backbone(tiny_backbone: str, tiny_sae: str, tmp_path: Path) -> None:
    sae = changed(tiny_sae, tmp_path / "sae", backbone="")
    assert FeatureExtractor(tiny_backbone, sae, threshold=0).feature_space.layer == 2


def test_a_reference_pair_names_the_backbone_of_its_sae() -> None:
    options: dict[str, Any] = {"backbone": TINY_LLAMA, "sae": str(CHECKPOINT)}
    with pytest.raises(SAEMismatch, match=ASK):
        _ = FeatureExtractor(**options, threshold=0).feature_space
    assert FeatureExtractor.reference("llama", **options, layer=2).feature_space.layer == 2


def test_a_reference_pair_does_not_overrule_what_the_sae_says(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path
) -> None:
    sae = changed(tiny_sae, tmp_path / "other", backbone="org/another", backbone_digest="")
    with pytest.raises(SAEMismatch, match="was trained on org/another; this backbone is"):
        _ = FeatureExtractor.reference("llama", backbone=tiny_backbone, sae=sae, layer=2).feature_space


@pytest.mark.parametrize("folder", ["models--Zhongzhi1228--sae_qwen_l14_h65536/snapshots/1", "sae_qwen_l14_h65536"])
def test_the_repository_of_a_checkpoint_names_the_backbone(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True)
    shutil.copy(CHECKPOINT, tmp_path / folder)
    assert load_sae(tmp_path / folder).config.backbone == "Qwen/Qwen2-7B-Instruct"


@pytest.mark.parametrize("hook", ["blocks.1.hook_mlp_out", "layers.3.mlp", "blocks.0.attn.hook_z"])
def test_an_own_configuration_that_tells_another_place_is_refused(hook: str, tiny_sae: str, tmp_path: Path) -> None:
    with pytest.raises(SAEFormatError, match="not the residual stream"):
        load_sae(changed(tiny_sae, tmp_path / "sae", hook=hook))


def test_a_backbone_that_is_written_into_the_sae_names_it(tiny_backbone: str, unnamed: str, tmp_path: Path) -> None:
    sae = load_sae(unnamed)
    sae.config.backbone = Path(tiny_backbone).name
    sae.save_pretrained(tmp_path / "named")
    assert FeatureExtractor(tiny_backbone, str(tmp_path / "named"), threshold=0).feature_space.layer == 2
