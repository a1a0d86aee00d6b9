"""The parts of the study of correlation: sets are equal in size and differ as they say, and figures are right."""

from __future__ import annotations

from dataclasses import replace

import datasets
import numpy as np
import pytest
from numpy.typing import NDArray

from fac_datasets import FeatureExtractor, coverage
from fac_datasets.errors import DatasetError
from fac_datasets.feature_space import FeatureSpace
from tests.benchmarks.correlation_measures import Anchor, Space, spaces
from tests.benchmarks.correlation_sets import (
    PARTS_OF,
    Chosen,
    Material,
    filled,
    is_of,
    light_variant,
    plans,
    repeats,
    training_set,
)
from tests.benchmarks.correlation_statistics import correlated, correlation, difference, given, scatter, within
from tests.benchmarks.detection import CATEGORIES
from tests.coverage.cases import DIGEST

N, D_SAE = 400, 50
BUDGETS = {True: 100, False: 400}
MODELS = ("kmeans", "novelsum")
"""Ways that need sentence embeddings of real texts."""


def space_of(maxima: NDArray[np.float64]) -> Space:
    feature_space = FeatureSpace.parse(f"org/model@{DIGEST}/layer3/chat/s@{DIGEST}/sae/max/>0/windows512")
    return Space("sae/trained", feature_space, maxima.astype(np.float32), {"1": np.ones(D_SAE, np.float32)})


