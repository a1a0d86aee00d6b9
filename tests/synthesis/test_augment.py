"""Seed and synthetic rows become one dataset, and are read back."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import yaml

from fac_datasets import augment
from fac_datasets.errors import ColumnError, DatasetError, SynthesisError
from fac_datasets.synthesis.augment import AugmentedDataset, load_synthetic
from tests.synthesis.cases import Case


def test_augment_joins_seed_and_synthetic_with_the_same_columns(case: Case) -> None:
    synthetic = case.synthesize()
    augmented = augment(case.seed, synthetic)
    splits = augmented.dataset
    assert splits["seed"].features == splits["synthetic"].features == splits["train"].features
    assert splits["train"].column_names == ["text", "topic", "synthetic_id"]
    assert splits["train"]["text"] == [*case.seed_rows["text"], *synthetic["text"]]
    assert splits["seed"]["synthetic_id"] == [None, None]
    assert splits["synthetic"]["topic"] == [None] * len(synthetic)
    assert augmented.provenance["synthetic_id"] == splits["synthetic"]["synthetic_id"]


def test_augment_puts_texts_into_chats(case: Case) -> None:
    chats = datasets.Dataset.from_dict({"messages": [[{"role": "user", "content": "Hi."}]]})
    synthetic = case.synthesize(max_features=2)
    row = augment(chats, synthetic).dataset["synthetic"][0]
    assert row["messages"] == [{"role": "user", "content": synthetic[0]["text"]}]


def test_augment_puts_texts_into_sharegpt_chats(case: Case) -> None:
    chats = datasets.Dataset.from_dict({"conversations": [[{"from": "human", "value": "Hi."}]]})
    synthetic = case.synthesize(max_features=2)
    row = augment(chats, synthetic).dataset["synthetic"][0]
    assert row["conversations"] == [{"from": "human", "value": synthetic[0]["text"]}]


def test_augment_fills_a_column_of_nothing(case: Case) -> None:
    nothing = datasets.Dataset.from_dict({"text": [None, None]})
    synthetic = case.synthesize(max_features=2)
    assert augment(nothing, synthetic).dataset["train"]["text"] == [None, None, *synthetic["text"]]


def test_texts_go_into_messages_of_parts(case: Case) -> None:
    parts = datasets.Dataset.from_dict({"messages": [[{"role": "user", "content": [{"type": "text", "text": "Hi."}]}]]})
    synthetic = case.synthesize(max_features=1)
    (added,) = augment(parts, synthetic).dataset["synthetic"]["messages"]
    assert added == [{"role": "user", "content": [{"type": "text", "text": synthetic["text"][0]}]}]


def test_augment_refuses_messages_that_it_cannot_fill(case: Case) -> None:
    unknown = datasets.Dataset.from_dict({"messages": [[{"speaker": "user", "said": "Hi."}]]})
    with pytest.raises(ColumnError, match="`role` and `content`"):
        augment(unknown, case.synthesize(max_features=1))


def test_augment_keeps_what_a_review_accepted(case: Case) -> None:
    synthetic = case.synthesize()
    reviewed = synthetic.add_column("accepted", [i > 0 for i in range(len(synthetic))])
    assert len(augment(case.seed, reviewed).dataset["synthetic"]) == len(synthetic) - 1
    assert len(augment(case.seed, reviewed, keep="all").dataset["synthetic"]) == len(synthetic)


def test_augment_refuses_what_it_cannot_join(case: Case) -> None:
    synthetic = case.synthesize(max_features=1)
    with pytest.raises(SynthesisError, match="keep='some'"):
        augment(case.seed, synthetic, keep="some")
    with pytest.raises(SynthesisError, match="lack the columns"):
        augment(case.seed, case.seed)
    with pytest.raises(ColumnError, match="synthetic_id"):
        augment(augment(case.seed, synthetic).dataset["train"], synthetic)


@pytest.mark.parametrize(
    "seed",
    [
        {"text": ["seed"], "label": [1]},
        {"messages": [[{"role": "user", "content": "seed"}]]},
        {"conversations": [[{"from": "human", "value": "seed"}]]},
        {"instruction": ["seed"], "output": ["leaf"]},
    ],
)
def test_synthetic_rows_are_read_back_from_an_augmented_dataset(
    case: Case, seed: dict[str, list[object]], tmp_path: Path
) -> None:
    synthetic = case.synthesize(max_features=3)
    augmented = augment(datasets.Dataset.from_dict(seed), synthetic)
    save_with_header(augmented, tmp_path)
    loaded = load_synthetic(str(tmp_path))
    assert loaded.select_columns(synthetic.column_names).to_list() == synthetic.to_list()
    assert augment(datasets.Dataset.from_dict(seed), loaded).dataset["train"].to_list() == (
        augmented.dataset["train"].to_list()
    )


def test_synthetic_rows_are_read_from_a_file_of_them(case: Case, tmp_path: Path) -> None:
    synthetic = case.synthesize(max_features=1)
    synthetic.to_parquet(tmp_path / "rows.parquet")
    assert load_synthetic(str(tmp_path / "rows.parquet")).to_list() == synthetic.to_list()


def test_synthetic_rows_without_their_provenance_are_refused(case: Case, tmp_path: Path) -> None:
    synthetic = case.synthesize()
    augmented = augment(case.seed, synthetic)
    save_with_header(AugmentedDataset(augmented.dataset, augmented.provenance.select([0])), tmp_path)
    told = f"has {len(synthetic)} synthetic rows, which are not the 1 of its provenance"
    with pytest.raises(DatasetError, match=told):
        load_synthetic(str(tmp_path))


def save_with_header(augmented: AugmentedDataset, folder: Path) -> None:
    """Save with a card that has nothing but its header."""
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(augmented.save(folder))}---\n")
