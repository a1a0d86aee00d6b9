"""Texts to train on: mixed, streamed, shared among processes, cached."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from fac_datasets import Backbone, train_sae
from fac_datasets.backbone.batching import Batch
from fac_datasets.errors import OptionError, TrainingError
from fac_datasets.sae.activations import OUTLIER, ResidualStream, Rows
from tests.sae.training.cases import (
    SMALL,
    assert_equal_weights,
)
from tests.tiny import TEXTS


def test_datasets_are_mixed_by_weight(texts: datasets.Dataset, chats: datasets.Dataset) -> None:
    rows = Rows([texts, chats], weights=[3, 1], column=None, renders=("raw",), seed=0)
    taken = rows.take(4_000)
    share = sum(isinstance(content, list) for content, _ in taken) / len(taken)
    assert share == pytest.approx(0.25, abs=0.03)
    assert {render for content, render in taken if isinstance(content, list)} == {"chat"}
    assert {content for content, _ in taken if isinstance(content, str)} == set(TEXTS)


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
