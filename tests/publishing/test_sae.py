"""SAEs on the Hub: what is published is what `load_sae` loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from fac_datasets import FeatureExtractor, load_sae
from fac_datasets.errors import PublishError, SAEFormatError
from fac_datasets.publishing import publish_sae
from fac_datasets.rows.card_header import split_card
from fac_datasets.sae.location import EMBEDDED_SAE_FOLDER
from tests.command_line import command
from tests.servers.hub_double import Hub
from tests.servers.hub_double.card_header import check

REPORT = {"fvu": 0.25, "l0": 8.0, "dead_share": 0.0, "loss_recovered": 0.9, "tokens": 100, "kinds": {}}


@pytest.fixture
def folder(tiny_sae: str, tmp_path: Path) -> Path:
    """The tiny SAE with its calibrations, a report, and a checkpoint that nobody else needs."""
    folder = Path(shutil.copytree(tiny_sae, tmp_path / "my-sae"))
    (folder / "report.json").write_text(json.dumps(REPORT))
    (folder / "checkpoint.safetensors").write_bytes(b"half of a training run")
    return folder


def test_a_folder_becomes_a_repository_that_is_loaded_with_its_calibrations(
    hub: Hub, folder: Path, tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("publish", "sae", folder, "me/tiny", "--license", "apache-2.0", "--tag", "v1")
    assert hub.repositories["me/tiny"].private
    files = {path for path in hub.files("me/tiny") if not path.startswith(".")}
    calibrations = {path for path in files if path.startswith("calibration/")}
    assert files - calibrations == {"README.md", "config.json", "model.safetensors", "report.json"}
    assert len(calibrations) == 2
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path / "cache"))
    ours, again = load_sae(folder), load_sae("me/tiny")
    assert torch.equal(again.W_enc, ours.W_enc)
    found = [
        FeatureExtractor(tiny_backbone, name, threshold="q50").extract(["The cat sat."])["feature_ids"][0].tolist()
        for name in ("me/tiny", str(folder))
    ]
    assert found[0] == found[1]


def test_its_card_has_report_and_licence_and_a_valid_header(hub: Hub, folder: Path) -> None:
    publish_sae(folder, "me/tiny", license="apache-2.0")
    card = hub.files("me/tiny")["README.md"].decode()
    assert check(card, "model") == ([], [])
    assert split_card(card)[0]["license"] == "apache-2.0"
    assert "| all | 100 | 0.250 | 0.900 | 8.0 | 0.00 % |" in card


def test_a_card_in_the_folder_is_published(hub: Hub) -> None:
    published = publish_sae(EMBEDDED_SAE_FOLDER, "me/embedded", license="mit", dry_run=True)
    header, text = split_card(published.card)
    assert header["license"] == "mit"
    assert split_card((EMBEDDED_SAE_FOLDER / "README.md").read_text())[1].strip() in text
    assert len([path for path in published.files if path.startswith("calibration/")]) == 4
    assert hub.requests() == []


def test_words_that_people_put_on_the_card_stay(hub: Hub, folder: Path) -> None:
    publish_sae(folder, "me/tiny")
    card = hub.files("me/tiny")["README.md"]
    hub.seed("me/tiny", {"README.md": card + b"\nUse it well.\n"})
    publish_sae(folder, "me/tiny", license="mit")
    assert hub.files("me/tiny")["README.md"].decode().rstrip().endswith("Use it well.")


def test_what_is_no_sae_is_refused(hub: Hub, folder: Path) -> None:
    (folder / "config.json").write_text('{"d_in": 1}')
    with pytest.raises(PublishError, match="my-sae cannot be described on a card"):
        publish_sae(folder, "me/tiny")
    (folder / "model.safetensors").unlink()
    with pytest.raises(SAEFormatError, match=r"holds no SAE to publish: it lacks model\.safetensors"):
        publish_sae(folder, "me/tiny")
    assert hub.requests() == []


def test_a_report_of_other_weights_does_not_stay(hub: Hub, folder: Path) -> None:
    publish_sae(folder, "me/tiny")
    (folder / "report.json").unlink()
    publish_sae(folder, "me/tiny")
    assert "report.json" not in hub.files("me/tiny")
