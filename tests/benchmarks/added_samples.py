"""What the samples of the arms of `study_synthesis` add to a seed without whole harm categories: part of
`study_augmentation`.

Three sets of human-labelled prompts, those of the setting `toxicity`: the seed, which is trained on; A1, the half of
the anchor that lent examples to the arms, whose rows are the ceiling, `real`; and A2, which lent nothing, to test on.

Samples are texts without labels. In the place of annotators a labeller labels them, those of all arms alike: a logistic
head fitted on seed and A1 with their human labels. It knows the left-out categories, so that gains of all arms look
better than they would with the seed's labels alone; comparisons between arms stay fair.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split

from fac_datasets.downstream.measures import auprc, best_threshold, f1
from fac_datasets.downstream.toxicity import STRENGTHS, VALIDATION_SHARE, linear_head
from fac_datasets.rows.reader import row_texts
from tests.benchmarks.data import TOXICITY, plain
from tests.benchmarks.detection import detect
from tests.benchmarks.record import landed
from tests.benchmarks.study_synthesis import Outcome, arm_folder
from tests.benchmarks.synthesis_arms import REMOVED, SEED, Setting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fac_datasets.downstream.hidden_states import HiddenStates

SIZES = (0, 50, 100, 200, 400)
"""Samples that are added, and where an arm has fewer, all of them."""

SEEDS = (0, 1, 2, 3, 4)
"""Each draws which samples are added, and what of seed and samples is held out to choose the head's penalty."""

REAL = "real"
ALL_PASSED = "_all_passed"
"""An arm that keeps what passes the filters and misses its aim, too."""

SOURCES = (
    *("unguided", "magpie", "reference", "random_features", "span_seeded", "auto", f"auto{ALL_PASSED}"),
    *("kmeans", f"kmeans{ALL_PASSED}", REAL),
)
SETTING = "toxicity"
FOLDS = 5


class Rows(NamedTuple):
    """Texts with labels."""

    texts: list[str]
    toxic: NDArray[np.bool_]
    left_out: NDArray[np.bool_]
    """Whether each is of a category that the seed lacks; never of samples, of which nobody says."""

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Rows:
        """Some of them."""
        return Rows([self.texts[row] for row in rows], self.toxic[rows], self.left_out[rows])


def human_rows(texts: Sequence[str], labelled: Sequence[Mapping[str, Any]]) -> Rows:
    """Prompts with their human labels, by their text.

    Args:
        texts: prompts.
        labelled: rows with `prompt`, and 1 by each category of which it is.
    """
    harms: dict[str, set[str]] = {text: set() for text in texts}
    for row in labelled:
        if row["prompt"] in harms:
            harms[row["prompt"]] |= {name for name, value in row.items() if name != "prompt" and value == 1}
    toxic = np.array([bool(harms[text]) for text in texts])
    return Rows([*texts], toxic, np.array([not harms[text].isdisjoint(REMOVED) for text in texts]))


def unseen(texts: Sequence[str], seen: Sequence[str]) -> list[int]:
    """The texts that neither repeat one of those seen nor one before them, but for case and spaces."""
    known, found = {plain(text) for text in seen}, []
    for place, text in enumerate(texts):
        if plain(text) not in known:
            known.add(plain(text))
            found.append(place)
    return found


