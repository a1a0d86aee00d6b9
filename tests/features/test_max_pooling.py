"""Encoding and pooling in bounded memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.repository import REPOSITORY


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "activation"), [("topk", "sae"), ("relu", "sae"), ("topk", "relu")])
def test_memory_for_encoding_does_not_grow_with_the_tokens(architecture: str, activation: str) -> None:
    """For 131,072 features a tensor of [tokens, d_sae] would take 2 GB here."""
    program = f"""
import torch
from fac_datasets import SparseAutoencoder
from fac_datasets.features.max_pooling import row_peaks
from fac_datasets.sae.model import SAEConfig
from tests.memory import peak_mb
k = 32 if {architecture!r} == "topk" else None
sae = SparseAutoencoder(SAEConfig(d_in=16, d_sae=131_072, k=k, layer=1, architecture={architecture!r}))
torch.nn.init.normal_(sae.W_enc)
vectors, rows = torch.randn(4096, 16), torch.arange(4096) // 512
cutoffs = torch.full((131_072,), 14.0)
def run(n):
    with torch.inference_mode():
        row_peaks(sae, vectors[:n], rows[:n], torch.arange(n), cutoffs, {activation!r})
    return peak_mb()
before = peak_mb()
few = run(64)
print(few - before, run(4096) - few)
"""
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    first, more = map(float, result.stdout.split())
    assert first < 4 * 2**23 / 1e6 * 3
    assert more < 60
