"""Weights and calibrations that hold no numbers are refused, in every format."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fac_datasets import load_sae
from fac_datasets.errors import CalibrationMissing, SAEFormatError
from fac_datasets.sae.calibration import Calibration
from fac_datasets.sae.loading import find_sae
from tests.sae.formats.cases import CASES, FIXTURES


def damage(weights: Path, value: float) -> None:
    """Put a value into the last number of an array of a file with weights."""
    if weights.suffix == ".npz":
        arrays = dict(np.load(weights))
        arrays["W_dec"][-1, -1] = value
        np.savez(weights, **arrays)
    elif weights.suffix == ".pth":
        content = torch.load(weights, weights_only=True)
        content["weight"]["b_enc"][-1] = value
        torch.save(content, weights)
    else:
        tensors = load_file(weights)
        tensors["W_dec"][-1, -1] = value
        save_file(tensors, weights)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["native", "gemma_scope", "paper_reference", "sae_lens_standard", "sparsify_run"])
def test_weights_that_are_not_finite_are_refused(name: str, value: float, tiny_sae: str, tmp_path: Path) -> None:
    found = find_sae(tiny_sae if name == "native" else FIXTURES / name / CASES[name]["sae"])
    # Where the names of folders tell the layer, they are kept.
    place = tmp_path / "layer_2" / found.folder.name
    shutil.copytree(found.folder, place)
    load_sae(place)
    damage(place / found.weights.name, value)
    with pytest.raises(SAEFormatError, match="not finite"):
        load_sae(place)


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, -1.0])
def test_an_input_scale_that_is_no_positive_number_is_refused(scale: float, tiny_sae: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sae, tmp_path / "sae"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "input_scale": scale}))
    with pytest.raises(SAEFormatError, match="input_scale"):
        load_sae(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1])
@pytest.mark.parametrize("name", ["quantiles", "firing_rates"])
def test_a_calibration_that_is_not_finite_is_refused(name: str, value: float, tiny_sae: str, tmp_path: Path) -> None:
    calibration = Calibration.load(next((Path(tiny_sae) / "calibration").iterdir()))
    getattr(calibration, name)[..., 0] = value
    calibration.save(tmp_path / "calibration.safetensors")
    with pytest.raises(CalibrationMissing, match="not finite"):
        Calibration.load(tmp_path / "calibration.safetensors")


def test_a_calibration_of_fewer_features_is_refused(tiny_sae: str, tmp_path: Path) -> None:
    calibration = Calibration.load(next((Path(tiny_sae) / "calibration").iterdir()))
    short = dataclasses.replace(calibration, quantiles=calibration.quantiles[:, :-1].copy())
    short.save(tmp_path / "calibration.safetensors")
    with pytest.raises(CalibrationMissing, match="shape"):
        Calibration.load(tmp_path / "calibration.safetensors")