class Labeller(NamedTuple):
    """Labels samples as people labelled rows."""

    head: Any
    threshold: float
    """The score with the best F1 on held-out folds."""
    on_folds: dict[str, float]
    """AUPRC and F1 there."""

    @classmethod
    def of(cls, states: NDArray[np.float32], labels: NDArray[np.bool_]) -> Labeller:
        """A logistic head, whose penalty is that with the best AUPRC on held-out folds."""
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
        heads = [linear_head(strength) for strength in STRENGTHS]
        held = [cross_val_predict(head, states, labels, cv=folds, method="decision_function") for head in heads]
        best = max(range(len(heads)), key=lambda place: auprc(labels, held[place]))
        threshold = best_threshold(labels, held[best])
        told = {"auprc": auprc(labels, held[best]), "f1": f1(labels, held[best], threshold)}
        return cls(heads[best].fit(states, labels), threshold, told)

    def labels(self, states: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which rows it calls toxic."""
        found: NDArray[np.bool_] = self.head.decision_function(states) >= self.threshold
        return found


def sizes_of(n_rows: int) -> list[int]:
    """How many of so many samples are added: the sizes of the study that they reach, and all where they are fewer."""
    return sorted({size for size in SIZES if size <= n_rows} | {min(n_rows, max(SIZES))})


def trained_on(
    seed_rows: tuple[NDArray[np.float32], NDArray[np.bool_]],
    added: tuple[NDArray[np.float32], NDArray[np.bool_]],
    size: int,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """States and labels of the seed and the samples that a seed draws, and which are fitted on and which held out.

    Smaller draws are parts of larger ones.
    """
    drawn = np.random.default_rng(seed).permutation(len(added[1]))[:size]
    states, labels = (np.concatenate([one, other[drawn]]) for one, other in zip(seed_rows, added, strict=True))
    fit, held = train_test_split(np.arange(len(labels)), test_size=VALIDATION_SHARE, random_state=seed, stratify=labels)
    return states, labels, fit, held


@dataclass(frozen=True)
class Added:
    """The seed with samples of each arm.

    Args:
        synthesis: the folder of `study_synthesis`.
        states: hidden states of texts.
        work: each score lands below it.
    """

    synthesis: Path
    states: HiddenStates
    work: Path

    @cached_property
    def setting(self) -> Setting:
        """That the arms worked in."""
        return Setting(SETTING, self.synthesis / SETTING)

    @cached_property
    def sets(self) -> dict[str, Rows]:
        """`seed`, `A1` and `A2`, the last without texts of the others."""
        labelled = list(TOXICITY.rows())
        found = {name: human_rows(row_texts(self.setting.bare(name), None), labelled) for name in ("seed", "A1", "A2")}
        return {**found, "A2": found["A2"].take(unseen(found["A2"].texts, found["seed"].texts + found["A1"].texts))}

    @cached_property
    def vectors(self) -> dict[str, NDArray[np.float32]]:
        """Hidden states of the sets."""
        return {name: self.states(rows.texts) for name, rows in self.sets.items()}

    @cached_property
    def labeller(self) -> Labeller:
        """Fitted on seed and A1."""
        known = ("seed", "A1")
        return Labeller.of(
            np.concatenate([self.vectors[name] for name in known]),
            np.concatenate([self.sets[name].toxic for name in known]),
        )

    @property
    def of_labeller(self) -> dict[str, dict[str, float]]:
        """How well it labels held-out folds of what it was fitted on, and the test set, which it never saw."""
        toxic, scores = self.sets["A2"].toxic, self.labeller.head.decision_function(self.vectors["A2"])
        on_test = {"auprc": auprc(toxic, scores), "f1": f1(toxic, scores, self.labeller.threshold)}
        return {"folds": self.labeller.on_folds, "test": on_test}

    def has(self, source: str) -> bool:
        """Whether an arm has run."""
        return source == REAL or (self._folder(source) / "outcome.json").exists()

    def rows(self, source: str) -> Rows:
        """What an arm adds, labelled by the labeller; of `real` the rows of A1 with their human labels."""
        if source == REAL:
            return self.sets["A1"]
        outcome = Outcome(self.setting, self._folder(source))
        kept = outcome.passed if source.endswith(ALL_PASSED) else outcome.samples
        texts = list(kept["text"])
        return Rows(texts, self.labeller.labels(self.states(texts)), np.zeros(len(texts), dtype=bool))

    def scores(self, source: str, rows: Rows, size: int) -> NDArray[np.float64]:
        """What heads trained on the seed and so many rows of an arm say of the test rows, [n_seeds, n_rows]."""
        # Other rows of the same arm are other units.
        told = json.dumps([rows.texts, rows.toxic.tolist()]).encode()
        name = f"{source}-{hashlib.sha256(told).hexdigest()[:8]}-{size}"

        def measure(seed: int) -> list[float]:
            start, added = (self.vectors["seed"], self.sets["seed"].toxic), (self.states(rows.texts), rows.toxic)
            states, labels, fit, held = trained_on(start, added, size, seed)
            test, toxic = self.vectors["A2"], self.sets["A2"].toxic
            found = detect(states[fit], labels[fit], states[held], labels[held], test, toxic, seed=seed)
            told: list[float] = found.scores.tolist()
            return told

        folder = self.work / "added"
        return np.array([landed(folder / f"{name}-{seed}.json", partial(measure, seed)) for seed in SEEDS])

    def _folder(self, source: str) -> Path:
        return arm_folder(self.synthesis, SETTING, source.removesuffix(ALL_PASSED))
