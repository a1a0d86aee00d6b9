"""The tasks of `study_correlation`: what a set is made of, and how well what is trained on it does.

- `Detection`: toxic prompts, or tweets with hate speech; the library's head on hidden states; AUPRC.
- `Preference`: the better of two transcripts; a linear reward head (Bradley and Terry's model) on the hidden states of
  their last tokens; pairwise accuracy. Only explored.
- `Steering`: the answer that matches a behaviour; the mean difference of the hidden states of both answers, which
  steering adds, as a direction along which the matching one has to lie higher; accuracy. Only explored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.diversity.embeddings import embeddings_of, unit_vectors
from fac_datasets.downstream.hidden_states import HiddenStates
from fac_datasets.downstream.measures import pairwise_accuracy
from fac_datasets.errors import DatasetError
from tests.benchmarks.correlation_measures import Anchor, Space, spaces, write_npz
from tests.benchmarks.correlation_sets import (
    NEAR_DUPLICATES,
    Chosen,
    Material,
    Repeat,
    detection_sets,
    exploratory_sets,
    light_variant,
    repeats,
)
from tests.benchmarks.data import PREFERENCE, SURVIVAL_MODEL
from tests.benchmarks.detection import MAX_LENGTH, LabelledRows, detect, hidden_states, toxicity_rows, tweet_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUDGETS = {"toxicity": {True: 5_000, False: 10_000}, "tweets": {True: 1_200, False: 2_400}}
"""Own tokens of a set, by label; at most what the rows of one category, or of one cluster, fill. At 4,000 and 8,000 of
toxicity planted differences were not seen."""

PAIRS, POOL_PAIRS, HELD_PAIRS, PAIR_LENGTH = 150, 300, 100, 128
"""Pairs of a set, of the pool, of validation (and twice as many of test), and tokens that a side of a preference has
at most, those of the template too."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class Task(ABC):
    """A pool that training sets are made of, and what is trained on them.

    Args:
        name: of the task.
        folder: where features, embeddings and hidden states land.
    """

    measure = "auprc"

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    @property
    @abstractmethod
    def texts(self) -> list[str]:
        """What is measured of each row: those of the pool, then near duplicates."""

    @property
    @abstractmethod
    def repeats(self) -> list[Repeat]:
        """What the near duplicates are of."""

    @abstractmethod
    def scores(self, chosen: Chosen) -> dict[str, float]:
        """`validation` and `test` of what is trained on a set."""

    @abstractmethod
    def sets(self) -> list[Chosen]:
        """All training sets."""

    @cached_property
    def spaces(self) -> list[Space]:
        """The rows in every feature space."""
        return spaces(self.texts, self.n_pool, self.folder)

    @property
    def n_pool(self) -> int:
        """Rows of the pool."""
        return len(self.texts) - len(self.repeats)

    @cached_property
    def embeddings(self) -> NDArray[np.floating]:
        """Sentence embeddings of length 1, [n_rows, d]."""
        file = self.folder / "embeddings.npz"
        if not file.exists():
            write_npz(file, {"vectors": unit_vectors(embeddings_of(self.texts))})
        found: NDArray[np.floating] = np.load(file)["vectors"]
        return found

    @cached_property
    def anchors(self) -> list[Anchor]:
        """The pool in every feature space."""
        n, material = self.n_pool, self.material
        return [Anchor.of(space, self.texts[:n], material.labels[:n], material.sizes[:n]) for space in self.spaces]

    @property
    @abstractmethod
    def material(self) -> Material:
        """What sets are made of."""


class Detection(Task):
    """Detection of toxic prompts (`toxicity`), or of hate speech in tweets (`tweets`)."""

    def __init__(self, name: str, work: Path) -> None:
        super().__init__(name, folder_of(name, work))
        self.states = hidden_states(work)
        self.rows: LabelledRows = {"toxicity": toxicity_rows, "tweets": tweet_rows}[name]()
        self.pool = self.rows.split["pool"]

    def _own_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        windows = self.states.windows(texts)
        return np.array([0 if window is None else window.own[:MAX_LENGTH].sum() for window in windows], np.int64)

    @cached_property
    def repeats(self) -> list[Repeat]:
        labels = self.rows.labels[self.pool]
        return repeats(
            labels,
            self._own_tokens([self.rows.texts[row] for row in self.pool]),
            BUDGETS[self.name],
            max(NEAR_DUPLICATES),
        )

    @cached_property
    def texts(self) -> list[str]:
        of_pool = [self.rows.texts[row] for row in self.pool]
        return of_pool + varied(of_pool, self.repeats)

    @cached_property
    def material(self) -> Material:
        labels = self.rows.labels[self.pool]
        sizes = self._own_tokens(self.texts)
        return Material(
            self.texts,
            np.concatenate([labels, labels[[repeat.row for repeat in self.repeats]]]),
            sizes,
            BUDGETS[self.name],
            self.repeats,
            lambda: self.spaces[0].columns(self.texts[: self.n_pool], sizes),
            self.embeddings,
            {name: told[self.pool] for name, told in self.rows.categories.items()},
        )

    def sets(self) -> list[Chosen]:
        return detection_sets(self.material)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return self.states(self.texts)

    @cached_property
    def _others(self) -> tuple[Any, ...]:
        found: list[Any] = []
        for part in ("validation", "test"):
            rows = self.rows.split[part]
            found += [self.states([self.rows.texts[row] for row in rows]), self.rows.labels[rows]]
        return tuple(found)

    def scores(self, chosen: Chosen) -> dict[str, float]:
        labels = self.material.labels[chosen.rows]
        found = detect(self._vectors[chosen.rows], labels, *self._others, seed=chosen.seed)
        return {"validation": found.validation, "test": found.test}


