"""Texts and SAEs for the commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def own_copy(tiny_sae: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny SAE to calibrate anew, and a cache that knows no calibration."""
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(tiny_sae, tmp_path / "sae"))
