"""Texts with the label that was asked for, in the type of the seed's labels."""

from __future__ import annotations

import datasets
import pytest

from fac_datasets.errors import ColumnError
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.kinds.labelled_text import least_asked
from fac_datasets.synthesis.samples import Rejected, Sample
from tests.synthesis.kinds.seeds import INSTRUCTIONS, LABELLED, TEXTS

LABELS = {
    "class label": (0, 1),
    "0 and 1": (0, 1),
    "small integers": (0, 1, 2),
    "boolean": (False, True),
    "strings": ("a", "b", "c"),
}


@pytest.mark.parametrize("name", LABELLED)
def test_the_label_is_that_of_the_row_that_was_asked_for(name: str) -> None:
    kind = recognise(LABELLED[name])
    assert kind.labels == LABELS[name]
    for label in kind.labels:
        found = kind.read("Plums are blue.", True, Sample({"text": "Pears."}, label))
        assert isinstance(found, Sample)
        written = datasets.Dataset.from_list([kind.cells(found)], features=kind.features)
        assert written[0]["label"] == label
        assert type(written[0]["label"]) is type(LABELLED[name][0]["label"])


def test_labels_are_called_by_their_names() -> None:
    assert recognise(LABELLED["class label"]).label_name(1) == "vivid"
    assert recognise(LABELLED["boolean"]).label_name(True) == "True"


def test_a_label_that_the_generator_states_has_to_be_the_one_asked_for() -> None:
    kind = recognise(LABELLED["class label"])
    like = Sample({"text": "Pears."}, 1)
    assert kind.read("Plums are blue.\nLabel: Vivid", True, like) == Sample({"text": "Plums are blue."}, 1)
    assert kind.read("Plums are blue.\nLabel: dull", True, like) == Rejected("another label than asked for")
    assert kind.read("Plums are blue.\n**Label:** sweet", True, like) == Rejected("unknown label")
    assert kind.read('{"text": "Plums are blue.", "label": "dull"}', True, like).__class__ is Rejected


def test_a_column_of_labels_can_be_named() -> None:
    kind = recognise(TEXTS["text"], label_column="topic")
    assert (kind.name, kind.labels) == ("labelled-text", ("fruit",))
    chats = INSTRUCTIONS["prompt and response"].add_column("toxic", [0, 1, 0])
    kind = recognise(chats, column="prompt", label_column="toxic")
    assert (kind.name, kind.written, kind.left_empty) == ("labelled-text", ("prompt", "toxic"), ("id", "response"))


def test_one_class_is_told_of() -> None:
    told = "labels: fruit; with one class every synthetic row gets it, and a classifier learns nothing from them"
    assert told in recognise(TEXTS["text"], label_column="topic").in_words


def test_a_row_without_a_label_is_no_example() -> None:
    seed = datasets.Dataset.from_dict({"text": ["Pears.", "Plums."], "label": [None, "b"]})
    kind = recognise(seed)
    assert [kind.sample_of(row) for row in seed] == [None, Sample({"text": "Plums."}, "b")]


@pytest.mark.parametrize("labels", [[0.25, 0.5], [[0], [1]], [None, None]])
def test_what_is_no_label_is_refused(labels: list[object]) -> None:
    seed = datasets.Dataset.from_dict({"text": ["Pears.", "Plums."], "label": labels})
    with pytest.raises(ColumnError, match=r"column 'label' holds no labels that can be asked for .*--kind text"):
        recognise(seed)
    assert recognise(seed, "text").name == "text"


def test_a_missing_column_of_labels_is_named() -> None:
    with pytest.raises(ColumnError, match=r"there is no column 'mood' of labels; the columns are \['text', 'topic'\]"):
        recognise(TEXTS["text"], label_column="mood")


def test_classes_stay_balanced() -> None:
    asked: dict[object, int] = {}
    for _ in range(6):
        label = least_asked(("a", "b", "c"), asked)
        asked[label] = asked.get(label, 0) + 1
    assert asked == {"a": 2, "b": 2, "c": 2}