class Pairs(Task):
    """A task of two sides, of which the first is better; sets are of equally many pairs."""

    measure = "accuracy"

    def __init__(self, name: str, work: Path) -> None:
        super().__init__(name, folder_of(name, work))
        self.states = HiddenStates("embedded", pooling="last", max_length=MAX_LENGTH, cache=work / "states")
        pairs, needed = self.read(), POOL_PAIRS + 3 * HELD_PAIRS
        if len(pairs) < needed:
            raise DatasetError(f"{name} has {len(pairs)} pairs to use, of {needed} that are needed; allow longer ones")
        drawn = np.random.default_rng(0).permutation(len(pairs))[:needed]
        self.pool = [pairs[row] for row in drawn[:POOL_PAIRS]]
        held = [pairs[row] for row in drawn[POOL_PAIRS:]]
        self.held = {"validation": held[:HELD_PAIRS], "test": held[HELD_PAIRS:]}

    @abstractmethod
    def read(self) -> list[tuple[str, str, str]]:
        """What is measured of each pair, its better side and its worse."""

    @abstractmethod
    def direction(self, differences: NDArray[np.float32], held: NDArray[np.float32]) -> NDArray[np.floating]:
        """A direction along which better sides lie higher, [d], from better minus worse, [n_pairs, d]."""

    @cached_property
    def repeats(self) -> list[Repeat]:
        n = len(self.pool)
        return repeats(np.ones(n, dtype=bool), np.ones(n, np.int64), {True: PAIRS}, 50)

    @cached_property
    def _varied(self) -> list[tuple[str, ...]]:
        """Near duplicates, of each part alike."""
        return [*zip(*(varied(part, self.repeats) for part in zip(*self.pool, strict=True)), strict=True)]

    @cached_property
    def texts(self) -> list[str]:
        return [pair[0] for pair in (*self.pool, *self._varied)]

    @cached_property
    def material(self) -> Material:
        ones = np.ones(len(self.texts), np.int64)
        return Material(
            self.texts,
            ones.astype(bool),
            ones,
            {True: PAIRS},
            self.repeats,
            lambda: self.spaces[0].columns(self.texts[: self.n_pool], ones),
            self.embeddings,
            {},
        )

    def sets(self) -> list[Chosen]:
        return exploratory_sets(self.material)

    def _differences(self, pairs: Sequence[tuple[str, ...]]) -> NDArray[np.float32]:
        return self.states([pair[1] for pair in pairs]) - self.states([pair[2] for pair in pairs])

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return self._differences([*self.pool, *self._varied])

    @cached_property
    def _held(self) -> dict[str, NDArray[np.float32]]:
        return {part: self._differences(pairs) for part, pairs in self.held.items()}

    def scores(self, chosen: Chosen) -> dict[str, float]:
        found = self.direction(self._vectors[chosen.rows], self._held["validation"])
        return {part: pairwise_accuracy(of_part @ found, 0 * of_part[:, 0]) for part, of_part in self._held.items()}


class Preference(Pairs):
    """Which transcript people prefer."""

    def read(self) -> list[tuple[str, str, str]]:
        pairs = [(row["chosen"], row["chosen"], row["rejected"]) for row in PREFERENCE.rows()]
        windows = [self.states.windows([pair[side] for pair in pairs]) for side in (1, 2)]
        fits = [
            all(window is not None and len(window.token_ids) <= PAIR_LENGTH for window in of_pair)
            for of_pair in zip(*windows, strict=True)
        ]
        return [pair for pair, does in zip(pairs, fits, strict=True) if does and pair[1] != pair[2]]

    def direction(self, differences: NDArray[np.float32], held: NDArray[np.float32]) -> NDArray[np.floating]:
        from sklearn.linear_model import LogisticRegression

        # Each pair in both orders, so that no intercept is learnt.
        scale = np.sqrt((differences**2).mean(axis=0))
        both = np.concatenate([differences, -differences]) / scale
        labels = np.arange(len(both)) < len(differences)
        found = []
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=1000, fit_intercept=False).fit(both, labels)
            direction = model.coef_[0] / scale
            found.append((pairwise_accuracy(held @ direction, 0 * held[:, 0]), direction))
        best: NDArray[np.floating] = max(found, key=lambda one: one[0])[1]
        return best


class Steering(Pairs):
    """Which answer matches the behaviour (survival instinct)."""

    def read(self) -> list[tuple[str, str, str]]:
        return [
            (row["question"], *(f"{row['question']}\n{row[f'answer_{side}_behavior'].strip()}" for side in SIDES))
            for row in SURVIVAL_MODEL.rows()
        ]

    def direction(self, differences: NDArray[np.float32], held: NDArray[np.float32]) -> NDArray[np.floating]:
        mean: NDArray[np.floating] = differences.mean(axis=0)
        return mean


SIDES = ("matching", "not_matching")


def varied(texts: Sequence[str], planned: Sequence[Repeat]) -> list[str]:
    """The near duplicates of texts, each drawn by its place."""
    return [light_variant(texts[one.row], np.random.default_rng([place])) for place, one in enumerate(planned)]


def folder_of(name: str, work: Path) -> Path:
    """Where a task keeps what depends on the size of its sets."""
    return work / name / str(BUDGETS[name][True] if name in BUDGETS else PAIRS)


def task(name: str, work: Path) -> Task:
    """A task by name.

    Args:
        name: one of `TASKS`.
        work: folder for what is computed.
    """
    return TASKS[name](name, work)


TASKS: dict[str, type[Detection | Pairs]] = {
    "toxicity": Detection,
    "tweets": Detection,
    "preference": Preference,
    "steering": Steering,
}
