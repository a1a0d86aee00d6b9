"""The share of tries that fired stands in the feature table."""

from __future__ import annotations

import datasets
import pytest

from fac_datasets.errors import ColumnError, OptionError
from fac_datasets.synthesis.sensitivity import with_sensitivity

TABLE = datasets.Dataset.from_dict({"feature_id": [3, 5, 8], "explanation": ["a", "b", "c"]})


def test_the_share_of_tries_that_fired_and_their_number() -> None:
    told = with_sensitivity(TABLE, {5: (1, 4), 8: (0, 2)})
    assert told["sensitivity"][:] == [None, 0.25, 0.0]
    assert told["tries"][:] == [0, 4, 2]
    assert told["explanation"] == TABLE["explanation"]


def test_a_feature_that_was_never_tried_has_no_share() -> None:
    assert with_sensitivity(TABLE, {3: (0, 0)})["sensitivity"][:] == [None, None, None]


def test_what_is_known_of_other_features_stays() -> None:
    told = with_sensitivity(with_sensitivity(TABLE, {3: (1, 1), 5: (1, 1)}), {5: (1, 2)})
    assert told["sensitivity"][:] == [1.0, 0.5, None]
    assert told["tries"][:] == [1, 2, 0]


def test_tries_of_features_that_the_table_lacks_change_nothing() -> None:
    assert with_sensitivity(TABLE, {40: (1, 1)})["tries"][:] == [0, 0, 0]


@pytest.mark.parametrize("tried", [(2, 1), (-1, 1)])
def test_more_hits_than_tries_are_refused(tried: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="feature 3 fired on"):
        with_sensitivity(TABLE, {3: tried})


def test_a_table_without_features_is_refused() -> None:
    with pytest.raises(ColumnError, match="feature_id"):
        with_sensitivity(TABLE.remove_columns("feature_id"), {})
