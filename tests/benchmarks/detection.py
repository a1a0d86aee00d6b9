"""What the studies of detection share: two labelled sets, one split of each, hidden states, and a head over them.

`toxicity` are the prompts of `TOXICITY`, toxic where people gave any label 1; most rows are not labelled for every
category. `tweets` are hate speech of `DAVIDSON` against its tweets that are neither hate speech nor offensive.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.downstream.hidden_states import HiddenStates
from fac_datasets.downstream.measures import auprc
from fac_datasets.downstream.toxicity import head_scores
from tests.benchmarks.data import DAVIDSON, TOXICITY, plain

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CATEGORIES = ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")
"""What people looked for in the prompts; S3, H2 and V2 are parts of S, H and V."""

SHARES = {"pool": 0.6, "validation": 0.15, "test": 0.25}
SEED = 0
MAX_LENGTH = 256
"""Tokens of a text that are read, those of the template too."""

TWEETS = 4_200
"""Tweets that are drawn, so that the pool stays below 80,000 own tokens."""


class LabelledRows(NamedTuple):
    """Texts with human labels, and the one split of their rows."""

    texts: list[str]
    labels: NDArray[np.bool_]
    """Whether each is toxic, or hate speech, [n_rows]."""
    categories: dict[str, NDArray[np.int8]]
    """By category whether each row is of it: 1 yes, 0 no, -1 nobody said, [n_rows]; none of tweets."""
    repeated: int
    """Rows left out, which repeat another but for case and spaces; the first of them is kept."""
    split: dict[str, NDArray[np.int64]]
    """Rows of `pool`, of which training sets are made, `validation` and `test`, ascending."""

    @classmethod
    def of(cls, texts: list[str], labels: ArrayLike, categories: dict[str, list[int]] | None = None) -> LabelledRows:
        """Rows without repetitions, split at random with both labels in proportion."""
        first: dict[str, int] = {}
        for row, text in enumerate(texts):
            first.setdefault(plain(text), row)
        kept = list(first.values())
        toxic = np.asarray(labels, dtype=bool)[kept]
        generator = np.random.default_rng(SEED)
        parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in SHARES}
        for label in (False, True):
            drawn = generator.permutation(np.flatnonzero(toxic == label))
            ends = np.rint(np.cumsum([*SHARES.values()]) * len(drawn)).astype(int)
            for name, rows in zip(SHARES, np.split(drawn, ends[:-1]), strict=True):
                parts[name].append(rows)
        return cls(
            [texts[row] for row in kept],
            toxic,
            {name: np.asarray(told, dtype=np.int8)[kept] for name, told in (categories or {}).items()},
            len(texts) - len(kept),
            {name: np.sort(np.concatenate(rows)) for name, rows in parts.items()},
        )


def toxicity_rows() -> LabelledRows:
    """The prompts with their categories."""
    rows = [*TOXICITY.rows()]
    categories = {name: [int(row.get(name, -1)) for row in rows] for name in CATEGORIES}
    toxic = [any(told[i] == 1 for told in categories.values()) for i in range(len(rows))]
    return LabelledRows.of([row["prompt"] for row in rows], toxic, categories)


def tweet_rows() -> LabelledRows:
    """A fixed random part of the tweets that are hate speech or neither."""
    rows: list[dict[str, Any]] = [row for row in DAVIDSON.rows() if row["class"] in ("0", "2")]
    drawn = np.sort(np.random.default_rng(SEED).choice(len(rows), TWEETS, replace=False))
    return LabelledRows.of([rows[row]["tweet"] for row in drawn], [rows[row]["class"] == "0" for row in drawn])


def hidden_states(work: Path) -> HiddenStates:
    """What gives the vectors of texts that heads read: mean over own tokens behind all layers of the embedded model.

    Args:
        work: folder below which vectors are kept.
    """
    return HiddenStates("embedded", pooling="mean", max_length=MAX_LENGTH, cache=work / "states")


class Detected(NamedTuple):
    """AUPRC of a head, and its scores of the test rows, so that any part of these can be measured."""

    validation: float
    test: float
    scores: NDArray[np.float64]


def detect(
    fit: NDArray[np.float32],
    fit_labels: NDArray[np.bool_],
    held: NDArray[np.float32],
    held_labels: NDArray[np.bool_],
    test: NDArray[np.float32],
    test_labels: NDArray[np.bool_],
    *,
    seed: int = 0,
) -> Detected:
    """Train the library's head on some rows and measure it on others; see `head_scores`."""
    on_held, on_test = head_scores(fit, fit_labels, held, held_labels, test, seed=seed)
    return Detected(auprc(held_labels, on_held), auprc(test_labels, on_test), on_test)
