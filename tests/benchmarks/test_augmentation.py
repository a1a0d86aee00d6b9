"""What the study of augmentation computes, on made-up rows: draws, labels, intervals, samples for empty clusters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest

from fac_datasets.coverage.selection import select_covering_subset
from fac_datasets.downstream.measures import auprc
from fac_datasets.errors import LimitReached
from fac_datasets.generation.base import Completion, Request, TextGenerator
from fac_datasets.synthesis.kinds import recognise
from fac_datasets.synthesis.samples import Sample
from tests.benchmarks.added_samples import Labeller, human_rows, sizes_of, trained_on, unseen
from tests.benchmarks.kmeans_arm import OUTSIDE, Gaps, examples, kmeans
from tests.benchmarks.record import landed
from tests.benchmarks.selected_rows import covering_rows
from tests.benchmarks.study_augmentation import DRAWS, bootstrapped, difference
from tests.benchmarks.synthesis_arms import Budget
from tests.coverage.cases import table


def test_a_prompt_is_toxic_and_left_out_by_the_labels_of_all_rows_with_its_text() -> None:
    labelled = [
        {"prompt": "a", "H": 1, "V": 0},
        {"prompt": "b", "H": 0},
        {"prompt": "a", "V": 1},
        {"prompt": "c", "H": 1},
        {"prompt": "unused", "V": 1},
    ]
    rows = human_rows(["b", "a", "c"], labelled)
    assert rows.toxic.tolist() == [False, True, True]
    assert rows.left_out.tolist() == [False, True, False]


def test_texts_that_repeat_others_but_for_case_and_spaces_are_left_out_of_the_test_set() -> None:
    assert unseen(["New.", "Seen  before.", "new.", "Other."], ["seen before."]) == [0, 3]


def test_an_arm_ends_with_all_the_samples_that_it_has() -> None:
    assert sizes_of(216) == [0, 50, 100, 200, 216]
    assert sizes_of(49) == [0, 49]
    assert sizes_of(571) == [0, 50, 100, 200, 400]


def test_a_seed_draws_samples_and_smaller_draws_are_parts_of_larger_ones() -> None:
    start = np.zeros((20, 1), np.float32), np.arange(20) % 2 == 0
    added = np.arange(1, 41, dtype=np.float32)[:, None], np.ones(40, dtype=bool)

    def drawn(size: int, seed: int) -> list[float]:
        found: list[float] = trained_on(start, added, size, seed)[0][20:, 0].tolist()
        return found

    assert drawn(5, 0) == drawn(10, 0)[:5]
    assert drawn(5, 0) != drawn(5, 1)
    assert len(set(drawn(40, 0))) == 40


def test_a_fifth_of_seed_and_samples_chooses_the_penalty_and_is_not_fitted_on() -> None:
    start = np.zeros((30, 1), np.float32), np.arange(30) % 3 == 0
    added = np.ones((20, 1), np.float32), np.ones(20, dtype=bool)
    _, labels, fit, held = trained_on(start, added, 20, 0)
    assert sorted([*fit, *held]) == list(range(50))
    assert len(held) == 10
    # In proportion.
    assert labels[held].sum() == labels.sum() / 5


def test_the_labeller_labels_as_the_rows_that_it_knows() -> None:
    generator = np.random.default_rng(0)
    labels = generator.random(200) < 0.3
    states = generator.normal(size=(200, 4)).astype(np.float32)
    states[:, 0] += 6 * labels
    labeller = Labeller.of(states[:150], labels[:150])
    assert (labeller.labels(states[150:]) == labels[150:]).mean() > 0.95
    assert labeller.on_folds["f1"] > 0.9


def scores_of(labels: Any, signal: float, n_seeds: int = 5) -> Any:
    """Scores of heads that tell the labels the better, the larger the signal is."""
    return np.random.default_rng(1).normal(size=(n_seeds, len(labels))) + signal * labels


def test_auprc_is_a_mean_over_seeds_within_its_interval() -> None:
    labels = np.arange(100) % 4 == 0
    scores = scores_of(labels, 1.0)
    value, drawn = bootstrapped(scores, labels)
    assert value == np.mean([auprc(labels, one) for one in scores])
    assert drawn.shape == (DRAWS,)
    assert np.quantile(drawn, 0.025) < value < np.quantile(drawn, 0.975)


def test_what_is_compared_is_redrawn_alike() -> None:
    labels = np.arange(100) % 4 == 0
    weak, strong = (bootstrapped(scores_of(labels, signal), labels) for signal in (1.0, 1.5))
    assert difference(weak, weak) == {"value": 0.0, "low": 0.0, "high": 0.0}
    # Each interval holds the other's value, and the difference is certain all the same.
    assert np.quantile(weak[1], 0.975) > np.quantile(strong[1], 0.025)
    assert difference(strong, weak)["low"] > 0


def test_a_unit_that_has_landed_is_not_made_again(tmp_path: Path) -> None:
    made = iter([[1.5], [2.5]])
    assert landed(tmp_path / "units" / "a.json", lambda: next(made)) == [1.5]
    assert landed(tmp_path / "units" / "a.json", lambda: next(made)) == [1.5]


def test_once_all_features_are_covered_the_rows_left_are_chosen_from_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.benchmarks.selected_rows.select_covering_subset",
        lambda rows, size: select_covering_subset(rows, size=size, threshold=1),
    )
    rows = table([dict.fromkeys(ids, 3.0) for ids in ([1], [1, 2, 3], [1, 2], [3], [4])])
    assert covering_rows(rows, 2) == [1, 4]
    assert covering_rows(rows, 5) == [1, 4, 2, 3, 0]


ANCHOR = [
    "Boil the rice in salted water.",
    "It rains in Madrid today.",
    "It rains in the north of France.",
    "Sort a list of numbers in Python.",
    "It rains on the hills.",
]
SEED_TEXTS = ["Boil the pasta for nine minutes.", "Boil two eggs in a small pot."]
WORDS = ("boil", "rain", "sort")
NEW = {
    "boil": "Boil the potatoes until they are soft, then peel them.",
    "rain": "Tomorrow the rain will reach the coast of Spain.",
    "sort": "How do I sort names by their last letter?",
}


def topic_of(text: str) -> str:
    return next(word for word in WORDS if word in text.lower())


@pytest.fixture(autouse=True)
def embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings that know the topic, and a little of the length."""

    def embed(texts: Sequence[str]) -> Any:
        topics = [[float(word in text.lower()) for word in WORDS] for text in texts]
        return np.array([[*topic, 0.001 * len(text) + 0.01] for topic, text in zip(topics, texts, strict=True)])

    monkeypatch.setattr("tests.benchmarks.kmeans_arm.embeddings_of", embed)


