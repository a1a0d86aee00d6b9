"""Names of features: people have the last word, and reports know them from what is at hand."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets import coverage
from fac_datasets.coverage.names import in_words, reviewed_name
from fac_datasets.errors import ColumnError, FeatureSpaceMismatch, OptionError
from fac_datasets.sae.loading import find_sae
from tests.coverage.cases import DIGEST, space, table


@pytest.mark.parametrize(
    ("review_fits", "review_explanation", "name"),
    [
        (None, None, "by a model"),
        ("yes", None, "by a model"),
        ("maybe", None, "by a model"),
        ("no", None, None),
        ("cannot tell", None, None),
        ("no", "by people", "by people"),
        ("maybe", "by people", "by people"),
    ],
)
def test_people_have_the_last_word_on_a_name(
    review_fits: str | None, review_explanation: str | None, name: str | None
) -> None:
    row = {"explanation": "by a model", "review_fits": review_fits, "review_explanation": review_explanation}
    assert reviewed_name(row) == name
    assert reviewed_name({"explanation": "by a model"}) == "by a model"


def named_table(feature_space: str) -> datasets.Dataset:
    span = {"text": "a cup of tea", "start": 9, "end": 12, "activation": 3.0, "row": 0, "cut": False}
    return datasets.Dataset.from_list(
        [
            {"feature_id": 3, "feature_space": feature_space, "explanation": "tea", "spans": [span]},
            {"feature_id": 4, "feature_space": feature_space, "explanation": None, "spans": [span]},
            {"feature_id": 5, "feature_space": feature_space, "explanation": "cups", "spans": []},
        ]
    )


DATASET, ANCHOR = table([{1: 3.0}]), table([{1: 3.0, 3: 3.0, 4: 3.0}, {4: 3.0, 6: 3.0}])


def test_missing_features_are_a_dataset_with_names_and_spans() -> None:
    report = coverage(DATASET, ANCHOR, threshold=1, feature_names=named_table(space("q50")))
    span = {"text": "a cup of tea", "start": 9, "end": 12}
    assert report.missing_features().to_list() == [
        {"feature_id": 4, "name": None, "anchor_rows": 2, "span": span},
        {"feature_id": 3, "name": "tea", "anchor_rows": 1, "span": span},
        {"feature_id": 6, "name": None, "anchor_rows": 1, "span": None},
    ]
    assert report.to_dict()["names"] == {"3": "tea"}


def test_a_dataset_that_lacks_nothing_has_no_missing_features() -> None:
    missing = coverage(ANCHOR, ANCHOR, threshold=1).missing_features()
    assert len(missing) == 0
    assert missing.column_names == ["feature_id", "name", "anchor_rows", "span"]


def test_names_come_by_id_or_from_the_table_of_relevant_features() -> None:
    by_id = coverage(DATASET, ANCHOR, threshold=1, feature_names={3: "tea", np.int64(4): "milk"})
    assert by_id.missing_features()["name"] == ["milk", "tea", None]
    judged_table = named_table(space()).add_column("evidence", [["review"], [], []])
    assert coverage(DATASET, ANCHOR, threshold=1, features=judged_table).missing_features()["name"] == ["tea"]
    # What is given has the last word.
    given = coverage(DATASET, ANCHOR, threshold=1, features=judged_table, feature_names={3: "leaves"})
    assert given.missing_features()["name"] == ["leaves"]


def test_names_of_another_space_are_refused() -> None:
    with pytest.raises(FeatureSpaceMismatch):
        coverage(DATASET, ANCHOR, threshold=1, feature_names=named_table(space(layer=4)))


@pytest.mark.parametrize("wrong", ["tea", ["tea"], {"3": "tea"}, {3: None}, {True: "tea"}, 3])
def test_names_that_are_none_are_refused_before_rows_are_read(wrong: Any) -> None:
    with pytest.raises(OptionError, match="feature_names"):
        coverage(DATASET, ANCHOR, threshold=1, feature_names=wrong)


def test_a_table_without_names_is_refused() -> None:
    with pytest.raises(ColumnError, match="'explanation'"):
        coverage(DATASET, ANCHOR, threshold=1, feature_names=named_table(space()).remove_columns("explanation"))


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"feature_id": ["3"]}, "'feature_id' holds"),
        ({"feature_id": [None]}, "'feature_id' holds"),
        ({"feature_id": [3, None], "explanation": ["tea", "milk"]}, "'feature_id' is null"),
        ({"explanation": [7]}, "'explanation' holds"),
        ({"spans": [["a cup of tea"]]}, "'spans' holds"),
        ({"feature_space": [None]}, "'feature_space' is null"),
    ],
)
def test_a_table_that_is_none_of_features_is_refused(columns: dict[str, list[Any]], named: str) -> None:
    odd = datasets.Dataset.from_dict({"feature_id": [3], "explanation": ["tea"], **columns})
    with pytest.raises(ColumnError, match=named):
        coverage(DATASET, ANCHOR, threshold=1, feature_names=odd)


def test_a_table_of_names_need_not_say_of_which_space_it_is() -> None:
    bare = named_table(space()).select_columns(["feature_id", "explanation"])
    assert coverage(DATASET, ANCHOR, threshold=1, feature_names=bare).missing_features()["name"] == [None, "tea", None]


def test_only_features_of_the_embedded_sae_have_names_that_ship() -> None:
    assert coverage(DATASET, ANCHOR, threshold=1).missing_features()["name"] == [None] * 3
    embedded = space().replace(f"s@{DIGEST}", f"s@{find_sae('embedded').digest}")
    dataset, anchor = (table(rows, embedded) for rows in ([{1: 3.0}], [{1: 3.0, 3: 3.0}]))
    (missing,) = coverage(dataset, anchor, threshold=1).missing_features()
    assert missing["feature_id"] == 3
    assert missing["name"]


def test_a_name_is_shown_on_one_line_without_control_characters_and_not_long() -> None:
    shown = in_words([1, 2], {1: "a\n\x1b[31mb", 2: "x" * 100})
    assert shown == f"1 (a [31mb), 2 ({'x' * 80}…)"
    assert in_words(range(12), {}) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
