"""Reward modelling: learned from pairs in every form, and measured per subset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from fac_datasets.downstream import reward_modelling
from fac_datasets.errors import ColumnError, DownstreamError, OptionError
from tests.downstream.rows import pairs
from tests.synthesis.kinds.seeds import PAIRS

pytest.importorskip("trl")


def model(train: Dataset, out: Path, backbone: str, **options: Any) -> dict[str, Any]:
    """Trained on pairs and measured on others of the same kind."""
    options = {"test": pairs(12), "seeds": (42,), **options}
    return reward_modelling(train, out=out, backbone=backbone, **options)


def test_a_head_learns_what_its_states_tell_apart(tiny_backbone: str, tmp_path: Path) -> None:
    report = model(pairs(), tmp_path, tiny_backbone)
    assert report["mean"] == {"accuracy": 1.0, "accuracy/chat": 1.0, "accuracy/safety": 1.0}
    assert report["subsets"] == {"chat": 8, "safety": 4}
    assert report["rows"] == {"train": 48, "test": 12}
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_subsets_are_measured_by_themselves(tiny_backbone: str, tmp_path: Path) -> None:
    turned = pairs(12)[:]
    other = {side: turned["rejected" if side == "chosen" else "chosen"] for side in ("chosen", "rejected")}
    test = Dataset.from_dict({**turned, **other, "subset": ["turned"] * 12})
    both = Dataset.from_list([*pairs(4), *test])
    report = model(pairs(), tmp_path, tiny_backbone, test=both)
    assert report["mean"]["accuracy/turned"] == 0
    assert report["mean"]["accuracy/chat"] == 1
    assert report["mean"]["accuracy"] == 4 / 16


def test_the_same_seeds_give_the_same_figures(tiny_backbone: str, tmp_path: Path) -> None:
    train = pairs(16).remove_columns("rejected").add_column("rejected", pairs(19)[:]["chosen"][3:])
    test = pairs(16).remove_columns("rejected").add_column("rejected", pairs(18)[:]["chosen"][2:])
    first, second = (model(train, tmp_path / name, tiny_backbone, test=test, seeds=(42, 43))["seeds"] for name in "ab")
    assert first == second


@pytest.mark.slow
def test_lora_learns_too_and_gives_the_same_figures_twice(tiny_backbone: str, tmp_path: Path) -> None:
    first, second = (model(pairs(), tmp_path / name, tiny_backbone, method="lora")["seeds"] for name in "ab")
    assert first == second
    assert 0 <= first["42"]["accuracy"] <= 1


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_read_in_every_form(name: str, tiny_backbone: str, tmp_path: Path) -> None:
    rows = Dataset.from_list([row for row in PAIRS[name] for _ in range(3)], features=PAIRS[name].features)
    report = model(rows, tmp_path, tiny_backbone, test=PAIRS[name])
    assert report["rows"] == {"train": len(rows), "test": len(PAIRS[name])}
    assert list(report["mean"]) == ["accuracy"]


def test_pairs_that_cannot_be_used_are_counted(tiny_backbone: str, tmp_path: Path) -> None:
    chosen = ["Yes.", "Same  answer", "", None, "Long " * 90]
    rejected = ["No.", "same answer", "No.", "No.", "No."]
    bad = Dataset.from_dict({"prompt": ["Why?"] * 5, "chosen": chosen, "rejected": rejected, "subset": ["chat"] * 5})
    test = Dataset.from_list([*pairs(6), *bad])
    report = model(pairs(), tmp_path, tiny_backbone, test=test, max_length=128)
    assert report["rows"]["test"] == 7
    assert report["left_out"] == {
        "train": {},
        "test": {"equal sides": 1, "without text": 2, "longer than max_length": 1},
    }


def test_transcripts_that_part_early_are_counted(tiny_backbone: str, tmp_path: Path) -> None:
    sides = {
        "chosen": [f"\n\nHuman: {i}?\n\nAssistant: Yes.\n\nHuman: Why?\n\nAssistant: So." for i in range(10)],
        "rejected": [
            f"\n\nHuman: {i}?\n\nAssistant: {'No' if i > 8 else 'Yes'}.\n\nHuman: Why?\n\nAssistant: Ask."
            for i in range(10)
        ],
    }
    report = model(Dataset.from_dict(sides), tmp_path, tiny_backbone)
    assert report["left_out"]["train"] == {"sides that answer different prompts": 1}


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [(7, 12, "train has 7 pairs to use of 7, and at least 8"), (12, 0, "test has 0 pairs to use of 0")],
)
def test_too_few_pairs_are_refused(train: int, test: int, said: str, tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(DownstreamError, match=said):
        model(pairs(train), tmp_path / "out", tiny_backbone, test=pairs(12).select(range(test)))
    assert not (tmp_path / "out").exists()


def test_columns_of_pairs_and_subsets_have_to_be_there(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="train has no column 'rejected'; looked for: 'chosen' and 'rejected' among"):
        model(pairs().remove_columns("rejected"), tmp_path, tiny_backbone)
    with pytest.raises(ColumnError, match=r"test has no column 'topic'.*--subset-column"):
        model(pairs(), tmp_path, tiny_backbone, subset_column="topic")


def test_a_method_without_meaning_is_refused(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="magic"):
        model(pairs(), tmp_path, tiny_backbone, method="magic")
