"""SAEs are trained, saved, loaded and calibrated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fac_datasets import Backbone, SparseAutoencoder, calibrate_sae
from fac_datasets.cli.main import app
from fac_datasets.errors import CalibrationMissing, DatasetError, OptionError, SAEFormatError, SAEMismatch
from fac_datasets.feature_space import QUANTILES
from fac_datasets.sae.architectures import ARCHITECTURES, make_architecture
from fac_datasets.sae.calibration import Calibration
from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.model import SAEConfig
from tests.tiny import TEXTS, TINY_FEATURES, TINY_WIDTH


def test_encode_keeps_the_k_strongest_and_decode_reconstructs() -> None:
    sae = SparseAutoencoder(SAEConfig(d_in=3, d_sae=3, k=2, layer=1, input_scale=2.0))
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(3))
        sae.W_dec.copy_(torch.eye(3))
    residual = torch.tensor([[1.0, 3.0, 2.0], [-1.0, -2.0, 0.5]])
    assert sae.encode(residual).tolist() == [[0, 6, 4], [0, 0, 1]]
    assert sae(residual).tolist() == [[0, 3, 2], [0, 0, 0.5]]


def test_a_calibration_on_another_layer_is_refused(tiny_backbone: str, tiny_sae: str) -> None:
    with pytest.raises(SAEMismatch, match="trained on layer 2"):
        calibrate_sae(Backbone(tiny_backbone, 1), tiny_sae, TEXTS)


def test_a_saved_sae_loads_equal_and_hashes_its_weights(tiny_sae: str, tmp_path: Path) -> None:
    sae = SparseAutoencoder.from_pretrained(tiny_sae)
    sae.save_pretrained(tmp_path)
    again = SparseAutoencoder.from_pretrained(tmp_path)
    assert again.config == sae.config
    assert all(torch.equal(a, b) for a, b in zip(sae.parameters(), again.parameters(), strict=True))
    assert find_sae(tmp_path).digest == find_sae(Path(tiny_sae)).digest
    with torch.no_grad():
        again.b_enc[3] += 1
    again.save_pretrained(tmp_path)
    assert find_sae(tmp_path).digest != find_sae(Path(tiny_sae)).digest


def test_a_folder_without_an_sae_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SAEFormatError, match=r"looked for config.json and model.safetensors"):
        SparseAutoencoder.from_pretrained(tmp_path)


def test_damaged_files_are_errors(tiny_sae: str, tmp_path: Path) -> None:
    SparseAutoencoder.from_pretrained(tiny_sae).save_pretrained(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(SAEFormatError, match=r"model\.safetensors"):
        SparseAutoencoder.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"d_in": 4}))
    with pytest.raises(SAEFormatError, match=r"config\.json"):
        SparseAutoencoder.from_pretrained(tmp_path)


@pytest.fixture
def own_copy(tiny_sae: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny SAE to calibrate anew, and a cache that knows no calibration."""
    monkeypatch.setenv("FAC_DATASETS_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(tiny_sae, tmp_path / "sae"))


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


def test_shapes_that_make_no_sae_are_errors() -> None:
    with pytest.raises(SAEFormatError, match="k=99"):
        SparseAutoencoder(SAEConfig(d_in=TINY_WIDTH, d_sae=TINY_FEATURES, k=99, layer=1))
    with pytest.raises(SAEFormatError, match="architecture 'vq'"):
        SparseAutoencoder(SAEConfig(d_in=TINY_WIDTH, d_sae=TINY_FEATURES, k=9, layer=1, architecture="vq"))


@pytest.mark.parametrize(
    ("name", "activations"),
    [
        ("topk", [1, 0, 3, 0]),
        ("groupmax", [1, 0, 3, 0]),
        ("relu", [1, 0, 3, 0.5]),
        ("jumprelu", [0, 0, 3, 0.5]),
    ],
)
def test_each_architecture_has_its_own_nonlinearity(name: str, activations: list[float]) -> None:
    pre = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    threshold = torch.tensor([1.0, 0.0, 2.5, 0.0])
    architecture = make_architecture(name, 4, 2 if ARCHITECTURES[name].takes_k else None)
    assert architecture.encode(pre, threshold).tolist() == [activations]
    tokens, ids, values = architecture.active(pre, threshold)
    again = dict(zip(ids.tolist(), values.tolist(), strict=True))
    assert again == {i: value for i, value in enumerate(activations) if value}
    assert tokens.tolist() == [0] * len(again)


@pytest.mark.parametrize(("name", "k", "message"), [("relu", 3, "k=3 has no meaning"), ("groupmax", 3, "3 groups")])
def test_a_k_that_does_not_fit_is_an_error(name: str, k: int, message: str) -> None:
    with pytest.raises(SAEFormatError, match=message):
        make_architecture(name, 4, k)


def test_an_unknown_activation_is_never_calibrated(backbone: Backbone, own_copy: Path) -> None:
    with pytest.raises(OptionError, match="activation='gelu'"):
        calibrate_sae(backbone, own_copy, TEXTS, activation="gelu")


@pytest.mark.parametrize(("options", "renders"), [([], ["chat"]), (["--render", "chat"], ["chat"])])
def test_chats_alone_are_calibrated_as_chats(
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
    with pytest.raises(OptionError, match="every row is a chat"):
        app([*command, "--render", "raw"], standalone_mode=False)
