"""Texts and chats to train on."""

from __future__ import annotations

import shutil
from pathlib import Path

import datasets
import pytest

from tests.sae.training.cases import CHATS
from tests.tiny import TEXTS


@pytest.fixture
def own_copy(tiny_sae: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny SAE to calibrate anew, and a cache that knows no calibration."""
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(tiny_sae, tmp_path / "sae"))


@pytest.fixture
def texts() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS})


@pytest.fixture
def chats() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"messages": CHATS})
