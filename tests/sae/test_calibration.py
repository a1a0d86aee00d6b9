"""Calibration measures what activations are usual."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fac_datasets import Backbone, SparseAutoencoder, calibrate_sae
from fac_datasets.errors import CalibrationMissing, DatasetError, OptionError, SAEMismatch
from fac_datasets.feature_space import QUANTILES
from fac_datasets.sae.calibration import ActivationHistogram, Calibration
from tests.tiny import TEXTS

SHARES = [float(name[1:]) / 100 for name in QUANTILES]
BIN = 1e7 ** (1 / 512) - 1


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


def around(centre: float, n: int = 4001) -> NDArray[np.float32]:
    """Values of a log-normal distribution, whose 90 % quantile is `centre`."""
    values = np.exp(np.random.default_rng(0).normal(scale=0.5, size=n))
    scaled: NDArray[np.float32] = (values / np.quantile(values, 0.9) * centre).astype(np.float32)
    return scaled


def histogram_of(*features: NDArray[np.float32], batch: int = 500) -> ActivationHistogram:
    histogram = ActivationHistogram(len(features))
    for feature, values in enumerate(features):
        for start in range(0, len(values), batch):
            part = values[start : start + batch]
            histogram.update(np.full(len(part), feature), part)
    return histogram


@pytest.mark.parametrize("centre", [1e-40, 1e-6, 1e-3, 1.0, 1e4, 105_343.0, 1e30])
def test_quantiles_are_right_to_within_a_bin_at_any_scale(centre: float) -> None:
    values = around(centre)
    quantiles = histogram_of(values).quantiles()[:, 0]
    np.testing.assert_allclose(quantiles, np.quantile(values, SHARES), rtol=BIN)
    assert quantiles[QUANTILES.index("q90")] == pytest.approx(centre, rel=BIN)


def test_features_of_different_scales_do_not_disturb_each_other() -> None:
    scales = [1.0, 105_343.0, 1e-6, 3.0]
    together = histogram_of(*map(around, scales))
    for feature, scale in enumerate(scales):
        alone = histogram_of(around(scale))
        np.testing.assert_array_equal(together.quantiles()[:, feature], alone.quantiles()[:, 0])
    np.testing.assert_array_equal(together.totals(), [4001] * 4)


def test_the_order_of_batches_does_not_matter() -> None:
    values = np.concatenate([around(105_343.0), around(1e-6), around(1.0)])
    np.testing.assert_array_equal(histogram_of(values).quantiles(), histogram_of(values[::-1]).quantiles())


def test_quantiles_of_usual_activations_are_what_they_were() -> None:
    """Thresholds of published calibrations and reports rest on these very bins."""
    counts = np.zeros(512, dtype=np.int64)
    values = around(4.0)
    np.add.at(counts, (np.log(values / 1e-3) / np.log(1e4 / 1e-3) * 512).astype(np.int64), 1)
    wanted = []
    for share in SHARES:
        found = int((counts.cumsum() >= share * len(values)).argmax())
        inside = (share * len(values) - counts[:found].sum()) / counts[found]
        wanted.append(1e-3 * (1e4 / 1e-3) ** ((found + inside) / 512))
    np.testing.assert_array_equal(histogram_of(values).quantiles()[:, 0], np.array(wanted, dtype=np.float32))


def test_bins_are_held_only_where_activations_are() -> None:
    histogram = histogram_of(around(105_343.0), around(60_000.0))
    assert histogram._counts.nbytes < 2 * 8 * 512
    histogram.update(np.zeros(2, dtype=np.int64), np.array([1e-45, 1e35], dtype=np.float32))
    assert histogram._counts.nbytes < 2 * 8 * 6000


def test_no_activations_have_the_quantiles_zero() -> None:
    histogram = ActivationHistogram(3)
    histogram.update(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
    assert not histogram.quantiles().any()
    assert not histogram.totals().any()


@pytest.mark.parametrize("damaged", [np.inf, np.nan, 3e38])
def test_a_damaged_activation_is_an_error_that_names_its_feature(damaged: float) -> None:
    with pytest.raises(SAEMismatch, match="feature 7 has the activation"):
        ActivationHistogram(9).update(np.array([3, 7]), np.array([1.0, damaged], dtype=np.float32))
