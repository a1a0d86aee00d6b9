"""Chunks in a cache are used by the run that they belong to, and made again where they are damaged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import datasets
import pytest
import torch

from fac_datasets import Backbone, train_sae
from fac_datasets.errors import TrainingError
from fac_datasets.files.sealed_tensors import load_sealed
from fac_datasets.sae.activations import Rows
from tests.sae.training.cases import SMALL, assert_equal_weights
from tests.tiny import TEXTS

SHORT = dataclasses.replace(SMALL, n_tokens=2_000)


@pytest.mark.slow
def test_chunks_of_another_seed_are_refused_though_nothing_beside_them_tells(
    backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    train_sae(backbone, texts, SHORT, tmp_path / "sae", cache_dir=tmp_path / "cache")
    (tmp_path / "cache" / "cache.json").unlink()
    other = dataclasses.replace(SHORT, seed=1)
    with pytest.raises(TrainingError, match=r"chunk-00000\.safetensors is of other texts, settings"):
        train_sae(backbone, texts, other, tmp_path / "other", cache_dir=tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda content: content[:-4] + b"\x00\x00\xc0\x7f", lambda content: content[:99]])
def test_a_damaged_chunk_is_made_again(
    damage: object, backbone: Backbone, texts: datasets.Dataset, tmp_path: Path
) -> None:
    whole = train_sae(backbone, texts, SHORT, tmp_path / "sae", cache_dir=tmp_path / "cache")
    chunk = tmp_path / "cache" / "chunk-00001.safetensors"
    content = chunk.read_bytes()
    assert callable(damage)
    chunk.write_bytes(damage(content))
    with pytest.warns(UserWarning, match=r"chunk-00001\.safetensors .* made again"):
        again = train_sae(backbone, texts, SHORT, tmp_path / "again", cache_dir=tmp_path / "cache")
    assert_equal_weights(whole, again)
    tensors, words = load_sealed(chunk)
    chunk.write_bytes(content)
    before, words_before = load_sealed(chunk)
    assert torch.equal(tensors["vectors"], before["vectors"])
    assert words == words_before


def test_streams_of_two_files_are_told_apart(tmp_path: Path) -> None:
    def identity(name: str, rows: list[str]) -> object:
        (tmp_path / name).write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
        stream = datasets.load_dataset("json", data_files=str(tmp_path / name), split="train", streaming=True)
        return Rows([stream], weights=None, column=None, renders=("raw",), seed=0).identity()

    assert identity("first.jsonl", TEXTS) == identity("copy.jsonl", TEXTS)
    assert identity("first.jsonl", TEXTS) != identity("other.jsonl", TEXTS[1:])
