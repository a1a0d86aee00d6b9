"""Calibration measures what activations are usual."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fac_datasets import Backbone, SparseAutoencoder, calibrate_sae
from fac_datasets.errors import CalibrationMissing, DatasetError, OptionError, SAEMismatch
from fac_datasets.feature_space import QUANTILES
from fac_datasets.sae.calibration import Calibration
from tests.tiny import TEXTS


def test_a_calibration_on_another_layer_is_refused(tiny_backbone: str, tiny_sae: str) -> None:
    with pytest.raises(SAEMismatch, match="trained on layer 2"):
        calibrate_sae(Backbone(tiny_backbone, 1), tiny_sae, TEXTS)


def test_calibration_measures_quantiles_of_positive_activations(
    backbone: Backbone, tiny_sae: str, own_copy: Path
) -> None:
    calibration = calibrate_sae(backbone, own_copy, TEXTS, render="chat")
    sae = SparseAutoencoder.from_pretrained(tiny_sae)
    values = []
    for text in TEXTS:
        (window,) = backbone.windows([text], render="chat", max_length=512)
        values.append(sae.encode(backbone.residual([window])[0][torch.from_numpy(window.own)]).numpy())
    activations = np.concatenate(values)
    common = np.flatnonzero((activations > 0).sum(axis=0) >= 50)
    assert len(common)
    for feature in common:
        positive = activations[:, feature][activations[:, feature] > 0]
        for name in ("q50", "q90"):
            # Between the neighbouring order statistics, and within the 3 % of a bin.
            expected = np.quantile(positive, float(name[1:]) / 100, method="inverted_cdf")
            assert calibration.quantiles[QUANTILES.index(name), feature] == pytest.approx(expected, rel=0.04)
    assert np.allclose(calibration.firing_rates, (activations > 0).mean(axis=0))
    assert calibration.n_tokens == len(activations)


def test_a_changed_calibration_is_a_warning(backbone: Backbone, own_copy: Path) -> None:
    calibrate_sae(backbone, own_copy, TEXTS)
    with pytest.warns(UserWarning, match="has changed"):
        calibrate_sae(backbone, own_copy, TEXTS[:2])


def test_rare_features_take_the_pooled_quantile(backbone: Backbone, own_copy: Path) -> None:
    calibration = calibrate_sae(backbone, own_copy, ["Dogs bark."], render="chat")
    assert calibration.n_rare > 0
    rare = calibration.firing_rates * calibration.n_tokens < 9.5
    assert len(np.unique(calibration.quantiles[0][rare])) == 1


def test_calibration_without_text_is_an_error(backbone: Backbone, tiny_sae: str) -> None:
    with pytest.raises(DatasetError, match="no tokens"):
        calibrate_sae(backbone, tiny_sae, ["", None])


def test_a_damaged_calibration_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(CalibrationMissing, match="damaged"):
        Calibration.load(tmp_path / "broken.safetensors")


def test_an_unknown_activation_is_never_calibrated(backbone: Backbone, own_copy: Path) -> None:
    with pytest.raises(OptionError, match="activation='gelu'"):
        calibrate_sae(backbone, own_copy, TEXTS, activation="gelu")
