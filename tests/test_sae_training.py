"""SAEs are trained: every objective, mixed and streamed text, caches, kills, full disks and several processes."""

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

from fac_datasets import Backbone, SparseAutoencoder, TrainingConfig, load_sae, train_sae
from fac_datasets.backbone.batching import Batch
from fac_datasets.cli.main import app
from fac_datasets.errors import OptionError, OutputError, TrainingError
from fac_datasets.sae.activations import OUTLIER, ResidualStream, Rows
from fac_datasets.sae.model import SAEConfig
from fac_datasets.sae.training.objectives import OBJECTIVES, Reference, TopK, make_objective
from fac_datasets.sae.training.run import TrainingRun
from fac_datasets.sae.training.train import CHECKPOINT, PLOT, REPORT
from tests.tiny import TEXTS

SMALL = TrainingConfig(
    d_sae=64, k=6, n_tokens=6_000, batch_size=128, chunk_tokens=1_024, dead_after=2_000, checkpoint_seconds=0
)
CHATS = [[{"role": "user", "content": text}, {"role": "assistant", "content": text[::-1]}] for text in TEXTS[:8]]


@pytest.fixture
def texts() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS})


@pytest.fixture
def chats() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"messages": CHATS})


def assert_equal_weights(left: SparseAutoencoder, right: SparseAutoencoder) -> None:
    for name, tensor in left.state_dict().items():
        torch.testing.assert_close(right.state_dict()[name], tensor, rtol=0, atol=1e-5)


def assert_goes_on_as_if_nothing_had_happened(backbone: Backbone, texts: datasets.Dataset, folder: Path) -> None:
    """Continue the run that was stopped in a folder, and compare it with one that was not."""
    whole = train_sae(backbone, texts, SMALL, folder / "whole")
    assert_equal_weights(whole, train_sae(backbone, texts, SMALL, folder))


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
def test_a_checkpoint_of_another_run_is_refused(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingRun, "finish", lambda _run: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train_sae(backbone, texts, SMALL, tmp_path)
    with pytest.raises(TrainingError, match="another run"):
        train_sae(backbone, texts, TrainingConfig(d_sae=64, k=5, n_tokens=6_000), tmp_path)


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


# --- objectives -----------------------------------------------------------------------------------------------------


def random_sae(tied: bool) -> SparseAutoencoder:
    torch.manual_seed(0)
    sae = SparseAutoencoder(SAEConfig(d_in=12, d_sae=40, k=5, layer=1, tied=tied)).double()
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return sae


def dense_topk_loss(sae: SparseAutoencoder, vectors: torch.Tensor, k: int) -> torch.Tensor:
    """The reconstruction by k features, written out with dense matrices."""
    pre = (vectors - sae.b_dec) @ sae.W_enc + sae.b_enc
    values, ids = pre.topk(k, dim=-1)
    reconstruction = torch.zeros_like(pre).scatter(-1, ids, values.relu()) @ sae.decoder + sae.b_dec
    squared: torch.Tensor = (vectors - reconstruction).square().sum(dim=-1)
    return squared


@pytest.mark.parametrize("tied", [False, True])
def test_the_sparse_gradients_are_those_of_dense_matrices(tied: bool) -> None:
    sae = random_sae(tied)
    vectors = torch.randn(30, 12, dtype=torch.float64)
    variance = (vectors - vectors.mean(dim=0)).square().sum(dim=-1).mean()
    torch.autograd.backward(dense_topk_loss(sae, vectors, 5).mean() / variance)
    expected = [parameter.grad for parameter in sae.parameters()]
    sae.zero_grad()
    config = dataclasses.replace(SMALL, d_sae=40, k=5)
    outcome = TopK(config)(sae, vectors, torch.zeros(40, dtype=torch.bool), 0.5)
    torch.autograd.backward(outcome.loss)
    for gradient, parameter in zip(expected, sae.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_dead_features_learn_from_the_error_alone() -> None:
    sae = random_sae(tied=False)
    with torch.no_grad():
        # Too weak to be among the strongest.
        sae.W_enc[:, :10] *= 0.1
        sae.b_enc[:10] = 0
    dead = torch.zeros(40, dtype=torch.bool)
    dead[:10] = True
    vectors = torch.randn(30, 12, dtype=torch.float64)
    for weight in (0.0, 1 / 32):
        sae.zero_grad()
        config = dataclasses.replace(SMALL, d_sae=40, k=5, aux_k=4, aux_weight=weight)
        torch.autograd.backward(TopK(config)(sae, vectors, dead, 0.5).loss)
        assert sae.W_dec.grad is not None
        assert bool(sae.W_dec.grad[:10].any()) == bool(weight)


def test_the_reference_recipe_is_that_of_the_paper() -> None:
    config = TrainingConfig.preset("reference")
    assert (config.d_sae, config.k_start, config.k, config.tied) == (65_536, 200, 20, True)
    assert (config.learning_rate, config.epsilon, config.warmup, config.decay) == (1e-3, 6.25e-10, 0, 0)
    assert (config.renders, config.max_length, config.truncate) == (("chat",), 256, True)
    assert not config.normalize_input
    assert not config.unit_norm


@pytest.mark.parametrize(("progress", "k"), [(0.0, 20), (0.25, 14), (0.4999, 8), (0.5, 8), (0.9, 8)])
def test_the_reference_anneals_k_over_the_first_half(progress: float, k: int) -> None:
    sae = random_sae(tied=True)
    vectors = torch.randn(30, 12, dtype=torch.float64)
    config = TrainingConfig.preset("reference", d_sae=40, k_start=20, k=8)
    outcome = Reference(config)(sae, vectors, torch.zeros(40, dtype=torch.bool), progress)
    expected = (dense_topk_loss(sae, vectors, k) / vectors.square().sum(dim=-1)).mean()
    torch.testing.assert_close(outcome.loss, expected)


def test_an_unknown_objective_or_preset_is_an_error() -> None:
    with pytest.raises(OptionError, match="known: topk, reference, relu"):
        make_objective(dataclasses.replace(SMALL, objective="gated"))
    with pytest.raises(OptionError, match="known: default, reference"):
        TrainingConfig.preset("best")


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


# --- text -----------------------------------------------------------------------------------------------------------


def test_datasets_are_mixed_by_weight(texts: datasets.Dataset, chats: datasets.Dataset) -> None:
    rows = Rows([texts, chats], weights=[3, 1], column=None, renders=("raw",), seed=0)
    taken = rows.take(4_000)
    share = sum(isinstance(content, list) for content, _ in taken) / len(taken)
    assert share == pytest.approx(0.25, abs=0.03)
    assert {render for content, render in taken if isinstance(content, list)} == {"chat"}
    assert {content for content, _ in taken if isinstance(content, str)} == set(TEXTS)


def test_texts_and_chats_train_one_sae(
    backbone: Backbone, texts: datasets.Dataset, chats: datasets.Dataset, tmp_path: Path
) -> None:
    sae = train_sae(backbone, [texts, chats], SMALL, tmp_path, weights=[3, 1])
    assert [source["share"] for source in sae.config.training["corpus"]["datasets"]] == [0.75, 0.25]


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0]])
def test_weights_that_are_no_shares_are_errors(
    texts: datasets.Dataset, chats: datasets.Dataset, weights: list[float]
) -> None:
    with pytest.raises(OptionError, match="2 datasets"):
        Rows([texts, chats], weights=weights, column=None, renders=("raw",), seed=0)


