"""The provenance of synthetic rows stands beside the user's columns, and is told apart from them."""

from __future__ import annotations

import datasets
import pytest
from datasets import Features, Value

from fac_datasets.errors import SynthesisError
from fac_datasets.synthesis.provenance import (
    PROVENANCE,
    beside,
    contents_of,
    has_provenance,
    provenance_features,
    provenance_of,
    synthetic_features,
    synthetic_row,
)

COLUMNS = Features({"method": Value("int64"), "text": Value("string"), "synthetic_method": Value("string")})
ORIGIN = {name: "x" if kind.dtype == "string" else 1 for name, kind in provenance_features().items()}
CELLS = {"method": 7, "text": "Pears.", "synthetic_method": "by hand"}


def rows() -> datasets.Dataset:
    return datasets.Dataset.from_list([synthetic_row(CELLS, ORIGIN)], features=synthetic_features(COLUMNS))


def test_names_that_a_user_has_too_get_a_prefix_until_they_are_free() -> None:
    assert beside(COLUMNS)["method"] == "synthetic_synthetic_method"
    assert beside(["text"]) == {name: name for name in PROVENANCE}


def test_rows_fall_apart_into_what_they_were_made_of() -> None:
    assert contents_of(rows()).to_list() == [CELLS]
    assert provenance_of(rows()).to_list() == [ORIGIN]
    assert provenance_of(rows()).features == provenance_features()


def test_columns_that_are_added_later_are_not_the_users() -> None:
    reviewed = rows().add_column("accepted", [True])
    assert contents_of(reviewed).column_names == list(COLUMNS)


def test_rows_without_provenance_are_refused() -> None:
    plain = datasets.Dataset.from_dict({"text": ["Pears."], "synthetic_id": ["1"]})
    assert not has_provenance(plain) and has_provenance(rows())
    with pytest.raises(SynthesisError, match=r"lack the columns \['target_feature'"):
        contents_of(plain)


def test_an_id_of_the_users_own_is_refused() -> None:
    with pytest.raises(SynthesisError, match="has a column 'synthetic_id' of its own"):
        synthetic_features(Features({"synthetic_id": Value("string")}))
