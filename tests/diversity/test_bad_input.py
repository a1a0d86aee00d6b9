"""What no measure takes, and what each makes of next to nothing."""

from __future__ import annotations

from typing import Any

import pytest

from fac_datasets import diversity
from fac_datasets.errors import ColumnError, DatasetError, OptionError, RowError
from tests.diversity.cases import OF_ROWS

OF_TEXTS = [
    diversity.distinct_n,
    diversity.ngram_entropy,
    diversity.pos_distinct_n,
    diversity.compression_ratio,
    diversity.near_duplicate_rate,
]


@pytest.mark.parametrize("measure", [*OF_TEXTS, *OF_ROWS], ids=lambda f: f.__name__)
def test_no_rows_are_an_error(measure: Any) -> None:
    with pytest.raises(DatasetError, match="at least one"):
        measure([])


@pytest.mark.parametrize("measure", OF_TEXTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("bad", [5, None, ["a"]])
def test_what_is_no_text_is_an_error_with_its_row(measure: Any, bad: object) -> None:
    with pytest.raises(RowError, match="row 1 holds"):
        measure(["a", bad])


@pytest.mark.parametrize("measure", [diversity.distinct_n, diversity.ngram_entropy, diversity.pos_distinct_n])
def test_texts_without_ngrams_are_0(measure: Any) -> None:
    for texts in (["", " "], ["one"]):
        values = measure(texts, n=7)
        assert {value for name, value in values.items() if name not in ("n_rows", "n_tokens")} == {0.0}


VALUES_OF_ONE = {
    "distinct_n": ("distinct_2", 1.0),
    "ngram_entropy": ("ngram_entropy_2", 0.0),
    "pos_distinct_n": ("pos_distinct_2", 1.0),
    "compression_ratio": ("compression_ratio", 4 / 24),
    "near_duplicate_rate": ("near_duplicate_rate", 0.0),
    "pair_cosdist": ("pair_cosdist", 0.0),
    "semantic_entropy": ("semantic_entropy_normalized", 0.0),
    "vendi_score": ("vendi_score", 1.0),
    "novelsum": ("novelsum", 0.0),
}


@pytest.mark.parametrize("measure", [*OF_TEXTS, *OF_ROWS], ids=lambda f: f.__name__)
def test_one_text_has_a_value(measure: Any) -> None:
    values = measure(["One."], **({"k": 1} if measure is diversity.semantic_entropy else {}))
    name, value = VALUES_OF_ONE[measure.__name__]
    assert values[name] == pytest.approx(value, abs=1e-6)
    assert (values["n_rows"], values["n_tokens"]) == (1, 2)


@pytest.mark.parametrize("measure", [*OF_TEXTS, *OF_ROWS], ids=lambda f: f.__name__)
def test_texts_that_are_all_empty_have_a_value(measure: Any) -> None:
    values = measure(["", ""], **({"k": 1} if measure is diversity.semantic_entropy else {}))
    expected = {"near_duplicate_rate": 1.0, "vendi_score": 1.0}.get(measure.__name__, 0.0)
    assert values[VALUES_OF_ONE[measure.__name__][0]] == pytest.approx(expected, abs=1e-6)
    assert (values["n_rows"], values["n_tokens"]) == (2, 0)


def test_options_without_meaning_are_errors() -> None:
    with pytest.raises(OptionError, match="the least is 2"):
        diversity.distinct_n(["a"], vocabulary_size=0)
    with pytest.raises(OptionError, match="density_power=0"):
        diversity.novelsum([[1.0]], neighbors=0)
    with pytest.raises(OptionError, match="neither 'embeddings' nor 'features'"):
        diversity.vendi_score([[1.0]], kernel="words")


@pytest.mark.parametrize("measure", [*OF_TEXTS, *OF_ROWS], ids=lambda f: f.__name__)
def test_one_text_in_place_of_a_list_is_an_error(measure: Any) -> None:
    with pytest.raises(ColumnError, match="put it into a list"):
        measure("hello")
