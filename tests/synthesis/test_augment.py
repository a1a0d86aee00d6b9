"""Seed and synthetic rows become one dataset, and are read back."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import yaml

from fac_datasets import augment
from fac_datasets.errors import ColumnError, DatasetError, SynthesisError
from fac_datasets.rows.tables import dataset_of
from fac_datasets.synthesis.augment import AugmentedDataset, load_synthetic
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.provenance import provenance_of, synthetic_features, synthetic_row
from tests.synthesis.cases import Case
from tests.synthesis.kinds.seeds import ALL


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


def rows_for(
    seed: datasets.Dataset, synthetic: datasets.Dataset, column: str | None = None, kind: str | None = None
) -> datasets.Dataset:
    """Synthetic rows in a seed's columns: those of its first row, with the provenance of rows of texts."""
    bound = recognise(seed, kind, column=column)
    sample = bound.sample_of(seed[0])
    assert sample is not None
    rows = [synthetic_row(bound.cells(sample), dict(row)) for row in provenance_of(synthetic)]
    return dataset_of(rows, synthetic_features(bound.features))


@pytest.mark.parametrize("name", ALL)
def test_rows_of_every_kind_join_the_seed_and_are_read_back(case: Case, name: str, tmp_path: Path) -> None:
    kind, seed = ALL[name]
    synthetic = rows_for(seed, case.synthesize(max_features=2), "chosen" if kind == "preference" else None)
    augmented = augment(seed, synthetic)
    splits = augmented.dataset
    assert splits["train"].column_names == [*seed.column_names, "synthetic_id"]
    assert all(splits["train"].features[column] == seed.features[column] for column in seed.column_names)
    assert splits["seed"].remove_columns("synthetic_id").to_list() == seed.to_list()
    save_with_header(augmented, tmp_path)
    loaded = load_synthetic(str(tmp_path))
    assert loaded.to_list() == synthetic.to_list()
    assert loaded.features == synthetic.features
    assert augment(seed, loaded).dataset["train"].to_list() == splits["train"].to_list()


def test_names_that_the_user_has_too_are_told_apart(case: Case, tmp_path: Path) -> None:
    seed = datasets.Dataset.from_dict({"text": ["Pears."], "seed": [7], "method": ["by hand"], "generator": [None]})
    synthetic = rows_for(seed, case.synthesize(seed=3))
    assert {"synthetic_seed", "synthetic_method", "synthetic_generator", "attempt"} <= {*synthetic.column_names}
    augmented = augment(seed, synthetic)
    assert augmented.dataset["seed"]["seed"] == [7]
    assert len(synthetic)
    assert {*augmented.dataset["synthetic"]["seed"]} == {None}
    assert {*augmented.provenance["seed"]} == {3}
    save_with_header(augmented, tmp_path)
    assert load_synthetic(str(tmp_path)).to_list() == synthetic.to_list()


@pytest.mark.parametrize(
    "seed",
    [
        {"text": ["seed"], "label": [1]},
        {"instruction": ["seed"], "output": ["leaf"]},
        {"prompt": ["seed"], "chosen": ["leaf"], "rejected": ["stone"]},
    ],
)
def test_texts_alone_are_not_joined_to_what_trains_on_more(case: Case, seed: dict[str, list[object]]) -> None:
    synthetic = case.synthesize(max_features=1)
    with pytest.raises(SynthesisError, match=r"have the columns \['text'\] and the seed has .* schema_of= the seed"):
        augment(datasets.Dataset.from_dict(seed), synthetic)


def test_columns_of_other_types_are_refused(case: Case) -> None:
    seed = datasets.Dataset.from_dict({"text": ["Pears."], "label": ["ripe"]})
    other = datasets.Dataset.from_dict({"text": ["Pears."], "label": [{"ripe": True}]})
    synthetic = rows_for(other, case.synthesize(max_features=1), kind="text")
    with pytest.raises(SynthesisError, match="columns of other types than the seed"):
        augment(seed, synthetic)


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
