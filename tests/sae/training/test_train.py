"""SAEs are trained, whatever stops the run."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from accelerate.tracking import GeneralTracker

from fac_datasets import Backbone, TrainingConfig, load_sae, train_sae
from fac_datasets.errors import OptionError, OutputError, TrainingError
from fac_datasets.sae.activations import ResidualStream, Rows
from fac_datasets.sae.training.objectives import OBJECTIVES, TopK
from fac_datasets.sae.training.run import TrainingRun
from fac_datasets.sae.training.train import CHECKPOINT, PLOT, REPORT
from tests.sae.training.cases import (
    SMALL,
    assert_equal_weights,
    assert_goes_on_as_if_nothing_had_happened,
    run_elsewhere,
)
from tests.tiny import TEXTS


@pytest.mark.slow
def test_training_reduces_the_unexplained_variance(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    short = train_sae(backbone, texts, dataclasses.replace(SMALL, n_tokens=1_000), tmp_path / "short")
    sae = train_sae(backbone, texts, dataclasses.replace(SMALL, n_tokens=20_000, learning_rate=3e-3), tmp_path)
    record = sae.config.training
    assert record["fvu"] < 0.5 * short.config.training["fvu"]
    assert record["tokens"] >= SMALL.n_tokens
    assert sae.config.backbone_digest == backbone.info.digest
    torch.testing.assert_close(sae.W_dec.norm(dim=-1), torch.ones(64))
    assert not (tmp_path / CHECKPOINT).exists()


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_weights(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_sae(backbone, texts, SMALL, tmp_path / "whole")
    chunks = 0
    train_chunk = TrainingRun.train_chunk

    def stop_in_the_third(run: TrainingRun) -> dict[str, float]:
        nonlocal chunks
        chunks += 1
        if chunks == 3:
            raise KeyboardInterrupt
        return train_chunk(run)

    monkeypatch.setattr(TrainingRun, "train_chunk", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        train_sae(backbone, texts, SMALL, tmp_path / "stopped")
    monkeypatch.undo()
    resumed = train_sae(backbone, texts, SMALL, tmp_path / "stopped")
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_finished_run_is_returned_and_other_texts_are_refused(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    first = train_sae(backbone, texts, SMALL, tmp_path)
    written = (tmp_path / "model.safetensors").stat().st_mtime_ns
    again = train_sae(backbone, texts, SMALL, tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == written
    assert torch.equal(again.W_enc, first.W_enc)
    with pytest.raises(TrainingError, match="it has other texts"):
        train_sae(backbone, texts.select(range(5)), SMALL, tmp_path)


def test_a_backbone_without_a_template_is_trained_on_raw_text(
    plain_backbone: str, texts: datasets.Dataset, tmp_path: Path
) -> None:
    config = dataclasses.replace(SMALL, n_tokens=500)
    assert train_sae(Backbone(plain_backbone, 1), texts, config, tmp_path).config.training["tokens"] >= 500


def test_settings_that_cannot_work_stop_before_training(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="dtype='int'"):
        train_sae(backbone, texts, dataclasses.replace(SMALL, save_dtype="int"), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        train_sae(backbone, texts, SMALL, tmp_path / "file" / "sae")


def test_many_empty_rows_are_passed_over(backbone: Backbone, tmp_path: Path) -> None:
    texts = datasets.Dataset.from_dict({"text": [""] * 300 + TEXTS[:2]})
    config = dataclasses.replace(SMALL, n_tokens=200)
    assert train_sae(backbone, texts, config, tmp_path).config.training["tokens"] >= 200


@pytest.mark.parametrize("rows", [[], [None, "  "]])
def test_nothing_to_train_on_is_an_error(backbone: Backbone, rows: list[str | None], tmp_path: Path) -> None:
    texts = datasets.Dataset.from_dict({"text": rows}, features=datasets.Features({"text": datasets.Value("string")}))
    with pytest.raises(TrainingError, match="to train on"):
        train_sae(backbone, texts, SMALL, tmp_path)


def test_a_loss_that_is_no_number_stops_training(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    config = TrainingConfig(d_sae=64, k=6, n_tokens=6_000, batch_size=128, chunk_tokens=1_024, learning_rate=1e30)
    with pytest.raises(TrainingError, match="learning_rate"):
        train_sae(backbone, texts, config, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_every_objective_trains_and_loads_again(
    objective: str, tied: bool, backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        SMALL, objective=objective, tied=tied, n_tokens=20_000, k_start=12, learning_rate=3e-3, l1_weight=0.1
    )
    sae = train_sae(backbone, texts, config, tmp_path)
    history = json.loads((tmp_path / REPORT).read_text())["history"]
    assert history[-1]["fvu"] < 0.7 * history[0]["fvu"]
    again = load_sae(tmp_path)
    assert again.config == sae.config
    assert ("W_dec" in again.state_dict()) is not tied
    assert_equal_weights(sae, again)
    torch.testing.assert_close(sae.decoder.norm(dim=-1), torch.ones(64))


@pytest.mark.slow
def test_a_stronger_l1_gives_fewer_active_features(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, objective="relu", n_tokens=20_000, learning_rate=3e-3)
    l0 = []
    for weight in (0.1, 5.0):
        sae = train_sae(backbone, texts, dataclasses.replace(config, l1_weight=weight), tmp_path / str(weight))
        l0.append(sae.config.training["l0"])
    assert l0[1] < 0.7 * l0[0]


def test_the_input_is_scaled_and_the_decoder_bias_is_its_mean(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    config = dataclasses.replace(SMALL, n_tokens=128, learning_rate=1e-12)
    sae = train_sae(backbone, texts, config, tmp_path)
    rows = Rows([texts], weights=None, column=None, renders=("chat", "raw"), seed=0)
    vectors = ResidualStream(backbone, rows, max_length=256, truncate=False).chunk(0, 128).vectors[:128]
    torch.testing.assert_close(sae.normalize(vectors).norm(dim=-1).mean().item(), 32**0.5)
    torch.testing.assert_close(sae.b_dec, sae.normalize(vectors).mean(dim=0))


@pytest.mark.slow
def test_bfloat16_trains_almost_alike(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    fvu = [
        train_sae(
            backbone, texts, dataclasses.replace(SMALL, n_tokens=20_000, precision=precision), tmp_path / precision
        ).config.training["fvu"]
        for precision in ("float32", "bfloat16")
    ]
    assert fvu[1] == pytest.approx(fvu[0], rel=0.05)


def test_texts_and_chats_train_one_sae(
    backbone: Backbone, texts: datasets.Dataset, chats: datasets.Dataset, tmp_path: Path
) -> None:
    sae = train_sae(backbone, [texts, chats], SMALL, tmp_path, weights=[3, 1])
    assert [source["share"] for source in sae.config.training["corpus"]["datasets"]] == [0.75, 0.25]


def test_a_resumed_stream_begins_its_next_pass_at_the_beginning(texts: datasets.Dataset) -> None:
    def rows() -> Rows:
        return Rows([texts.to_iterable_dataset()], weights=None, column=None, renders=("raw",), seed=0)

    stopped = rows()
    beginning = stopped.position
    stopped.take(3)
    resumed = rows()
    resumed.go_to(stopped.position)
    resumed.take(2)
    resumed.go_to(beginning)
    assert [content for content, _ in resumed.take(3)] == TEXTS[:3]


def test_a_stream_trains_like_its_rows(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, n_tokens=2_000)
    sae = train_sae(backbone, texts.to_iterable_dataset(num_shards=3), config, tmp_path)
    assert sae.config.training["tokens"] >= 2_000


def test_an_empty_stream_is_an_error(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    stream = texts.to_iterable_dataset().filter(lambda _row: False)
    with pytest.raises(TrainingError, match="no rows"):
        train_sae(backbone, stream, SMALL, tmp_path)


@pytest.mark.slow
def test_the_report_tells_what_every_chunk_measured(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    train_sae(backbone, texts, SMALL, tmp_path)
    report = json.loads((tmp_path / REPORT).read_text())
    assert [chunk["tokens"] for chunk in report["history"]] == [1_024, 2_048, 3_072, 4_096, 5_120, 6_016]
    assert set(report["history"][0]) == {"tokens", "fvu", "l0", "dead_share", "learning_rate", "tokens_per_second"}
    assert report["settings"]["d_sae"] == 64
    assert (tmp_path / PLOT).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_trackers_of_accelerate_log_every_chunk(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    class Memory(GeneralTracker):  # type: ignore[misc]
        name = "memory"
        requires_logging_directory = False

        def __init__(self) -> None:
            super().__init__()
            self.logged: list[tuple[int, dict[str, float]]] = []

        @property
        def tracker(self) -> Memory:
            return self

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            self.settings = values

        def log(self, values: dict[str, float], step: int | None = None, **_kwargs: Any) -> None:
            self.logged.append((step or 0, values))

    memory = Memory()
    train_sae(backbone, texts, SMALL, tmp_path, trackers=[memory])
    assert [step for step, _ in memory.logged] == [8, 16, 24, 32, 40, 47]
    assert {"fvu", "l0", "dead_share"} <= set(memory.logged[0][1])
    assert memory.settings["d_sae"] == "64"


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_weights(
    tiny_backbone: str, backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    whole = train_sae(backbone, texts, SMALL, tmp_path / "whole")
    checkpoint = tmp_path / "killed" / CHECKPOINT
    process = run_elsewhere(tiny_backbone, tmp_path / "killed")
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert checkpoint.exists(), errors
    assert not (tmp_path / "killed" / "config.json").exists(), "it ended before it was killed"
    assert_equal_weights(whole, train_sae(backbone, texts, SMALL, tmp_path / "killed"))


@pytest.mark.slow
def test_a_loss_that_becomes_nan_keeps_the_last_checkpoint(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(self: TopK, *arguments: Any) -> Any:
        outcome = call(self, *arguments)
        return outcome._replace(loss=outcome.loss * float("nan")) if next(steps) == 20 else outcome

    call, steps = TopK.__call__, itertools.count()
    monkeypatch.setattr(TopK, "__call__", poisoned)
    with pytest.raises(TrainingError, match="loss became nan at step 20"):
        train_sae(backbone, texts, SMALL, tmp_path)
    monkeypatch.undo()
    assert_goes_on_as_if_nothing_had_happened(backbone, texts, tmp_path)


@pytest.mark.slow
def test_a_gradient_that_is_no_number_never_reaches_a_checkpoint(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(self: TopK, *arguments: Any) -> Any:
        outcome = call(self, *arguments)
        # The last step of the second chunk: a finite loss, an infinite gradient.
        if next(steps) == 15:
            tensor: Any = outcome.loss
            tensor.register_hook(lambda gradient: gradient * float("inf"))
        return outcome

    call, steps = TopK.__call__, itertools.count()
    monkeypatch.setattr(TopK, "__call__", poisoned)
    with pytest.raises(TrainingError, match=r"gradient of .* became .* at step 15"):
        train_sae(backbone, texts, SMALL, tmp_path)
    monkeypatch.undo()
    assert_goes_on_as_if_nothing_had_happened(backbone, texts, tmp_path)


@pytest.mark.slow
def test_starting_anew_leaves_nothing_of_the_old_run(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_sae(backbone, texts, SMALL, tmp_path)
    monkeypatch.setattr(TrainingRun, "train_chunk", lambda _run: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train_sae(backbone, texts, SMALL, tmp_path, resume=False)
    assert not (tmp_path / "config.json").exists()


def launch(tiny_backbone: str, texts: Path, output: Path, *options: str) -> None:
    """The command in two processes on the CPU."""
    subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "-m", "fac_datasets", "sae", "train", str(texts), "--backbone", tiny_backbone, "--layer", "2",
            "--d-sae", "64", "--k", "6", "--tokens", "6000", "--batch-size", "128", "--chunk-tokens", "1024",
            "--device", "cpu", "--out", str(output), *options,
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_one_sae(tiny_backbone: str, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    launch(tiny_backbone, path, tmp_path / "sae", "--cache", str(tmp_path / "cache"), "--passes", "3")
    report = json.loads((tmp_path / "sae" / REPORT).read_text())
    assert report["processes"] == 2
    assert report["tokens"] == 3 * 6_016
    assert report["history"][-1]["fvu"] < 0.8 * report["history"][0]["fvu"]
    assert {path.parent.name for path in (tmp_path / "cache").glob("*/chunk-*")} == {"process-0", "process-1"}
    launch(tiny_backbone, path, tmp_path / "again", "--passes", "3")
    assert_equal_weights(load_sae(tmp_path / "sae"), load_sae(tmp_path / "again"))
