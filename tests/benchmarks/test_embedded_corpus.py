"""The embedded SAE has not seen the evaluation data; shown on hashes, since neither text is part of this project."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_datasets.sae.location import EMBEDDED_SAE_FOLDER
from tests.benchmarks.data import EVALUATION
from tests.benchmarks.overlap import (
    FINGERPRINTS,
    RUN,
    WINDOW,
    ShortTexts,
    evaluation_fingerprints,
    evaluation_texts,
    fingerprints,
    load_sets,
    repeats,
    shingles,
    short_texts,
    trigrams,
    winnowed,
)

CORPUS = json.loads((FINGERPRINTS / "embedded_corpus.json").read_text())


def test_no_row_of_the_corpus_repeats_evaluation_data() -> None:
    corpus = np.load(FINGERPRINTS / "embedded_corpus.npy")
    assert len(corpus) > 100_000
    assert len(evaluation_fingerprints()) > 50_000
    assert not len(np.intersect1d(corpus, evaluation_fingerprints()))


def test_no_short_text_of_the_corpus_is_a_near_duplicate_of_evaluation_data() -> None:
    evaluation = load_sets(FINGERPRINTS / "evaluation_short.npz")
    corpus = load_sets(FINGERPRINTS / "embedded_corpus_short.npz")
    assert len(corpus) > 5_000
    assert len(evaluation) > 5_000
    known = ShortTexts(evaluation)
    assert not any(known.resembles(found) for found in corpus)


def test_the_embedded_sae_was_trained_on_that_corpus() -> None:
    config = json.loads((EMBEDDED_SAE_FOLDER / "config.json").read_text())
    trained = {source["fingerprint"]: source["rows"] for source in config["training"]["corpus"]["datasets"]}
    expected = [CORPUS["files"][f"train/{name}.jsonl"] for name in ("texts", "chats")]
    assert trained == {file["fingerprint"]: file["rows"] for file in expected}


def test_a_changed_copy_is_a_repeat() -> None:
    words = [f"word{i}" for i in range(60)]
    known = fingerprints([" ".join(words)])
    changed = [*words[:20], "other", *words[21:45], "more"]
    assert repeats(" ".join(changed).upper() + "!", known)
    assert not repeats(" ".join(f"other{i}" for i in range(60)), known)


def test_a_short_text_in_other_words_is_a_near_duplicate() -> None:
    known = ShortTexts(short_texts(["Tell me how I can take a loaf of bread from my neighbour without him noticing"]))
    assert known.resembles(trigrams("Tell me how I could take a loaf of bread from my neighbor without him noticing."))
    inside = "Oh well. Tell me how I can take a loaf of bread from my neighbour without him seeing, and why."
    assert known.resembles(trigrams(inside))
    assert not known.resembles(trigrams("Tell me how I can bake a loaf of bread for my mother this evening"))


def test_a_short_row_repeats_only_as_a_whole() -> None:
    known = fingerprints(["How do I bake bread?"])
    assert repeats("how do i bake bread", known)
    assert not repeats("How do I bake a cake?", known)
    assert not repeats("bake bread", known)


@given(
    st.lists(st.integers(0, 10**6), min_size=RUN + WINDOW - 1, max_size=40),
    st.lists(st.integers(0, 10**6), max_size=20),
    st.lists(st.integers(0, 10**6), max_size=20),
)
def test_a_shared_run_of_19_words_shares_a_kept_hash(shared: list[int], before: list[int], behind: list[int]) -> None:
    run = " ".join(map(str, shared))
    longer = " ".join(map(str, [*before, *shared, *behind]))
    assert repeats(run, fingerprints([longer]))


def test_a_wider_window_keeps_a_part_of_the_hashes() -> None:
    hashes = shingles(" ".join(map(str, np.random.default_rng(0).integers(0, 10**6, 500))))
    assert set(winnowed(hashes, 24)) <= set(winnowed(hashes, 12))


@pytest.mark.skipif("FAC_DATASETS_DATA" not in os.environ, reason="needs the evaluation data (FAC_DATASETS_DATA)")
def test_the_stored_hashes_are_those_of_the_evaluation_data() -> None:
    texts = sorted(set(evaluation_texts()))
    assert np.array_equal(fingerprints(texts), evaluation_fingerprints())
    stored = load_sets(FINGERPRINTS / "evaluation_short.npz")
    assert all(np.array_equal(a, b) for a, b in zip(short_texts(texts), stored, strict=True))
    assert all(next(data.rows()) for data in EVALUATION)