def test_every_row_passes_once_before_any_passes_twice() -> None:
    rows = Rows(
        [datasets.Dataset.from_dict({"text": [str(i) for i in range(50)]})],
        weights=None,
        column=None,
        renders=("chat", "raw"),
        seed=0,
    )
    first, second = rows.take(50), rows.take(50)
    assert {content for content, _ in first} == {content for content, _ in second}
    assert [content for content, _ in first] != [content for content, _ in second]
    # A text is rendered as a chat in one pass and raw in the next.
    assert dict(first) != dict(second)
    assert all(dict(first)[content] != dict(second)[content] for content in dict(first))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_position_in_the_rows_can_be_taken_up_again(
    streamed: bool, texts: datasets.Dataset, chats: datasets.Dataset
) -> None:
    def rows() -> Rows:
        sources = [texts.to_iterable_dataset(), chats] if streamed else [texts, chats]
        return Rows(sources, weights=[2, 1], column=None, renders=("chat", "raw"), seed=3)

    whole = rows()
    expected = [whole.take(17) for _ in range(6)]
    stopped = rows()
    for _ in range(3):
        stopped.take(17)
    position = json.loads(json.dumps(stopped.position))
    again = rows()
    again.go_to(position)
    assert [again.take(17) for _ in range(3)] == expected[3:]


def test_a_stream_is_repeated_when_it_ends(texts: datasets.Dataset) -> None:
    rows = Rows([texts.to_iterable_dataset()], weights=None, column=None, renders=("raw",), seed=0)
    assert [content for content, _ in rows.take(2 * len(TEXTS))] == TEXTS * 2


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


def test_processes_share_the_rows(texts: datasets.Dataset) -> None:
    unique = datasets.Dataset.from_dict({"text": [str(i) for i in range(40)]})
    whole = Rows([unique], weights=None, column=None, renders=("raw",), seed=0)
    parts = [{content for content, _ in whole.share(rank, 2).take(20)} for rank in (0, 1)]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 40


