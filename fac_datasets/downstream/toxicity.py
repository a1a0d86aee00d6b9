"""Toxicity detection: a classifier of two labels, trained on labelled texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.backbone.windows import Window
from fac_datasets.downstream.hidden_states import HiddenStates, cut
from fac_datasets.downstream.measures import auprc, best_threshold, f1
from fac_datasets.downstream.reading import NO_TEXT, UNREADABLE, drawn, read_rows
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
from fac_datasets.errors import ColumnError, DownstreamError
from fac_datasets.interpretation.statistics import auroc
from fac_datasets.plots import figures_png
from fac_datasets.rows.dataset_identity import content_fingerprint
from fac_datasets.rows.reader import ColumnChoice

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

VALIDATION_SHARE = 0.2
"""Part of the training rows that chooses settings, where no other rows do."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of a head's L2 penalty, of which validation chooses one."""

EPOCHS, LEARNING_RATE = 3, 5e-4
"""How LoRA trains."""

LABEL_COLUMNS = ("label", "labels", "class", "target", "toxic")
"""What columns of labels are called; others have to be named."""

NO_LABEL = "without a label"


def toxicity_detection(
    train: datasets.Dataset,
    test: datasets.Dataset,
    out: str | Path,
    *,
    validation: datasets.Dataset | None = None,
    column: ColumnChoice = None,
    label_column: str | None = None,
    label: Any = None,
    method: str = "head",
    backbone: str = "embedded",
    layer: int | None = None,
    pooling: str = "mean",
    seeds: Sequence[int] = SEEDS,
    max_rows: int | None = None,
    max_length: int = 256,
    device: str | None = None,
    states: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train a classifier of toxic texts on labelled rows, and measure it on others, once per seed.

    Args:
        train: rows with texts or chats in any schema that is known, and labels of two classes.
        test: the same, of which figures are.
        out: folder of the run; the same call goes on there, or reads its report.
        validation: rows that choose settings and threshold; by default a fifth of the training rows, drawn by each
            seed with both classes in proportion, which then are not trained on.
        column: what is read of a row; by default what the schema says.
        label_column: holds the labels; by default one of `LABEL_COLUMNS`.
        label: that of toxic rows, compared as text; by default true, or the greater of two numbers. A `ClassLabel` is
            read by name, by each set's own, since sets may number them otherwise; of names one has to be given.
        method: `"head"`, logistic regression on hidden states of the frozen backbone (scikit-learn, its L2 penalty
            chosen on validation), or `"lora"`, a head and adapters (transformers, peft).
        backbone: `"embedded"`, a local folder or a Hub id.
        layer: decoder blocks before the hidden states of a head; by default all.
        pooling: of the hidden states of a head: `"mean"` over a text's tokens, or its `"last"`.
        seeds: one trial each.
        max_rows: most rows of each set, drawn at random, always the same.
        max_length: tokens behind which a text is cut.
        device: torch device; by default CUDA where there is one.
        states: folder of hidden states that runs share; by default one in `out`.
        overwrite: replace another run in `out`.

    Returns:
        The report (see `over_seeds`): `auprc`, `auroc` and `f1` on the test rows, the last at the threshold that is
        best on validation; and `rows`, `left_out`, `cut`, `chance` and `options`.

    Raises:
        ColumnError: there are no labels, or no texts.
        DownstreamError: labels are not of two classes, a set lacks one of them, or too few rows are left to train on.
        MissingExtra: the extra `downstream` is not installed.

    Example:
        >>> from datasets import Dataset
        >>> from fac_datasets.downstream import toxicity_detection
        >>> rows = {"text": [f"You are {word}." for word in ("kind", "vile") * 10], "label": [0, 1] * 10}
        >>> train = test = Dataset.from_dict(rows)
        >>> report = toxicity_detection(train, test, "toxic-run", seeds=(42,))
        >>> sorted(report["mean"]), report["rows"]["train"]
        (['auprc', 'auroc', 'f1'], {'rows': 20, 'toxic': 10})
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
    given = {"train": train, "validation": validation, "test": test}
    sets = {name: drawn(rows, max_rows) for name, rows in given.items() if rows is not None}
    labels = _Labels.of(sets, label_column)
    toxic = labels.of_toxic(label)
    read = {name: _Labelled.read(name, rows, head, column, labels.told[name], toxic) for name, rows in sets.items()}
    least = BATCH_ROWS if validation is not None else math.ceil(BATCH_ROWS / (1 - VALIDATION_SHARE))
    require_enough("train", len(read["train"].labels), len(sets["train"]), least, read["train"].left_out, "rows")
    options = {"method": method, "label_column": labels.column, "label": str(toxic), **head.identity}
    identity = {
        "task": "toxicity",
        "rows_of": {name: content_fingerprint(rows) for name, rows in sets.items()},
        "options": {**options, "column": column, "max_rows": max_rows},
    }

    def trial(seed: int) -> dict[str, float]:
        fit, held = (read["train"], read["validation"]) if "validation" in read else _split(read["train"], seed)
        scored = _scores_of_head if method == "head" else _scores_of_lora
        on_held, on_test = scored(fit, held, read["test"], head, seed)
        is_toxic = read["test"].labels
        return {
            "auprc": auprc(is_toxic, on_test),
            "auroc": auroc(on_test[is_toxic], on_test[~is_toxic]),
            "f1": f1(is_toxic, on_test, best_threshold(held.labels, on_held)),
        }

    about = {
        "rows": {name: {"rows": len(each.labels), "toxic": int(each.labels.sum())} for name, each in read.items()},
        "left_out": {name: dict(each.left_out) for name, each in read.items()},
        "cut": {name: each.n_cut(max_length) for name, each in read.items()},
        "validation": _said_of_validation(validation is not None, method),
        "chance": {"auprc": float(read["test"].labels.mean()), "auroc": 0.5},
    }
    return over_seeds(
        out,
        identity,
        seeds,
        trial,
        about=lambda _figures: about,
        plot=lambda report: figures_png(report["seeds"], report["chance"]),
        parts=() if states else (STATES,),
        overwrite=overwrite,
    )


class _Labels(NamedTuple):
    """The labels of all sets."""

    column: str
    told: Mapping[str, Sequence[Any]]
    """Of each row, by set; of a `ClassLabel` the name; None where there is none."""

    @classmethod
    def of(cls, sets: Mapping[str, datasets.Dataset], label_column: str | None) -> _Labels:
        """The labels in a column, or in the first of `LABEL_COLUMNS` that the training rows have."""
        present = sets["train"].column_names
        column = label_column or next((name for name in LABEL_COLUMNS if name in present), None)
        for name, rows in sets.items():
            if column is None or column not in rows.column_names:
                raise ColumnError(
                    f"{name} has no column {column or ' or '.join(LABEL_COLUMNS)} of labels; its columns are "
                    f"{rows.column_names}; name one with label_column= (--label-column)"
                )
        assert column is not None
        names = {name: getattr(rows.features[column], "names", None) for name, rows in sets.items()}
        # Beside a ClassLabel, whose names are texts, others are compared as texts too.
        by_name = any(found is not None for found in names.values())
        told = {name: _told(rows[column], names[name], by_name) for name, rows in sets.items()}
        return cls(column, told)

    def of_toxic(self, label: Any) -> Any:
        """The label that means toxic: the one that is given, or the one that says so itself."""
        by_set = {name: {value for value in told if value is not None} for name, told in self.told.items()}
        values = set().union(*by_set.values())
        if len(values) != 2:
            each = "; ".join(f"{name} has {sorted(map(str, found))[:10]}" for name, found in by_set.items())
            raise DownstreamError(
                f"column {self.column!r} holds {len(values)} different labels, of which {each}; a classifier of toxic "
                f"texts needs two, called alike in all sets"
            )
        called = sorted(map(str, values))
        if label is not None:
            if str(label) not in called:
                raise DownstreamError(f"no row has the label {label!r}; the labels are {called}")
            return next(value for value in values if str(value) == str(label))
        if any(isinstance(value, str) for value in values):
            raise DownstreamError(
                f"column {self.column!r} holds the labels {called}; say which means toxic with label= (--label)"
            )
        return max(values)


def _told(values: Sequence[Any], names: Sequence[str] | None, as_text: bool) -> list[Any]:
    """Labels as they are compared; a `ClassLabel` writes -1 where there is none."""
    if names is not None:
        return [None if value is None or value < 0 else names[value] for value in values]
    return [str(value) if as_text and value is not None else value for value in values]


class _Labelled(NamedTuple):
    """The rows of a set that can be used."""

    windows: list[Window]
    labels: NDArray[np.bool_]
    left_out: Mapping[str, int]

    @classmethod
    def read(
        cls,
        name: str,
        rows: datasets.Dataset,
        head: HiddenStates,
        column: ColumnChoice,
        told: Sequence[Any],
        toxic: Any,
    ) -> _Labelled:
        found, unread = read_rows(rows, column)
        windows = head.windows(found)
        reasons = [
            UNREADABLE if row in unread else NO_LABEL if told[row] is None else "" if has_text else NO_TEXT
            for row, has_text in enumerate(
                window is not None and cut(window, head.max_length).own.any() for window in windows
            )
        ]
        kept = [(window, told[row]) for row, window in enumerate(windows) if window is not None and not reasons[row]]
        labels = np.array([label == toxic for _, label in kept], dtype=bool)
        if labels.all() or not labels.any():
            raise DownstreamError(
                f"{name} has {int(labels.sum())} rows with the label {str(toxic)!r} and {int((~labels).sum())} with "
                f"the other; both are needed"
            )
        return cls([window for window, _ in kept], labels, Counter(filter(None, reasons)))

    def take(self, rows: Sequence[int]) -> _Labelled:
        """Some of the rows."""
        return _Labelled([self.windows[row] for row in rows], self.labels[rows], {})

    def n_cut(self, max_length: int) -> int:
        """Texts that are longer than what is read of them."""
        return sum(len(window.token_ids) > max_length for window in self.windows)


def _said_of_validation(is_given: bool, method: str) -> str:
    if not is_given:
        return f"{VALIDATION_SHARE:.0%} of train, drawn by each seed"
    return "given" if method == "lora" else "given; a head has one optimum, so that seeds do not differ"


def _split(rows: _Labelled, seed: int) -> tuple[_Labelled, _Labelled]:
    """Rows to train on, and the validation part that a seed draws."""
    from sklearn.model_selection import train_test_split

    try:
        fit, held = train_test_split(
            range(len(rows.labels)), test_size=VALIDATION_SHARE, random_state=seed, stratify=rows.labels
        )
    except ValueError as error:
        raise DownstreamError(
            f"train has {int(rows.labels.sum())} toxic and {int((~rows.labels).sum())} other rows, too few to split "
            f"off a validation part ({error}); give more, or --validation"
        ) from error
    return rows.take(fit), rows.take(held)


Scores = tuple["NDArray[np.float64]", "NDArray[np.float64]"]
"""Of the validation and of the test rows."""


def _scores_of_head(fit: _Labelled, held: _Labelled, test: _Labelled, head: HiddenStates, seed: int) -> Scores:
    x_fit, x_held, x_test = (head.of(rows.windows) for rows in (fit, held, test))
    return head_scores(x_fit, fit.labels, x_held, held.labels, x_test, seed=seed)


def linear_head(strength: float, seed: int = 0) -> Pipeline:
    """A logistic regression on standardised states, not fitted.

    Args:
        strength: inverse strength of its L2 penalty, one of `STRENGTHS`.
        seed: see `head_scores`.

    Example:
        >>> [*linear_head(0.1).named_steps]
        ['standardscaler', 'logisticregression']
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000, random_state=seed))


def head_scores(
    fit: NDArray[np.float32],
    fit_labels: NDArray[np.bool_],
    held: NDArray[np.float32],
    held_labels: NDArray[np.bool_],
    test: NDArray[np.float32],
    *,
    seed: int = 0,
) -> Scores:
    """Scores of a logistic regression on standardised states, whose penalty is that with the best AUPRC on validation.

    Args:
        fit: states of the rows that are trained on, [n_fit, d].
        fit_labels: whether each is positive, [n_fit], of both classes.
        held: states of the validation rows, [n_held, d].
        held_labels: whether each is positive, [n_held].
        test: states of the test rows, [n_test, d].
        seed: of the solver, which finds the one optimum whatever the seed.

    Returns:
        Scores of the validation and of the test rows.

    Example:
        >>> import numpy as np
        >>> states, labels = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32), np.array([False, False, True, True])
        >>> on_held, on_test = head_scores(states, labels, states, labels, np.array([[9.0]], np.float32))
        >>> bool(on_test[0] > on_held.max())
        True
    """
    best: tuple[float, Scores] | None = None
    for strength in STRENGTHS:
        model = linear_head(strength, seed).fit(fit, fit_labels)
        scores = model.decision_function(held), model.decision_function(test)
        reached = auprc(held_labels, scores[0])
        if best is None or reached > best[0]:
            best = reached, scores
    assert best is not None
    return best[1]


def _scores_of_lora(fit: _Labelled, held: _Labelled, test: _Labelled, head: HiddenStates, seed: int) -> Scores:
    """Scores of a classifier whose head and adapters are trained."""
    import datasets
    import peft
    import transformers

    def tokens_of(rows: _Labelled) -> list[NDArray[np.int64]]:
        return [cut(window, head.max_length).token_ids for window in rows.windows]

    rows = datasets.Dataset.from_dict({"input_ids": tokens_of(fit), "labels": fit.labels.astype(int)})
    with trainer_arguments(
        transformers.TrainingArguments, seed=seed, device=head.device, epochs=EPOCHS, learning_rate=LEARNING_RATE
    ) as arguments:
        model, tokenizer = sequence_classifier(head, n_labels=2)
        trainer = transformers.Trainer(
            model=peft.get_peft_model(model, lora_config("SEQ_CLS")),
            args=arguments,
            train_dataset=rows,
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
        )
        run(trainer)
        # Of two logits only their difference says something.
        on_held, on_test = (logits_of(trainer, tokens_of(each)) @ [-1, 1] for each in (held, test))
    return on_held, on_test
