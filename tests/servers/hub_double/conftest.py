"""What the tests of the double upload."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from tests.servers.hub_double.olah import olah as olah

CONFIG, WEIGHTS = b'{"width": 32}\n', bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a text at its top and weights below."""
    (tmp_path / "model" / "sae").mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_bytes(CONFIG)
    (tmp_path / "model" / "sae" / "weights.safetensors").write_bytes(WEIGHTS)
    return tmp_path / "model"


@pytest.fixture
def rows() -> datasets.Dataset:
    """A small dataset."""
    return datasets.Dataset.from_dict({"text": ["Boil the rice.", "It rains."], "score": [0.5, 2.0]})
