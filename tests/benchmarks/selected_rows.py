"""What a model learns from the rows that a way of choosing keeps of a pool: part of `study_augmentation`.

`toxicity` trains the library's head on rows of the train pool of `detection`, with their human labels, which no way of
choosing sees; validation and test are those of `detection`. `instructions` trains adapters on instructions with the
answers of a strong model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from fac_datasets import FeatureExtractor
from fac_datasets.coverage.selection import select_covering_subset
from fac_datasets.downstream.instructions import instruction_following
from tests.benchmarks.data import ALPACA_EVAL
from tests.benchmarks.detection import MAX_LENGTH, LabelledRows, detect
from tests.benchmarks.record import landed
from tests.benchmarks.rivals import RIVALS, Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fac_datasets.downstream.hidden_states import HiddenStates

SHARES = (0.05, 0.1, 0.2, 0.4)
"""Rows that are kept, of those of the pool."""

SEEDED = {"random_rows": 10, "kmeans_on_embeddings": 3, "novelsum_greedy": 3}
"""Ways that a seed changes, and seeds of each. The head has one optimum, so that of the others one seed says all."""

COVERAGE = "select_covering_subset"
WAYS = (COVERAGE, *RIVALS)
EVERYTHING = "whole_pool"

INSTRUCTION_WAYS = (COVERAGE, "random_rows", "longest_first", "kmeans_on_embeddings")
INSTRUCTION_SHARES = (0.1, 0.4)
INSTRUCTIONS, TEST_INSTRUCTIONS, INSTRUCTION_LENGTH, INSTRUCTION_SEED = 300, 60, 128, 0
"""Rows of the pool, rows held out, and tokens of a row, behind which its answer is cut, for training and features."""


def covering_rows(rows: datasets.Dataset, size: int) -> list[int]:
    """So many rows by coverage, in the order of choice; once no row adds a feature, those left are chosen from anew."""
    chosen: list[int] = []
    left = np.arange(len(rows))
    while len(chosen) < size:
        found = select_covering_subset(rows.select(left), size=size - len(chosen))
        chosen += left[found.rows].tolist()
        left = np.delete(left, found.rows)
    return chosen


@dataclass(frozen=True)
class Chooser:
    """Chooses rows of a pool in every way.

    Args:
        rows: of the pool.
        column: what is read of a row; None for what the schema says.
        max_length: tokens of a row that are read.
        folder: keeps the rows' features.
    """

    rows: datasets.Dataset
    column: str | None
    max_length: int
    folder: Path

    @cached_property
    def featured(self) -> datasets.Dataset:
        """The rows with feature columns."""
        if not (self.folder / "state.json").exists():
            extractor = FeatureExtractor(
                column=self.column, threshold=0, spans=False, max_length=self.max_length, truncate=True
            )
            self.rows.map(extractor, batched=True, load_from_cache_file=False).save_to_disk(self.folder)
        return datasets.load_from_disk(str(self.folder))

    @cached_property
    def pool(self) -> Pool:
        """The same as other ways read them."""
        return Pool.of(self.featured, column=self.column)

    def chosen(self, way: str, share: float, seed: int) -> list[int]:
        """The rows that a way keeps."""
        size = round(share * len(self.rows))
        return covering_rows(self.featured, size) if way == COVERAGE else RIVALS[way](self.pool, size, seed)

    def tokens(self, chosen: Sequence[int]) -> int:
        """Own tokens of some rows."""
        return int(self.pool.tokens[list(chosen)].sum())


@dataclass(frozen=True)
class Detection:
    """Selection for toxicity: each choice lands its scores of the test rows."""

    rows: LabelledRows
    states: HiddenStates
    work: Path

    @cached_property
    def chooser(self) -> Chooser:
        """Of the train pool."""
        texts = [self.rows.texts[row] for row in self.rows.split["pool"]]
        return Chooser(datasets.Dataset.from_dict({"text": texts}), "text", MAX_LENGTH, self.work / "toxicity-pool")

    @cached_property
    def _sets(self) -> dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        states = self.states(self.rows.texts)
        return {name: (states[rows], self.rows.labels[rows]) for name, rows in self.rows.split.items()}

    @property
    def test_labels(self) -> NDArray[np.bool_]:
        """Of the test rows."""
        return self.rows.labels[self.rows.split["test"]]

    def measured(self, way: str, share: float, seed: int) -> dict[str, Any]:
        """Rows, toxic rows and tokens of a choice, and what the head trained on it says of the test rows."""

        def measure() -> dict[str, Any]:
            states, labels = self._sets["pool"]
            chosen = range(len(labels)) if way == EVERYTHING else self.chooser.chosen(way, share, seed)
            fit = np.asarray(chosen)
            found = detect(states[fit], labels[fit], *self._sets["validation"], *self._sets["test"], seed=seed)
            return {
                "rows": len(fit),
                "toxic": int(labels[fit].sum()),
                "tokens": self.chooser.tokens(chosen),
                "scores": found.scores.tolist(),
            }

        found: dict[str, Any] = landed(self.work / "selected" / f"{way}-{share}-{seed}.json", measure)
        return found


def instruction_rows() -> list[dict[str, str]]:
    """AlpacaEval's instructions, those of self-instruct's users among them, with strong answers, in random order."""
    rows = [{"instruction": row["instruction"], "output": row["gpt4_1106_preview"]} for row in ALPACA_EVAL.rows()]
    return [rows[place] for place in np.random.default_rng(INSTRUCTION_SEED).permutation(len(rows))]


@dataclass(frozen=True)
class Instructions:
    """Selection for instructions: each choice is a run of `instruction_following`, which goes on where it stopped."""

    work: Path

    @cached_property
    def _rows(self) -> datasets.Dataset:
        return datasets.Dataset.from_list(instruction_rows())

    @cached_property
    def chooser(self) -> Chooser:
        """Of the pool."""
        rows = self._rows.select(range(TEST_INSTRUCTIONS, TEST_INSTRUCTIONS + INSTRUCTIONS))
        return Chooser(rows, None, INSTRUCTION_LENGTH, self.work / "instruction-pool")

    def measured(self, way: str, share: float) -> dict[str, Any]:
        """Rows and tokens of a choice, and the loss of held-out answers before and after training on it."""

        def measure() -> dict[str, Any]:
            chosen = self.chooser.chosen(way, share, INSTRUCTION_SEED)
            report = instruction_following(
                self.chooser.rows.select(chosen),
                self._rows.select(range(TEST_INSTRUCTIONS)),
                self.work / "instructions" / f"{way}-{share}",
                answers=0,
                seeds=(INSTRUCTION_SEED,),
                max_length=INSTRUCTION_LENGTH,
            )
            return {
                "rows": len(chosen),
                "tokens": self.chooser.tokens(chosen),
                "trained_on": report["rows"]["train"],
                "tested_on": report["rows"]["test"],
                "cut": report["cut"]["train"],
                **report["mean"],
                "seconds": sum(report["seconds"].values()),
            }

        found: dict[str, Any] = landed(self.work / "instructions" / f"{way}-{share}.json", measure)
        return found
