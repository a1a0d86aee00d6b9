"""Folders and files are recognised, and what is damaged is told of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fac_datasets import SparseAutoencoder, load_sae
from fac_datasets.errors import OptionError, SAEFormatError
from fac_datasets.sae.formats import FORMATS
from fac_datasets.sae.loading import find_sae
from tests.sae.formats.cases import CASES, FIXTURES, SUPPORTED


def test_a_folder_without_an_sae_of_ours_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SAEFormatError, match=r"looked for config.json and model.safetensors"):
        SparseAutoencoder.from_pretrained(tmp_path)


def test_damaged_files_are_errors(tiny_sae: str, tmp_path: Path) -> None:
    SparseAutoencoder.from_pretrained(tiny_sae).save_pretrained(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(SAEFormatError, match=r"model\.safetensors"):
        SparseAutoencoder.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"d_in": 4}))
    with pytest.raises(SAEFormatError, match=r"config\.json"):
        SparseAutoencoder.from_pretrained(tmp_path)


def test_digests_tell_saes_apart() -> None:
    digests = [find_sae(FIXTURES / name / CASES[name]["sae"]).digest for name in SUPPORTED]
    assert len(set(digests)) == len(digests)


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


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(OptionError, match="known: native, gemma_scope, reference, sae_lens"):
        load_sae("embedded", format="onnx")


def test_the_wrong_format_is_an_error() -> None:
    with pytest.raises(SAEFormatError, match=r"looked for params\.npz"):
        load_sae(FIXTURES / "sae_lens_standard" / "sae", format="gemma_scope")
