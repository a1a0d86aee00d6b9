"""An extraction that goes on stores by the same cut-offs as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fac_datasets import Backbone, calibrate_sae
from fac_datasets.errors import OutputError
from tests.command_line import command
from tests.tiny import TEXTS, TINY_LAYER


def test_a_new_calibration_is_another_extraction(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path / "cache"))
    sae = shutil.copytree(tiny_sae, tmp_path / "sae")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    asked = ["extract", tmp_path / "rows.jsonl", "--out", tmp_path / "out", "--backbone", tiny_backbone, "--sae", sae]
    command(*asked)
    command(*asked)
    with pytest.warns(UserWarning, match="has changed"):
        calibrate_sae(Backbone(tiny_backbone, TINY_LAYER), sae, TEXTS[:3])
    with pytest.raises(OutputError, match="other data or with other options"):
        command(*asked)