def test_gaps_are_the_clusters_without_a_seed_row_the_largest_first() -> None:
    gaps = Gaps.of(ANCHOR, SEED_TEXTS, 3)
    assert [[topic_of(ANCHOR[row]) for row in gaps.rows[gap]] for gap in gaps.empty] == [["rain"] * 3, ["sort"]]
    assert gaps.clusters([NEW["rain"], NEW["sort"]]) == gaps.empty


def setting() -> Any:
    rows = {
        "A1": datasets.Dataset.from_dict({"text": ANCHOR}),
        "seed": datasets.Dataset.from_dict({"text": SEED_TEXTS}),
    }
    return SimpleNamespace(
        kind=recognise(rows["seed"], "text"),
        bare=rows.__getitem__,
        seed_rows=[Sample({"text": text}) for text in SEED_TEXTS],
        known=[*ANCHOR, *SEED_TEXTS],
    )


def test_a_gap_shows_its_own_rows_last_the_nearest_next_to_the_answer() -> None:
    gaps = Gaps.of(ANCHOR, SEED_TEXTS, 3)
    shown = [[sample.whole for sample in examples(setting(), gap, gaps.rows[gap])] for gap in gaps.empty]
    assert shown[0] == [ANCHOR[row] for row in reversed(gaps.rows[gaps.empty[0]])]
    assert len(shown[1]) == 3
    assert shown[1][-1] == ANCHOR[3]
    assert set(shown[1][:2]) == set(SEED_TEXTS)


class Writes(TextGenerator):
    """Writes of the topic of the last example, or of one topic whatever is shown."""

    name = "writes"

    def __init__(self, topic: str = "") -> None:
        self.topic = topic

    def complete(
        self, requests: Sequence[Request], *, max_new_tokens: int, temperature: float
    ) -> Iterator[tuple[int, Completion]]:
        for place, request in enumerate(requests):
            topic = self.topic or topic_of(request.messages[-2][1])
            yield place, Completion(NEW[topic], 10, True)


@pytest.fixture
def three_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    of = Gaps.of
    monkeypatch.setattr("tests.benchmarks.kmeans_arm.Gaps.of", lambda anchor, seed: of(anchor, seed, 3))


@pytest.mark.usefixtures("three_clusters")
def test_a_sample_that_falls_into_its_cluster_is_kept(tmp_path: Path) -> None:
    book = Budget(tmp_path / "journal.jsonl", 100)
    kept = [one.text for one in itertools.islice(kmeans(setting(), Writes(), book), 2)]
    assert kept == [NEW["rain"], NEW["sort"]]
    assert [verdict.outcome for verdict in book.judged.values()] == ["verified", "verified"]


@pytest.mark.usefixtures("three_clusters")
def test_a_sample_that_falls_into_another_cluster_is_not(tmp_path: Path) -> None:
    book = Budget(tmp_path / "journal.jsonl", 100)
    with pytest.raises(LimitReached):
        next(kmeans(setting(), Writes("boil"), book))
    assert {verdict.outcome for verdict in book.judged.values()} == {OUTSIDE}
