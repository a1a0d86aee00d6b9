"""N-grams and words, compared with those of nltk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fac_datasets import diversity
from fac_datasets.diversity.ngrams import words
from fac_datasets.errors import OptionError, RowError
from tests.diversity.cases import nltk, reference_ngrams
from tests.tiny import TEXTS


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_ngrams_are_those_of_nltk(n: int) -> None:
    texts = [*TEXTS, "", "One.", "Zoë's co-op, 3.14 -- naïve!"]
    grams = reference_ngrams(texts, n)
    flat = [gram for row in grams for gram in row]
    values = diversity.distinct_n(texts, n)
    assert values[f"distinct_{n}"] == len(set(flat)) / len(flat)
    assert values[f"distinct_{n}_per_text"] == pytest.approx(
        np.mean([len(set(row)) / len(row) for row in grams if row])
    )
    assert values["n_tokens"] == sum(len(nltk.wordpunct_tokenize(text)) for text in texts)
    assert values["n_rows"] == len(texts)


def test_a_text_that_is_not_unicode_is_an_error() -> None:
    with pytest.raises(RowError, match="row 1 is not valid Unicode"):
        diversity.distinct_n(["fine", "broken \ud800"])


def test_a_tokenizer_of_one_s_own_replaces_the_words() -> None:
    values = diversity.distinct_n(["ab", "ba"], [1, 2], tokenize=list)
    assert (values["distinct_1"], values["distinct_2"], values["n_tokens"]) == (0.5, 1.0, 4)
    assert (
        diversity.ngram_entropy(["12", "21"], 1, tokenize=lambda text: [int(c) for c in text])["ngram_entropy_1"] == 1
    )


def test_words_are_lower_cased_runs_of_letters_or_signs() -> None:
    assert words("Don't  panic, Zoë_1!?\n") == ["don", "'", "t", "panic", ",", "zoë_1", "!?"]
    assert words("हिन्दी e\u0301t ½") == ["हिन्दी", "e\u0301t", "½"]
    assert words(" \u2003 ") == []


def test_texts_are_read_in_parts_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    from fac_datasets.diversity import ngrams

    whole = diversity.distinct_n(TEXTS, [1, 2, 3])
    monkeypatch.setattr(ngrams, "_TEXTS_AT_ONCE", 2)
    assert diversity.distinct_n(TEXTS, [1, 2, 3]) == whole


@pytest.mark.parametrize("n", [0, -1, [], [2, 0], "2", 1.5])
def test_what_is_no_length_is_an_error(n: Any) -> None:
    with pytest.raises(OptionError, match="the least is 1"):
        diversity.distinct_n(["a"], n)


def test_n_beyond_every_text_takes_no_time() -> None:
    assert diversity.distinct_n(["a b"], 10**12)[f"distinct_{10**12}"] == 0


def test_tokens_of_two_kinds_are_an_error() -> None:
    def mixed(text: str) -> Any:
        return [text, 1]

    with pytest.raises(OptionError, match="all be texts, or all be whole numbers"):
        diversity.distinct_n(["a"], tokenize=mixed)


@pytest.mark.parametrize("measure", [diversity.distinct_n, diversity.ngram_entropy, diversity.pos_distinct_n])
@pytest.mark.parametrize("n", [b"x", bytearray(b"x"), {1}, frozenset([1, 2]), {1: 2}, "1", [], [0], [True]])
def test_what_is_no_length_and_no_list_of_lengths_is_an_error(measure: Any, n: Any) -> None:
    with pytest.raises(OptionError, match="is no length of n-grams and no list of lengths"):
        measure(["A text."], n=n)
