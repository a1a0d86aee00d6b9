"""`fac-datasets sae`: training from streams, calibration of chats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fac_datasets import load_sae
from fac_datasets.cli.main import app
from fac_datasets.errors import (
    TrainingError,
)
from fac_datasets.sae.calibration import Calibration
from tests.sae.training.cases import CHATS
from tests.tiny import TEXTS


@pytest.mark.parametrize(
    ("options", "renders"), [([], ["chat"]), (["--render", "chat"], ["chat"]), (["--render", "raw"], ["raw"])]
)
def test_chats_alone_are_calibrated_as_chats_unless_another_render_is_named(
    options: list[str], renders: list[str], tiny_backbone: str, own_copy: Path, tmp_path: Path
) -> None:
    shutil.rmtree(own_copy / "calibration")
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": " ".join(TEXTS)}]}) + "\n")
    command = [
        "sae",
        "calibrate",
        str(path),
        "--backbone",
        tiny_backbone,
        "--sae",
        str(own_copy),
        "--activation",
        "sae",
    ]
    app([*command, *options], standalone_mode=False)
    written = [Calibration.load(file).render for file in (own_copy / "calibration").iterdir()]
    assert written == renders


@pytest.mark.slow
def test_the_command_trains_from_several_streams(tiny_backbone: str, tmp_path: Path) -> None:
    for name, rows in (
        ("texts", [{"text": text} for text in TEXTS]),
        ("chats", [{"messages": chat} for chat in CHATS]),
    ):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        "sae", "train", str(tmp_path / "texts.jsonl"), str(tmp_path / "chats.jsonl"), "--weight", "3", "--weight", "1",
        "--streaming", "--preset", "reference", "--d-sae", "64", "--k", "8", "--k-start", "32",
        "--tokens", "1000", "--batch-size", "128",
        "--backbone", tiny_backbone, "--layer", "2", "--name", "mine", "--out", str(tmp_path / "sae"),
    ]  # fmt: skip
    app(command, standalone_mode=False)
    config = load_sae(tmp_path / "sae").config
    assert (config.name, config.tied, config.k) == ("mine", True, 8)
    with pytest.raises(TrainingError, match="another run"):
        app([*command, "--passes", "2"], standalone_mode=False)
    app([*command, "--passes", "2", "--overwrite"], standalone_mode=False)
    assert load_sae(tmp_path / "sae").config.training["tokens"] == 2 * 1_024
