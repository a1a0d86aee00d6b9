"""A run goes on only from a checkpoint that is as it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from fac_datasets import Backbone, train_sae
from fac_datasets.errors import TrainingError
from fac_datasets.files.sealed_tensors import load_sealed, save_sealed
from fac_datasets.sae.training.run import TrainingRun
from fac_datasets.sae.training.train import CHECKPOINT
from tests.sae.training.cases import SMALL, assert_goes_on_as_if_nothing_had_happened


@pytest.fixture
def stopped(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was stopped behind its second chunk."""
    train_chunk = TrainingRun.train_chunk
    done: list[TrainingRun] = []

    def stop_in_the_third(run: TrainingRun) -> dict[str, float]:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(run)
        return train_chunk(run)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "train_chunk", stop_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            train_sae(backbone, texts, SMALL, tmp_path)
    return tmp_path


def rewrite(path: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    """Change the tensors of a file and leave its words."""
    tensors = load_file(path)
    with safe_open(path, "pt") as stream:
        metadata = stream.metadata()
    change(tensors)
    save_file(tensors, path, metadata)


def one_number(tensors: dict[str, Tensor]) -> None:
    tensors["sae.W_enc"][0, 0] += 1e-6


def no_adam(tensors: dict[str, Tensor]) -> None:
    for name in [name for name in tensors if name.startswith("adam.")]:
        del tensors[name]


@pytest.mark.slow
def test_an_unchanged_one_goes_on(backbone: Backbone, texts: datasets.Dataset, stopped: Path) -> None:
    assert_goes_on_as_if_nothing_had_happened(backbone, texts, stopped)


@pytest.mark.slow
@pytest.mark.parametrize("change", [one_number, no_adam])
def test_a_changed_one_is_refused(
    change: Callable[[dict[str, Tensor]], None], backbone: Backbone, texts: datasets.Dataset, stopped: Path
) -> None:
    rewrite(stopped / CHECKPOINT, change)
    with pytest.raises(TrainingError, match=r"not as it was written.*resume=False"):
        train_sae(backbone, texts, SMALL, stopped)


@pytest.mark.slow
def test_one_that_holds_no_numbers_is_refused(backbone: Backbone, texts: datasets.Dataset, stopped: Path) -> None:
    tensors, metadata = load_sealed(stopped / CHECKPOINT)
    tensors["sae.b_enc"][3] = torch.nan
    save_sealed(stopped / CHECKPOINT, tensors, metadata)
    with pytest.raises(TrainingError, match=r"sae\.b_enc that are not finite"):
        train_sae(backbone, texts, SMALL, stopped)


@pytest.mark.slow
def test_one_of_an_older_version_is_refused_and_can_be_replaced(
    backbone: Backbone, texts: datasets.Dataset, stopped: Path
) -> None:
    tensors, metadata = load_sealed(stopped / CHECKPOINT)
    save_file(tensors, stopped / CHECKPOINT, metadata)
    # Older versions wrote nothing else before the end.
    (stopped / "training.json").unlink()
    with pytest.raises(TrainingError, match=r"carries no digest.*resume=False"):
        train_sae(backbone, texts, SMALL, stopped)
    assert train_sae(backbone, texts, SMALL, stopped, resume=False).config.training["tokens"] >= SMALL.n_tokens