def test_attention_sinks_are_dropped_and_counted(
    backbone: Backbone, texts: datasets.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_vectors = backbone.own_vectors

    def with_sinks(batch: Batch) -> torch.Tensor:
        vectors = own_vectors(batch).clone()
        vectors[0] *= 100 * OUTLIER
        return vectors

    monkeypatch.setattr(backbone, "own_vectors", with_sinks)
    rows = Rows([texts], weights=None, column=None, renders=("raw",), seed=0)
    chunk = ResidualStream(backbone, rows, max_length=256, truncate=False).chunk(0, 1_000)
    assert chunk.outliers >= 1
    norms = chunk.vectors.norm(dim=-1)
    assert norms.max() <= OUTLIER * 1.5 * norms.median()


# --- cache ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cache_changes_nothing_but_the_work(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(SMALL, passes=2)
    plain = train_sae(backbone, texts, config, tmp_path / "plain")
    assert_equal_weights(plain, train_sae(backbone, texts, config, tmp_path / "first", cache_dir=tmp_path / "cache"))

    def no_backbone(_windows: Any) -> torch.Tensor:
        raise AssertionError("the activations are in the cache")

    monkeypatch.setattr(backbone, "residual", no_backbone)
    cached = train_sae(backbone, texts, config, tmp_path / "second", cache_dir=tmp_path / "cache")
    assert_equal_weights(plain, cached)
    wider = dataclasses.replace(config, d_sae=128, k=4)
    assert train_sae(backbone, texts, wider, tmp_path / "wider", cache_dir=tmp_path / "cache").config.d_sae == 128


@pytest.mark.slow
def test_a_longer_run_extends_the_cache_of_a_shorter_one(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    short = dataclasses.replace(SMALL, n_tokens=1_500)
    train_sae(backbone, texts, short, tmp_path / "short", cache_dir=tmp_path / "cache")
    longer = train_sae(backbone, texts, SMALL, tmp_path / "longer", cache_dir=tmp_path / "cache")
    assert_equal_weights(longer, train_sae(backbone, texts, SMALL, tmp_path / "plain"))


@pytest.mark.slow
def test_what_a_longer_run_left_in_the_cache_does_not_change_a_shorter_one(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    short = dataclasses.replace(SMALL, n_tokens=1_500, passes=2)
    alone = train_sae(backbone, texts, short, tmp_path / "alone")
    train_sae(backbone, texts, SMALL, tmp_path / "longer", cache_dir=tmp_path / "cache")
    assert_equal_weights(alone, train_sae(backbone, texts, short, tmp_path / "short", cache_dir=tmp_path / "cache"))


@pytest.mark.slow
def test_a_cache_of_other_text_is_refused(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    train_sae(backbone, texts, SMALL, tmp_path / "sae", cache_dir=tmp_path / "cache")
    with pytest.raises(TrainingError, match="of other texts"):
        train_sae(backbone, texts.select(range(9)), SMALL, tmp_path / "other", cache_dir=tmp_path / "cache")


@pytest.mark.slow
def test_a_damaged_cache_is_an_error(backbone: Backbone, texts: datasets.Dataset, tmp_path: Path) -> None:
    train_sae(backbone, texts, SMALL, tmp_path / "sae", cache_dir=tmp_path / "cache")
    (tmp_path / "cache" / "chunk-00001.safetensors").write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"chunk-00001\.safetensors in the cache is damaged"):
        train_sae(backbone, texts, SMALL, tmp_path / "again", cache_dir=tmp_path / "cache")


# --- reports --------------------------------------------------------------------------------------------------------


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


# --- kills, disks, processes ----------------------------------------------------------------------------------------

RUN = """
import sys, datasets
from fac_datasets import Backbone, TrainingConfig, train_sae
from tests.tiny import TEXTS
from tests.test_sae_training import SMALL
train_sae(Backbone(sys.argv[1], 2), datasets.Dataset.from_dict({"text": TEXTS}), SMALL, sys.argv[2])
"""


def run_elsewhere(backbone: str, output: Path, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", before + RUN, backbone, str(output)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


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


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("n_tokens", 0),
        ("passes", 0),
        ("chunk_tokens", 0),
        ("batch_size", 1),
        ("k", 65),
        ("k_start", 100),
        ("precision", "float8"),
        ("renders", ("markdown",)),
    ],
)
def test_settings_without_meaning_are_errors(setting: str, value: Any) -> None:
    with pytest.raises(OptionError, match=setting.removesuffix("s")):
        dataclasses.replace(SMALL, **{setting: value})


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


@pytest.mark.slow
def test_the_command_trains_from_several_streams(tiny_backbone: str, tmp_path: Path) -> None:
    for name, rows in (
        ("texts", [{"text": text} for text in TEXTS]),
        ("chats", [{"messages": chat} for chat in CHATS]),
    ):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        "sae", "train", str(tmp_path / "texts.jsonl"), str(tmp_path / "chats.jsonl"), "--weight", "3", "--weight", "1",
        "--streaming", "--preset", "reference", "--d-sae", "64", "--k", "8", "--k-start", "32",
        "--tokens", "1000", "--batch-size", "128",
        "--backbone", tiny_backbone, "--layer", "2", "--name", "mine", "--out", str(tmp_path / "sae"),
    ]  # fmt: skip
    app(command, standalone_mode=False)
    config = load_sae(tmp_path / "sae").config
    assert (config.name, config.tied, config.k) == ("mine", True, 8)
    with pytest.raises(TrainingError, match="another run"):
        app([*command, "--passes", "2"], standalone_mode=False)
    app([*command, "--passes", "2", "--overwrite"], standalone_mode=False)
    assert load_sae(tmp_path / "sae").config.training["tokens"] == 2 * 1_024
