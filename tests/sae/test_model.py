"""An SAE encodes, decodes, is saved and loads again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fac_datasets import SparseAutoencoder
from fac_datasets.errors import SAEFormatError
from fac_datasets.sae.loading import find_sae
from fac_datasets.sae.model import SAEConfig
from tests.tiny import TINY_FEATURES, TINY_WIDTH


def test_encode_keeps_the_k_strongest_and_decode_reconstructs() -> None:
    sae = SparseAutoencoder(SAEConfig(d_in=3, d_sae=3, k=2, layer=1, input_scale=2.0))
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(3))
        sae.W_dec.copy_(torch.eye(3))
    residual = torch.tensor([[1.0, 3.0, 2.0], [-1.0, -2.0, 0.5]])
    assert sae.encode(residual).tolist() == [[0, 6, 4], [0, 0, 1]]
    assert sae(residual).tolist() == [[0, 3, 2], [0, 0, 0.5]]


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


def test_shapes_that_make_no_sae_are_errors() -> None:
    with pytest.raises(SAEFormatError, match="k=99"):
        SparseAutoencoder(SAEConfig(d_in=TINY_WIDTH, d_sae=TINY_FEATURES, k=99, layer=1))
    with pytest.raises(SAEFormatError, match="architecture 'vq'"):
        SparseAutoencoder(SAEConfig(d_in=TINY_WIDTH, d_sae=TINY_FEATURES, k=9, layer=1, architecture="vq"))
