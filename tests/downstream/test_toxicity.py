"""Toxicity detection: learned from labelled rows, measured on others, and the same with the same seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset

from fac_datasets.backbone.model import Backbone
from fac_datasets.downstream import toxicity_detection
from fac_datasets.errors import ColumnError, DownstreamError, OptionError
from tests.downstream.rows import labelled

pytest.importorskip("sklearn")


def detect(train: Dataset, out: Path, backbone: str, **options: Any) -> dict[str, Any]:
    """Trained on rows and measured on others of the same kind."""
    options = {"test": labelled(20), "seeds": (42, 43), **options}
    return toxicity_detection(train, out=out, backbone=backbone, **options)


def test_a_head_learns_what_its_states_tell_apart(tiny_backbone: str, tmp_path: Path) -> None:
    report = detect(labelled(), tmp_path, tiny_backbone)
    assert report["mean"]["auprc"] > 0.95
    assert report["mean"]["auroc"] > 0.95
    assert report["mean"]["f1"] > 0.8
    assert report["rows"] == {"train": {"rows": 40, "toxic": 20}, "test": {"rows": 20, "toxic": 10}}
    assert report["validation"].startswith("20% of train")
    assert report["chance"] == {"auprc": 0.5, "auroc": 0.5}
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_labels_that_say_nothing_give_chance(tiny_backbone: str, tmp_path: Path) -> None:
    rows = labelled(80).remove_columns("label").add_column("label", [i // 2 % 2 for i in range(80)])
    report = detect(rows, tmp_path, tiny_backbone)
    assert 0.2 < report["mean"]["auroc"] < 0.8


def test_the_same_seeds_give_the_same_figures(tiny_backbone: str, tmp_path: Path) -> None:
    train = labelled(60).remove_columns("label").add_column("label", [i % 3 // 2 for i in range(60)])
    first, second = (detect(train, tmp_path / name, tiny_backbone)["seeds"] for name in "ab")
    assert first == second
    assert first["42"] != first["43"]


@pytest.mark.slow
def test_lora_learns_too_and_gives_the_same_figures_twice(tiny_backbone: str, tmp_path: Path) -> None:
    first, second = (
        detect(labelled(), tmp_path / name, tiny_backbone, method="lora", seeds=(42,), max_length=32) for name in "ab"
    )
    assert first["mean"]["auroc"] > 0.8
    assert first["seeds"] == second["seeds"]


def test_seeds_and_runs_share_hidden_states(
    tiny_backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = detect(labelled(), tmp_path / "a", tiny_backbone, states=tmp_path / "states")
    monkeypatch.setattr(Backbone, "__init__", lambda *_, **__: pytest.fail("the model was loaded"))
    again = detect(labelled(), tmp_path / "b", tiny_backbone, states=tmp_path / "states", seeds=(42, 43, 44))
    assert again["seeds"]["42"] == first["seeds"]["42"]


def test_a_validation_set_that_is_given_leaves_all_training_rows(tiny_backbone: str, tmp_path: Path) -> None:
    report = detect(labelled(8), tmp_path, tiny_backbone, validation=labelled(12))
    assert report["rows"]["validation"] == {"rows": 12, "toxic": 6}
    assert report["validation"].startswith("given")


def test_what_cannot_be_used_is_counted(tiny_backbone: str, tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {"text": ["", None, "No label.", "Long " * 40], "label": [1, 0, None, 1]}
    train = Dataset.from_dict({name: [*labelled()[:][name], *rows[name]] for name in rows})
    report = detect(train, tmp_path, tiny_backbone, max_length=40)
    assert report["left_out"] == {"train": {"without text": 2, "without a label": 1}, "test": {}}
    assert report["cut"] == {"train": 1, "test": 0}


@pytest.mark.parametrize(
    ("labels", "label", "toxic"),
    [
        (["fine", "toxic"], "fine", "fine"),
        ([False, True], False, "False"),
        ([1, 7], "1", "1"),
        ([0.0, 1.0], None, "1.0"),
        ([False, True], None, "True"),
    ],
)
def test_labels_may_be_of_any_kind(
    labels: list[Any], label: Any, toxic: str, tiny_backbone: str, tmp_path: Path
) -> None:
    rows = labelled().map(lambda row: {"judged": labels[row["label"]]}).remove_columns("label")
    test = rows.select(range(17))
    report = detect(rows, tmp_path, tiny_backbone, test=test, label_column="judged", label=label, seeds=(1,))
    assert report["options"]["label"] == toxic
    assert report["rows"]["test"]["toxic"] == (8 if label is None else 9)


def test_class_labels_are_known_by_name(tiny_backbone: str, tmp_path: Path) -> None:
    train, test = (
        rows.cast_column("label", ClassLabel(names=["fine", "toxic"])) for rows in (labelled(), labelled(20))
    )
    report = detect(train, tmp_path / "a", tiny_backbone, test=test, seeds=(1,), label="fine")
    assert report["options"]["label"] == "fine"
    with pytest.raises(DownstreamError, match=r"labels \['fine', 'toxic'\]; say which means toxic"):
        detect(train, tmp_path / "b", tiny_backbone, test=test)


@pytest.mark.parametrize(
    "others",
    [
        labelled(20)
        .map(lambda row: {"label": 1 - row["label"]})
        .cast_column("label", ClassLabel(names=["toxic", "fine"])),
        labelled(20).map(lambda row: {"label": ["fine", "toxic"][row["label"]]}),
    ],
    ids=["in another order", "as texts"],
)
def test_class_labels_of_several_sets_are_compared_by_name(others: Dataset, tiny_backbone: str, tmp_path: Path) -> None:
    train = labelled().cast_column("label", ClassLabel(names=["fine", "toxic"]))
    report = detect(train, tmp_path, tiny_backbone, validation=others, test=others, seeds=(1,), label="toxic")
    assert report["mean"]["auroc"] > 0.95
    assert report["mean"]["f1"] > 0.8


def test_numbers_do_not_go_with_names(tiny_backbone: str, tmp_path: Path) -> None:
    test = labelled(20).cast_column("label", ClassLabel(names=["fine", "toxic"]))
    with pytest.raises(DownstreamError, match=r"train has \['0', '1'\]; test has \['fine', 'toxic'\].*called alike"):
        detect(labelled(), tmp_path, tiny_backbone, test=test)


def test_a_class_label_of_minus_one_is_none(tiny_backbone: str, tmp_path: Path) -> None:
    rows = labelled().map(lambda row, i: {"label": -1 if i < 3 else row["label"]}, with_indices=True)
    report = detect(rows.cast_column("label", ClassLabel(names=["0", "1"])), tmp_path, tiny_backbone, label=1)
    assert report["left_out"]["train"] == {"without a label": 3}
    assert report["rows"]["train"] == {"rows": 37, "toxic": 19}


def test_a_label_that_no_row_has_is_refused(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(DownstreamError, match=r"no row has the label 'rude'; the labels are \['0', '1'\]"):
        detect(labelled(), tmp_path, tiny_backbone, label="rude")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0] * 40, "1 different labels"),
        ([0, 1, 2, 1] * 10, "3 different labels"),
        (["a", "b"] * 20, "say which means toxic"),
    ],
)
def test_other_labels_than_two_classes_are_refused(
    labels: list[Any], said: str, tiny_backbone: str, tmp_path: Path
) -> None:
    rows = labelled().remove_columns("label").add_column("label", labels)
    with pytest.raises(DownstreamError, match=said):
        detect(rows, tmp_path / "out", tiny_backbone, test=rows)
    assert not (tmp_path / "out").exists()


def test_a_set_of_one_class_is_named(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(DownstreamError, match="test has 0 rows with the label '1' and 10 with the other"):
        detect(labelled(), tmp_path, tiny_backbone, test=labelled(20).filter(lambda row: row["label"] == 0))


def test_fewer_rows_than_a_batch_are_refused(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(DownstreamError, match="train has 9 rows to use of 9, and at least 10 are needed"):
        detect(labelled(9), tmp_path, tiny_backbone)


def test_a_class_that_cannot_be_split_is_refused(tiny_backbone: str, tmp_path: Path) -> None:
    rows = labelled().select([*range(0, 40, 2), 1])
    with pytest.raises(DownstreamError, match="1 toxic and 20 other rows"):
        detect(rows, tmp_path / "out", tiny_backbone)
    assert not (tmp_path / "out" / "run.json").exists()


def test_labels_have_to_be_there(tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="--label-column"):
        detect(labelled().rename_column("label", "verdict"), tmp_path, tiny_backbone)
    with pytest.raises(ColumnError, match="test has no column verdict"):
        detect(labelled().rename_column("label", "verdict"), tmp_path, tiny_backbone, label_column="verdict")


@pytest.mark.parametrize(("name", "value"), [("method", "magic"), ("max_rows", 0), ("pooling", "max")])
def test_options_without_meaning_are_refused(name: str, value: Any, tiny_backbone: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=str(value)):
        detect(labelled(), tmp_path, tiny_backbone, **{name: value})
