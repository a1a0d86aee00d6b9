"""The state behind the feature table: merging, memory, seeds."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest

from fac_datasets import FeatureExtractor, feature_table
from fac_datasets.errors import FeatureSpaceMismatch
from fac_datasets.feature_space import dataset_space
from fac_datasets.interpretation import spans
from fac_datasets.interpretation.spans import FeatureSpans
from fac_datasets.interpretation.table import spans_table


def test_shards_merge_to_the_table_of_one_pass(
    rows: datasets.Dataset, table: datasets.Dataset, tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_PENDING", 64)
    states = []
    for first, last in ((0, 40), (40, 41), (41, 152)):
        state = FeatureSpans(dataset_space(rows))
        for begin in range(first, last, 7):
            state.update(rows[begin : min(begin + 7, last)], begin)
        state.save(tmp_path / f"{first}.safetensors")
        states.append(FeatureSpans.load(tmp_path / f"{first}.safetensors"))
    merged = states[2].merge(states[0]).merge(states[1])
    assert spans_table(merged, rows).to_list() == table.to_list()
    other = states[0].merge(states[1].merge(states[2]))
    assert other.to_bytes() == merged.to_bytes()
    empty = FeatureSpans(dataset_space(rows))
    assert empty.merge(merged).to_bytes() == merged.to_bytes()


def test_states_of_other_spaces_features_or_seeds_do_not_merge(
    rows: datasets.Dataset, tiny_backbone: str, tiny_sae: str
) -> None:
    space = dataset_space(rows)
    state = FeatureSpans(space)
    raw = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, render="raw").feature_space
    for other in (FeatureSpans(raw), FeatureSpans(space, features=np.array([1])), FeatureSpans(space, seed=1)):
        with pytest.raises(FeatureSpaceMismatch):
            state.merge(other)
    with pytest.raises(FeatureSpaceMismatch):
        FeatureSpans(raw).update(rows[:5], 0)


def test_memory_does_not_grow_with_the_rows(rows: datasets.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "_PENDING", 256)
    state = FeatureSpans(dataset_space(rows))
    sizes = []
    for repetition in range(4):
        batch = rows[:]
        batch["text"] = [f"{text} {repetition}" for text in batch["text"]]
        state.update(batch, repetition * len(rows))
        sizes.append(len(state.to_bytes()))
    most = 96 * (spans.STRONGEST + spans.SAMPLED) * 36 + spans.SILENT_ROWS * (24 + 96 * 8)
    assert max(sizes) < most + 10_000
    assert len(state.strongest().ids) <= 96 * spans.STRONGEST


def test_the_seed_decides_the_random_spans_alone(
    rows: datasets.Dataset, table: datasets.Dataset, tiny_backbone: str
) -> None:
    assert feature_table(rows).to_list() == table.to_list()
    other = feature_table(rows, seed=1)
    assert other["spans"] == table["spans"]
    assert other["silent_spans"] != table["silent_spans"]