@pytest.fixture(scope="module")
def material() -> Material:
    """Made-up rows: random words, one category each, which is known of nine rows in ten."""
    generator = np.random.default_rng(0)
    labels = np.arange(N) % 4 == 0
    texts = [" ".join(f"word{word}" for word in generator.integers(300, size=n)) for n in 1 + np.arange(N) % 17]
    planned = repeats(labels, np.array([len(text.split()) for text in texts]), BUDGETS, 75)
    texts += [light_variant(texts[one.row], generator) for one in planned]
    vectors = generator.normal(size=(len(texts), 5))
    categories = {name: np.where(generator.random(N) < 0.9, 0, -1).astype(np.int8) for name in CATEGORIES}
    for row in np.flatnonzero(labels):
        categories[CATEGORIES[row // 4 % 5]][row] = 1
    return Material(
        texts,
        np.concatenate([labels, labels[[one.row for one in planned]]]),
        np.array([len(text.split()) for text in texts]),
        BUDGETS,
        planned,
        lambda: datasets.Dataset.from_dict({"text": texts[:N]}),
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        categories,
    )


def sets_of(material: Material, *families: str) -> list[Chosen]:
    """The sets of some families, of one seed."""
    of = plans(by_category=True)
    return [training_set(material, variant, 1) for variant, plan in of.items() if plan.family in families]


def test_all_sets_have_equal_own_tokens_of_each_label(material: Material) -> None:
    sets = sets_of(
        material, "random", "left_out", "alone", "planted", "near_duplicates", "distinct_2", "entropy", "pair_cosdist"
    )
    assert len(sets) == 21
    for chosen in sets:
        assert len(set(chosen.rows.tolist())) == len(chosen.rows)
        for label, budget in BUDGETS.items():
            own = material.sizes[chosen.rows[material.labels[chosen.rows] == label]].sum()
            assert 0.98 * budget <= own <= budget, chosen.variant


def test_what_is_left_out_is_absent_and_what_nobody_labelled_has_left_the_pool(material: Material) -> None:
    sets = sets_of(material, "left_out")
    for chosen in sets:
        for name in chosen.variant.removeprefix("left_out_").split("_"):
            assert not is_of(material.categories, name)[chosen.rows].any()
            assert not (material.categories[name][chosen.rows] == -1).any()
    assert all(count > 0 for chosen in sets for count in chosen.left.values())


def test_toxic_rows_of_one_category_alone_are_of_no_other(material: Material) -> None:
    for chosen in sets_of(material, "alone"):
        toxic = chosen.rows[material.labels[chosen.rows]]
        found = {name for name in PARTS_OF if is_of(material.categories, name)[toxic].any()}
        assert f"alone_{found.pop()}" == chosen.variant
        assert not found


def test_planted_sets_hold_more_categories_in_equal_parts(material: Material) -> None:
    shares = []
    for chosen in sets_of(material, "planted"):
        toxic = chosen.rows[material.labels[chosen.rows]]
        own = [material.sizes[toxic[is_of(material.categories, name)[toxic]]].sum() for name in PARTS_OF]
        shares.append(sorted(int(share) for share in own if share))
    assert [len(share) for share in shares] == [1, 3, 5]
    assert all(share[-1] - share[0] <= 2 * material.sizes.max() for share in shares)


def test_near_duplicates_take_their_part_of_the_tokens(material: Material) -> None:
    for chosen in sets_of(material, "near_duplicates"):
        share = int(chosen.variant.rpartition("_")[2]) / 100
        alike = material.sizes[chosen.rows[chosen.rows >= material.n_pool]].sum()
        assert alike / sum(BUDGETS.values()) == pytest.approx(share, abs=0.1 * share)


def test_a_seed_draws_another_set_and_the_same_again(material: Material) -> None:
    first, again, other = (training_set(material, "entropy", seed).rows.tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("n", [1, 4])
def test_whole_clusters_are_left_out(material: Material, n: int) -> None:
    without = replace(material, categories={})
    chosen = training_set(without, f"left_out_{n}_clusters", 0)
    assert len({*without.clusters[chosen.rows].tolist()}) <= 8 - n


def test_a_set_that_its_rows_do_not_fill_is_an_error() -> None:
    with pytest.raises(DatasetError, match=r"2 rows fill 20 of 40 own tokens; make the sets smaller"):
        filled([0, 1], np.array([10, 10]), 40)


def test_a_light_variant_is_another_text_of_nearly_the_same_words() -> None:
    text = " ".join(f"word{place}" for place in range(40))
    for seed in range(20):
        varied = light_variant(text, np.random.default_rng(seed))
        assert varied != text
        assert len({*varied.lower().split()} & {*text.split()}) >= 37


def test_coverage_from_maxima_is_that_of_the_library() -> None:
    generator = np.random.default_rng(0)
    maxima = generator.exponential(size=(20, D_SAE)) * (generator.random((20, D_SAE)) < 0.2)
    space, texts, sizes = space_of(maxima), [f"Text {row}." for row in range(20)], np.full(20, 3)
    rows = np.array([1, 4, 5])
    columns = space.columns(texts, sizes)
    report = coverage(columns.select(rows), columns, threshold=1)
    anchor = Anchor.of(space, texts, np.zeros(20, dtype=bool), sizes)
    assert anchor.fac(rows) == {"fac/1/sae/trained/all": pytest.approx(report.fac)}


def test_relevant_features_are_those_that_fire_in_positive_rows_of_the_pool() -> None:
    maxima = np.zeros((60, D_SAE))
    maxima[:, 3] = 2
    maxima[::2, 7] = 2
    anchor = Anchor.of(space_of(maxima), ["Text."] * 60, np.arange(60) % 2 == 0, np.full(60, 3))
    assert anchor.relevant.tolist() == [7]
    assert anchor.fac(np.array([1])) == {"fac/1/sae/trained/all": 0.5, "fac/1/sae/trained/relevant": 0.0}


@pytest.mark.embedded
def test_maxima_are_those_of_the_extractor(tmp_path_factory: pytest.TempPathFactory) -> None:
    texts = ["Boil the rice in salted water.", "It rains."]
    folder = tmp_path_factory.mktemp("spaces")
    found = {space.name: space for space in spaces(texts, 2, folder)}
    for name in ("sae/trained", "relu/trained"):
        extractor = FeatureExtractor(activation=name.partition("/")[0], threshold=0, max_length=256, truncate=True)
        rows = datasets.Dataset.from_dict({"text": texts}).map(extractor, batched=True)
        for row, told in enumerate(rows):
            assert np.flatnonzero(found[name].maxima[row]).tolist() == told["feature_ids"]
        assert str(found[name].feature_space) == rows[0]["feature_space"]


VARIANTS = [name for name in "abcdefghij" for _ in range(3)]


def test_correlations_are_found_with_their_intervals() -> None:
    generator = np.random.default_rng(0)
    scores = np.repeat(np.arange(10.0), 3) + generator.normal(size=30)
    for kind in ("pearson", "spearman"):
        near = correlated(scores + 0.1 * generator.normal(size=30), scores, VARIANTS, kind)
        none = correlated(generator.normal(size=30), scores, VARIANTS, kind)
        assert near is not None and none is not None
        assert near["low"] > 0.95
        assert none["low"] < 0 < none["high"]
    assert correlated(np.ones(30), scores, VARIANTS, "pearson") is None


def test_spearman_sees_order_alone() -> None:
    values = np.arange(1.0, 8.0)
    assert correlation(values, np.exp(values), "spearman") == pytest.approx(1)
    assert correlation(values, np.exp(values), "pearson") < 0.9


def test_a_stronger_correlation_wins_whatever_its_sign() -> None:
    generator = np.random.default_rng(0)
    scores = np.repeat(np.arange(10.0), 3)
    found = difference(
        -scores + 0.1 * generator.normal(size=30), generator.normal(size=30), scores, VARIANTS, "pearson"
    )
    assert found is not None
    assert found["low"] > 0


def test_what_families_and_other_measures_tell_can_be_taken_away() -> None:
    values = np.array([1.0, 2.0, 11.0, 12.0])
    assert within(values, ["a", "a", "b", "b"]).tolist() == [-0.5, 0.5, -0.5, 0.5]
    assert given(3 * values + 1, values) == pytest.approx(0)


def test_scores_that_scatter_as_much_within_variants_are_uninformative() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=9)
    apart = scatter(noise + np.repeat([0.0, 10.0, 20.0], 3), VARIANTS[:9])
    assert (apart.verdict, scatter(np.tile([0.0, 5.0, 10.0], 3), VARIANTS[:9]).verdict) == (
        "informative",
        "uninformative",
    )
    assert apart.reliability > 0.95
    assert scatter(np.array([1.0, 3.0, 2.0, 4.0]), ["a", "a", "b", "b"]).deviation == pytest.approx(np.sqrt(2))
