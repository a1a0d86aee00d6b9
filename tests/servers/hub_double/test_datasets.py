"""Datasets in the double, seen through `datasets`."""

from __future__ import annotations

import datasets

from tests.servers.hub_double import Hub


def test_a_pushed_dataset_is_loaded_at_the_revision_asked_for(hub: Hub, rows: datasets.Dataset) -> None:
    first = rows.push_to_hub("me/talk").oid
    rows.select([0]).push_to_hub("me/talk")
    assert datasets.load_dataset("me/talk", split="train").to_list() == rows.to_list()[:1]
    assert datasets.load_dataset("me/talk", revision=first, split="train").to_list() == rows.to_list()
    streamed = datasets.load_dataset("me/talk", revision=first, split="train", streaming=True)
    assert list(streamed) == rows.to_list()


def test_a_pushed_dataset_has_data_and_card(hub: Hub, rows: datasets.Dataset) -> None:
    datasets.DatasetDict({"seed": rows, "synthetic": rows}).push_to_hub("me/talk", "default", revision="draft")
    names = {"README.md", "data/seed-00000-of-00001.parquet", "data/synthetic-00000-of-00001.parquet"}
    assert set(hub.files("datasets/me/talk", "draft")) == names | {".gitattributes"}
    assert set(hub.files("datasets/me/talk")) == {".gitattributes"}
    loaded = datasets.load_dataset("me/talk", revision="draft")
    assert {split: part.num_rows for split, part in loaded.items()} == {"seed": 2, "synthetic": 2}


def test_a_dataset_without_a_card_is_loaded_by_its_files(hub: Hub) -> None:
    hub.seed("datasets/me/talk", {"train.jsonl": b'{"text": "Boil the rice."}\n'})
    assert datasets.load_dataset("me/talk", split="train")["text"] == ["Boil the rice."]
