"""Reward modelling: a score of answers, trained on pairs of which people chose one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.backbone.windows import Window
from fac_datasets.downstream.hidden_states import HiddenStates
from fac_datasets.downstream.measures import pairwise_accuracy
from fac_datasets.downstream.reading import NO_TEXT, UNREADABLE, drawn, read_rows, require_columns
from fac_datasets.downstream.training import (
    BATCH_ROWS,
    STATES,
    logits_of,
    lora_config,
    require_downstream,
    require_enough,
    run,
    sequence_classifier,
    states_of,
    trainer_arguments,
)
from fac_datasets.downstream.trials import SEEDS, over_seeds
from fac_datasets.plots import figures_png
from fac_datasets.rows.dataset_identity import content_fingerprint
from fac_datasets.rows.row import Row

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

SIDES = ("chosen", "rejected")

SUBSET = "subset"
"""What RewardBench calls the column of its parts."""

NO_SUBSET = "none"
"""Of pairs without one."""

TRAINING: dict[str, dict[str, Any]] = {
    "head": {"epochs": 10, "learning_rate": 1e-3, "weight_decay": 0.1},
    "lora": {"epochs": 1, "learning_rate": 2e-4},
}
"""How each method trains."""

EQUAL, OTHER_PROMPT, TOO_LONG = "equal sides", "sides that answer different prompts", "longer than max_length"


def reward_modelling(
    train: datasets.Dataset,
    test: datasets.Dataset,
    out: str | Path,
    *,
    subset_column: str | None = None,
    method: str = "head",
    backbone: str = "embedded",
    layer: int | None = None,
    pooling: str = "last",
    seeds: Sequence[int] = SEEDS,
    max_rows: int | None = None,
    max_length: int = 512,
    device: str | None = None,
    states: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train a reward model on preference pairs with `trl.RewardTrainer`, and measure it on others, once per seed.

    Its score is read at the last token of an answer. Pairs with equal sides, with sides that answer different prompts,
    with a side without text or longer than `max_length`, and those that cannot be read are left out and counted.

    Args:
        train: pairs `chosen` and `rejected`: texts behind a `prompt` (or `question`, `instruction`), lists of messages,
            or transcripts.
        test: the same, of which figures are; RewardBench's `prompt, chosen, rejected, subset` is such a set.
        out: folder of the run; the same call goes on there, or reads its report.
        subset_column: of the test pairs; figures are told of each of its values too. By default `subset` if present.
        method: `"head"`, a linear head on hidden states of the frozen backbone, or `"lora"`, a head and adapters.
        backbone: `"embedded"`, a local folder or a Hub id.
        layer: decoder blocks before the hidden states of a head; by default all.
        pooling: of the hidden states of a head: the `"last"` token of the answer, or the `"mean"` over it.
        seeds: one trial each.
        max_rows: most pairs of each set, drawn at random, always the same.
        max_length: most tokens of a side with its prompt.
        device: torch device; by default CUDA where there is one.
        states: folder of hidden states that runs share; by default one in `out`.
        overwrite: replace another run in `out`.

    Returns:
        The report (see `over_seeds`): `accuracy`, the share of test pairs whose better side scores higher, and
        `accuracy/<subset>` of each subset; and `rows`, `left_out`, `chance` and `options`.

    Raises:
        ColumnError: there are no pairs, or no such subsets.
        DownstreamError: fewer training pairs are left than a batch has, or no test pair.
        MissingExtra: the extra `downstream` is not installed.

    Example:
        >>> from datasets import Dataset
        >>> from fac_datasets.downstream import reward_modelling
        >>> pair = {"prompt": ["How are you?"], "chosen": ["Well, thank you."], "rejected": ["Go away."]}
        >>> pairs = Dataset.from_dict({name: texts * 8 for name, texts in pair.items()})
        >>> report = reward_modelling(pairs, pairs, "reward-run", seeds=(42,))
        >>> report["mean"]
        {'accuracy': 1.0}
    """
    require_downstream()
    out = Path(out)
    head = states_of(
        backbone,
        method,
        layer=layer,
        pooling=pooling,
        max_length=max_length,
        device=device,
        out=out,
        states=states,
    )
    if subset_column is not None:
        require_columns(test, subset_column, of="test", otherwise="name one with subset_column= (--subset-column)")
    subsets = subset_column or (SUBSET if SUBSET in test.column_names else None)
    sets = {name: drawn(rows, max_rows) for name, rows in (("train", train), ("test", test))}
    read = {name: _Pairs.read(name, rows, head, subsets) for name, rows in sets.items()}
    for name, least in (("train", BATCH_ROWS), ("test", 1)):
        require_enough(name, len(read[name].chosen), len(sets[name]), least, read[name].left_out, "pairs")
    identity = {
        "task": "reward",
        "rows_of": {name: content_fingerprint(rows) for name, rows in sets.items()},
        "options": {"method": method, "subset_column": subsets, "max_rows": max_rows, **head.identity},
    }

    def trial(seed: int) -> dict[str, float]:
        chosen, rejected = _scores(read["train"], read["test"], head, method, seed)
        found = {"accuracy": pairwise_accuracy(chosen, rejected)}
        for name in sorted({*read["test"].subsets}) if subsets else ():
            inside = np.array(read["test"].subsets) == name
            found[f"accuracy/{name}"] = pairwise_accuracy(chosen[inside], rejected[inside])
        return found

    def about(figures: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
        return {
            "rows": {name: len(pairs.chosen) for name, pairs in read.items()},
            "subsets": dict(Counter(read["test"].subsets)) if subsets else {},
            "left_out": {name: dict(pairs.left_out) for name, pairs in read.items()},
            "chance": dict.fromkeys(next(iter(figures.values())), 0.5),
            "training": TRAINING[method],
        }

    return over_seeds(
        out,
        identity,
        seeds,
        trial,
        about=about,
        plot=lambda report: figures_png(report["seeds"], report["chance"]),
        parts=() if states else (STATES,),
        overwrite=overwrite,
    )


class _Pairs(NamedTuple):
    """The pairs of a set that can be used."""

    chosen: list[Window]
    rejected: list[Window]
    subsets: list[str]
    """Of each pair."""
    left_out: Mapping[str, int]

    @classmethod
    def read(cls, name: str, rows: datasets.Dataset, head: HiddenStates, subsets: str | None) -> _Pairs:
        require_columns(rows, *SIDES, of=name, otherwise="give the sides of your pairs these names")
        (chosen, also), (rejected, unread) = (read_rows(rows, side) for side in SIDES)
        named = rows[subsets] if subsets in rows.column_names else [None] * len(rows)
        kept: list[tuple[Window, Window, str]] = []
        left_out: Counter[str] = Counter()
        sides = zip(chosen, rejected, head.windows(chosen), head.windows(rejected), named, strict=True)
        for row, (better, worse, left, right, subset) in enumerate(sides):
            reason = UNREADABLE if row in also | unread else _why_not(better, worse)
            if not reason and (left is None or right is None):
                reason = NO_TEXT
            if not reason and max(len(side.token_ids) for side in (left, right) if side) > head.max_length:
                reason = TOO_LONG
            if reason or left is None or right is None:
                left_out[reason] += 1
            else:
                kept.append((left, right, NO_SUBSET if subset is None else str(subset)))
        return cls([pair[0] for pair in kept], [pair[1] for pair in kept], [pair[2] for pair in kept], left_out)

    @property
    def sides(self) -> list[Window]:
        """All better sides, then all worse ones."""
        return [*self.chosen, *self.rejected]


def _why_not(better: Row, worse: Row) -> str:
    """Why two sides are no pair; empty where they are one."""
    if not isinstance(better, list) or not isinstance(worse, list):
        return NO_TEXT
    if [*map(_said, better[:-1])] != [*map(_said, worse[:-1])]:
        return OTHER_PROMPT
    return EQUAL if _said(better[-1])[1].casefold() == _said(worse[-1])[1].casefold() else ""


def _said(message: Mapping[str, Any]) -> tuple[str, str]:
    return message["role"], " ".join(message["content"].split())


def _scores(
    train: _Pairs, test: _Pairs, head: HiddenStates, method: str, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of the better sides of the test pairs, and of the worse."""
    import datasets
    import torch
    import trl

    from fac_datasets.downstream.head import HeadOverStates

    tokens: list[NDArray[np.int64]] = [window.token_ids for window in (*train.sides, *test.sides)]
    if method == "head":
        # Outside of what a seed decides: states that are not kept yet draw numbers too.
        states = _standardised(head.of(train.sides), head.of(test.sides))
        tokens = list(np.arange(len(states))[:, None])
    with trainer_arguments(
        trl.RewardConfig, seed=seed, device=head.device, max_length=None, **TRAINING[method]
    ) as arguments:
        if method == "head":
            model, tokenizer = HeadOverStates(torch.from_numpy(states), n_labels=1), head.tokenizer
        else:
            model, tokenizer = sequence_classifier(head, n_labels=1)
        n = len(train.chosen)
        pairs = {"chosen_ids": tokens[:n], "rejected_ids": tokens[n : 2 * n]}
        trainer = trl.RewardTrainer(
            model=model,
            args=arguments,
            train_dataset=datasets.Dataset.from_dict(pairs),
            processing_class=tokenizer,
            peft_config=lora_config("SEQ_CLS") if method == "lora" else None,
        )
        run(trainer)
        scores = logits_of(trainer, tokens[2 * n :])[:, 0]
    return scores[: len(test.chosen)], scores[len(test.chosen) :]


def _standardised(states: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """All states, each dimension with the mean and deviation that it has in the first."""
    deviation = states.std(axis=0)
    deviation[deviation == 0] = 1
    found: NDArray[np.float32] = np.concatenate([states, others]) - states.mean(axis=0)
    found /= deviation
    return found
