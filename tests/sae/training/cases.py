"""A small run that the tests of training share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import datasets
import torch

from fac_datasets import Backbone, SparseAutoencoder, TrainingConfig, train_sae
from tests.repository import REPOSITORY
from tests.tiny import TEXTS

SMALL = TrainingConfig(
    d_sae=64, k=6, n_tokens=6_000, batch_size=128, chunk_tokens=1_024, dead_after=2_000, checkpoint_seconds=0
)


CHATS = [[{"role": "user", "content": text}, {"role": "assistant", "content": text[::-1]}] for text in TEXTS[:8]]


def assert_equal_weights(left: SparseAutoencoder, right: SparseAutoencoder) -> None:
    for name, tensor in left.state_dict().items():
        torch.testing.assert_close(right.state_dict()[name], tensor, rtol=0, atol=1e-5)


def assert_goes_on_as_if_nothing_had_happened(backbone: Backbone, texts: datasets.Dataset, folder: Path) -> None:
    """Continue the run that was stopped in a folder, and compare it with one that was not."""
    whole = train_sae(backbone, texts, SMALL, folder / "whole")
    assert_equal_weights(whole, train_sae(backbone, texts, SMALL, folder))


RUN = """
import sys, datasets
from fac_datasets import Backbone, TrainingConfig, train_sae
from tests.tiny import TEXTS
from tests.sae.training.cases import SMALL
train_sae(Backbone(sys.argv[1], 2), datasets.Dataset.from_dict({"text": TEXTS}), SMALL, sys.argv[2])
"""


def run_elsewhere(backbone: str, output: Path, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", before + RUN, backbone, str(output)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
