"""SAEs come from releases and from the Hub, and go there."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fac_datasets import Backbone, FeatureExtractor, SparseAutoencoder, calibrate_sae, load_sae
from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.model import SAEConfig
from tests.sae.formats.cases import FIXTURES
from tests.servers.hub_double import Hub


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
