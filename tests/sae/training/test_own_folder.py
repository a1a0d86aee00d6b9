"""Training writes over nothing that is not an SAE's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import datasets
import pytest

from fac_datasets import Backbone, load_sae, train_sae
from fac_datasets.errors import OutputError
from fac_datasets.sae.training.run import TrainingRun
from tests.command_line import command
from tests.sae.training.cases import SMALL
from tests.tiny import TEXTS


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("resume", [True, False])
def test_a_backbones_folder_is_left_alone(
    resume: bool, backbone: Backbone, tiny_backbone: str, texts: datasets.Dataset, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_backbone, tmp_path / "model"))
    before = contents(folder)
    with pytest.raises(OutputError, match=r"config\.json, model\.safetensors of something else than an SAE"):
        train_sae(backbone, texts, SMALL, folder, resume=resume)
    assert contents(folder) == before


def test_the_command_does_not_overwrite_a_backbone(tiny_backbone: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_backbone, tmp_path / "model"))
    before = contents(folder)
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    pair = ["--backbone", tiny_backbone, "--layer", 2, "--d-sae", 64, "--k", 6, "--tokens", 500]
    with pytest.raises(OutputError, match="something else than an SAE"):
        command("sae", "train", tmp_path / "texts.jsonl", "--out", folder, "--overwrite", *pair)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.safetensors", "training.json", "training.png"])
def test_a_file_of_somebody_elses_is_not_replaced(
    name: str, backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    (tmp_path / name).write_text('{"epochs": 3}')
    with pytest.raises(OutputError, match=name):
        train_sae(backbone, texts, SMALL, tmp_path, resume=False)
    assert (tmp_path / name).read_text() == '{"epochs": 3}'


@pytest.mark.slow
def test_an_saes_folder_is_overwritten_and_a_killed_overwriting_too(
    backbone: Backbone, texts: datasets.Dataset, tiny_sae: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_sae, tmp_path / "sae"))
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "start", lambda _run: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_sae(backbone, texts, SMALL, folder, resume=False)
    assert not (folder / "model.safetensors").exists()
    train_sae(backbone, texts, SMALL, folder, resume=False)
    assert load_sae(folder).config.d_sae == SMALL.d_sae
