"""Features as rows of a kernel."""

from __future__ import annotations

import math
from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets import diversity
from fac_datasets.errors import FeatureSpaceMismatch, RowError
from fac_datasets.features.extractor import FeatureExtractor
from tests.tiny import TEXTS, TINY_FEATURES


def test_vendi_score_of_features_weighs_sets_of_ids() -> None:
    values = diversity.vendi_score([[1, 2], [1, 2], [7, 9]], kernel="features")
    assert values["vendi_score"] == pytest.approx(math.exp(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))))


def test_vendi_score_of_feature_columns_weighs_activations(tiny_extractor: FeatureExtractor) -> None:
    rows = datasets.Dataset.from_dict({"text": TEXTS[:5]}).map(tiny_extractor, batched=True)
    dense = np.zeros((5, TINY_FEATURES))
    for row, (ids, values) in enumerate(zip(rows["feature_ids"], rows["feature_activations"], strict=True)):
        dense[row, ids] = values
    found = diversity.vendi_score(rows, kernel="features")["vendi_score"]
    assert found == pytest.approx(diversity.vendi_score(dense)["vendi_score"], rel=1e-5)


def test_rows_of_two_feature_spaces_are_an_error(tiny_extractor: FeatureExtractor) -> None:
    rows = datasets.Dataset.from_dict({"text": TEXTS[:2]}).map(tiny_extractor, batched=True)
    spaces = [rows["feature_space"][0], rows["feature_space"][0].replace("/chat/", "/raw/")]
    mixed = rows.remove_columns("feature_space").add_column("feature_space", spaces)
    with pytest.raises(FeatureSpaceMismatch, match="two different spaces"):
        diversity.vendi_score(mixed, kernel="features")


def test_a_column_of_feature_ids_is_lists() -> None:
    column = datasets.Dataset.from_dict({"ids": [[1, 2], [3]]})["ids"]
    assert diversity.vendi_score(column, kernel="features")["vendi_score"] == pytest.approx(2)


def test_an_id_that_is_repeated_counts_once() -> None:
    assert diversity.vendi_score([[1, 1], [1]], kernel="features")["vendi_score"] == pytest.approx(1)


@pytest.mark.parametrize("rows", [["a"], [[1.5]], [[-1]], [1, 2]])
def test_what_are_no_feature_ids_is_an_error(rows: Any) -> None:
    with pytest.raises(RowError, match="row 0 is no list of feature ids"):
        diversity.vendi_score(rows, kernel="features")


def test_rows_without_features_are_an_error() -> None:
    with pytest.raises(RowError, match="row 1 has no features"):
        diversity.vendi_score([[1], [], [2]], kernel="features")
