"""Checkpoints: full disks, failed writes, damage, and distance."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import datasets
import pytest

from fac_datasets import Backbone, TrainingConfig, train_sae
from fac_datasets.errors import OutputError, TrainingError
from fac_datasets.sae.training.run import TrainingRun
from fac_datasets.sae.training.train import CHECKPOINT
from tests.sae.training.cases import (
    SMALL,
    assert_equal_weights,
    assert_goes_on_as_if_nothing_had_happened,
    run_elsewhere,
)


@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_refused(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingRun, "finish", lambda _run: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train_sae(backbone, texts, SMALL, tmp_path)
    with pytest.raises(TrainingError, match="another run"):
        train_sae(backbone, texts, TrainingConfig(d_sae=64, k=5, n_tokens=6_000), tmp_path)


@pytest.mark.slow
def test_a_full_disk_stops_with_the_last_checkpoint_kept(
    tiny_backbone: str, backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    # The largest file that the process may write stands for the end of the disk.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    process = run_elsewhere(tiny_backbone, tmp_path / "full", before=limit)
    _, errors = process.communicate()
    assert process.returncode
    assert "OutputError" in errors
    assert "checkpoint.safetensors cannot be written" in errors
    assert not list((tmp_path / "full").glob(".*")), "half a file was left behind"
    whole = train_sae(backbone, texts, SMALL, tmp_path / "whole")
    assert_equal_weights(whole, train_sae(backbone, texts, SMALL, tmp_path / "full"))


@pytest.mark.slow
def test_a_write_that_fails_keeps_the_checkpoint_before(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = TrainingRun.save, itertools.count()

    def full_at_the_third(run: TrainingRun, path: Path) -> None:
        if next(calls) == 2:
            raise OutputError("the disk is full")
        save(run, path)

    monkeypatch.setattr(TrainingRun, "save", full_at_the_third)
    with pytest.raises(OutputError):
        train_sae(backbone, texts, SMALL, tmp_path)
    monkeypatch.undo()
    assert_goes_on_as_if_nothing_had_happened(backbone, texts, tmp_path)


def test_a_damaged_checkpoint_is_an_error(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"half")
    with pytest.raises(TrainingError, match="resume=False"):
        train_sae(backbone, texts, SMALL, tmp_path)


@pytest.mark.slow
def test_checkpoints_keep_their_distance(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    monkeypatch.setattr(TrainingRun, "save", lambda run, _path: saved.append(run.progress.trained))
    train_sae(backbone, texts, dataclasses.replace(SMALL, checkpoint_seconds=3600), tmp_path)
    assert saved == [1_024, 6_016]
