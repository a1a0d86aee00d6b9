"""Gemma Scope holds SAEs of several places under one file name; folders tell which, and only residual ones are read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fac_datasets import load_sae
from fac_datasets.errors import SAEFormatError
from tests.servers.hub_double.server import Hub

PARAMS = next((Path(__file__).parents[2] / "foreign_saes" / "fixtures" / "gemma_scope").rglob("params.npz"))
SAE = "layer_5/width_16k/average_l0_71"


def copy_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copy(PARAMS, folder)
    return folder


@pytest.mark.parametrize(
    ("repository", "place"),
    [
        ("gemma-scope-2b-pt-mlp", "blocks.5.hook_mlp_out"),
        ("gemma-scope-9b-pt-att", "blocks.5.attn.hook_z"),
        ("gemma-scope-2b-pt-transcoders", "blocks.5.ln2.hook_normalized"),
        ("models--google--gemma-scope-2b-pt-mlp/snapshots/0a1b2c", "blocks.5.hook_mlp_out"),
        ("models--me--scope/snapshots/0a1b2c/att", "blocks.5.attn.hook_z"),
        ("my_transcoders", "blocks.5.ln2.hook_normalized"),
        ("Gemma MLP", "blocks.5.hook_mlp_out"),
        ("mlp/canonical", "blocks.5.hook_mlp_out"),
        ("transcoder_sae/x", "blocks.5.ln2.hook_normalized"),
    ],
)
def test_saes_of_other_places_are_refused_by_name(repository: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(SAEFormatError, match=f"'{place}', which is not the residual stream"):
        load_sae(copy_in(tmp_path / repository / SAE))


@pytest.mark.parametrize(
    ("repository", "backbone"),
    [
        ("gemma-scope-2b-pt-res", "google/gemma-2-2b"),
        ("gemma-scope-9b-it-res", "google/gemma-2-9b-it"),
        ("models--google--gemma-scope-27b-pt-res/snapshots/0a1b2c", "google/gemma-2-27b"),
        ("scope", ""),
        ("matt", ""),
    ],
)
def test_saes_of_the_residual_stream_keep_their_place_and_backbone(
    repository: str, backbone: str, tmp_path: Path
) -> None:
    config = load_sae(copy_in(tmp_path / repository / SAE)).config
    assert (config.hook, config.layer, config.backbone) == ("blocks.5.hook_resid_post", 6, backbone)


def test_folders_above_the_repository_tell_nothing(tmp_path: Path) -> None:
    folder = copy_in(tmp_path / "mlp" / "attention" / "gemma-scope-2b-pt-res" / SAE)
    assert load_sae(folder).config.hook == "blocks.5.hook_resid_post"


def test_a_link_to_a_repository_tells_what_the_repository_tells(tmp_path: Path) -> None:
    copy_in(tmp_path / "gemma-scope-2b-pt-mlp" / SAE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "layer_5").symlink_to(tmp_path / "gemma-scope-2b-pt-mlp" / "layer_5")
    with pytest.raises(SAEFormatError, match="hook_mlp_out"):
        load_sae(tmp_path / "mine" / SAE)


def test_an_sae_of_another_place_is_refused_from_the_hub(hub: Hub) -> None:
    hub.seed("me/gemma-scope-2b-pt-att", {f"{SAE}/params.npz": PARAMS.read_bytes()})
    with pytest.raises(SAEFormatError, match="hook_z"):
        load_sae(f"me/gemma-scope-2b-pt-att:{SAE}")
