"""Pairs of rows compared feature by feature: what a preference set teaches, and what of it is style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.active_rows import BATCH_ROWS, Cutoffs, feature_batches, row_features
from fac_datasets.errors import ColumnError, DatasetError
from fac_datasets.feature_space import Threshold
from fac_datasets.interpretation.comparison import Comparison
from fac_datasets.interpretation.sides import Question, Side, comparison_table
from fac_datasets.interpretation.statistics import adjusted_p, paired_share_difference, sign_test_p, student_quantile
from fac_datasets.interpretation.style import StyleCounts, style_counts
from fac_datasets.rows.one_dataset import require_dataset
from fac_datasets.rows.reader import ColumnChoice, each_row_text

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

STYLE_R = 0.5
"""Correlation with a count of style, of either sign, from which on a feature is marked."""


def compare_pairs(
    a: datasets.Dataset,
    b: datasets.Dataset | None = None,
    *,
    threshold: Threshold = "q90",
    alpha: float = 0.05,
    features: Sequence[int] | NDArray[np.int64] | datasets.Dataset | None = None,
    feature_names: Mapping[int, str] | datasets.Dataset | None = None,
    spans: int = 3,
    column: ColumnChoice = None,
    other_column: ColumnChoice = None,
    names: tuple[str, str] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare the rows of pairs feature by feature, such as chosen and rejected answers: what a preference set teaches.

    Of each feature that any row activates, with n pairs:

    - `effect` is the mean within pairs of the difference in being active: the share of pairs in which side a alone is,
      less that in which side b alone is. Its interval is that of Bonett and Price (2012), its `p` McNemar's exact test.
    - `activation` is the mean within pairs of the difference in activation, with the interval of Student's t.
    - `split_half` says whether the effect has the same sign, and not 0, in both halves of the pairs, drawn at random.
    - `style_r` is the correlation (Pearson) over the pairs of the difference in activation with that in a count of
      style, the one of the largest size among `length`, `lists`, `markdown` and `greetings` (see `style_counts`).
      `style` names the count where this is at least 0.5 in size: such a feature goes with how answers are written, and
      a model may learn that alone.

    Pairs of equal rows have effects of 0 and no feature that is more on either side.

    Args:
        a: rows with feature columns extracted at threshold 0, of both sides unless b is given.
        b: as many rows, each of which belongs to the row of a in its place.
        threshold: what an activation must exceed for a row to be active: a number in the SAE's units, or a quantile.
        alpha: see `compare`.
        features: see `compare`.
        feature_names: see `compare`.
        spans: see `compare`.
        column: of the texts of side a; without b by default `"chosen"`.
        other_column: of the texts of side b; without b by default `"rejected"`, with it that of a.
        names: of the sides, for plot, page and report; by default the two columns, or A and B.
        seed: of the halves, and of the spans drawn.

    Raises:
        DatasetError: there are fewer than two pairs, or the two have different numbers of rows.
        ColumnError: there are no such columns, or no feature columns of them that hold every activation.
        RowError: a row has no features, or damaged ones; see `coverage`.
        FeatureSpaceMismatch: the sides, or they and a table, are of different spaces.
        CalibrationMissing: the threshold is a quantile and the SAE has no calibration.
        OptionError: an option has no meaning.

    Example:
        >>> from datasets import Dataset
        >>> answers = {"prompt": ["A fruit?"] * 3, "chosen": ["- A pear."] * 3, "rejected": ["No.", "I won't.", "-"]}
        >>> pairs = Dataset.from_dict(answers)
        >>> for side in ("chosen", "rejected"):
        ...     pairs = pairs.map(FeatureExtractor(threshold=0, column=side), batched=True)
        >>> found = compare_pairs(pairs)
        >>> found.names, found.n_rows
        (('chosen', 'rejected'), (3, 3))
        >>> sorted({*found.table.column_names} & {"activation", "split_half", "style", "style_r"})
        ['activation', 'split_half', 'style', 'style_r']
    """
    if b is None:
        require_dataset(a, "the dataset")
        column, other_column = column or "chosen", other_column or "rejected"
        for name in (column, other_column):
            if isinstance(name, str) and "{" not in name and name not in a.column_names:
                raise ColumnError(
                    f"there is no column {name!r} among {a.column_names}; name the two columns of the pairs, or give "
                    f"two datasets whose rows belong together"
                )
    sides = Side.of(a, column, "a"), Side.of(a if b is None else b, other_column or column, "b")
    n = len(a)
    if len(sides[1].rows) != n:
        raise DatasetError(
            f"a has {n:,} rows and b has {len(sides[1].rows):,}; in pairs each row of a belongs to the one of b in its "
            f"place"
        )
    if n < 2:
        raise DatasetError("one pair does not tell how pairs differ; give at least two")
    question = Question(threshold, alpha, features, feature_names, spans, seed).checked(*sides)
    style = np.subtract(*(_style(side) for side in sides))
    halves = np.random.default_rng(seed).permutation(n) % 2
    sums = _pair_sums(*sides, Cutoffs(sides[0].space, question.threshold), style, halves)
    ids = question.compared(np.flatnonzero(sums["rows_a"] + sums["rows_b"]))
    of = {name: values[..., ids] for name, values in sums.items()}
    only_a, only_b = (of[f"only_{side}"].sum(axis=0).astype(np.int64) for side in ("a", "b"))
    effect, low, high = paired_share_difference(only_a, only_b, n)
    p = sign_test_p(only_a, only_b)
    activation = of["difference"] / n
    error = student_quantile(n - 1) * np.sqrt(_spread(of["squares"], activation, n) / (n - 1) / n)
    signs = np.sign(of["only_a"] - of["only_b"])
    kind, style_r = _style_of(of, style, n)
    columns = {
        "effect": effect,
        "low": low,
        "high": high,
        "p": p,
        "q": adjusted_p(p),
        "rows_a": of["rows_a"].astype(np.int64),
        "rows_b": of["rows_b"].astype(np.int64),
        "activation": activation,
        "activation_low": activation - error,
        "activation_high": activation + error,
        "split_half": (signs[0] == signs[1]) & (signs[0] != 0),
        "style": kind,
        "style_r": style_r,
    }
    called = names or (("A", "B") if b is not None else (str(column), str(other_column)))
    return Comparison(
        comparison_table(*sides, question, ids, columns),
        (str(called[0]), str(called[1])),
        (n, n),
        question.threshold,
        question.alpha,
        is_paired=True,
    )


def _style(side: Side) -> NDArray[np.float64]:
    """The counts of style of each row, [n_rows, n_counts]."""
    counts = [style_counts(text) for text in each_row_text(side.rows, side.column)]
    return np.array(counts, dtype=np.float64).reshape(len(counts), len(StyleCounts._fields))


def _pair_sums(
    a: Side, b: Side, cutoffs: Cutoffs, style: NDArray[np.float64], halves: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Sums over all pairs of what is known of each feature, [..., highest id + 1].

    Args:
        a: one side.
        b: the other.
        cutoffs: what an activation must exceed to be active.
        style: differences of the counts of style, [n_pairs, n_counts].
        halves: half of each pair, 0 or 1.
    """
    sums: dict[str, NDArray[np.float64]] = {}
    start = 0
    for batches in zip(feature_batches(a.features), feature_batches(b.features), strict=True):
        sides = [row_features(batch, first_row=start) for batch in batches]
        keys = [
            features.ids * BATCH_ROWS + np.repeat(np.arange(len(features.lengths)), features.lengths)
            for features in sides
        ]
        # A pair and feature that both sides have is one entry.
        known, place = np.unique(np.concatenate(keys), return_inverse=True)
        here, there = np.split(place, [len(keys[0])])
        on_a, on_b, difference = (np.zeros(len(known)) for _ in range(3))
        difference[here] += sides[0].values
        difference[there] -= sides[1].values
        on_a[here], on_b[there] = cutoffs.exceeded(sides[0]), cutoffs.exceeded(sides[1])
        ids, pairs = known // BATCH_ROWS, start + known % BATCH_ROWS
        of_half = [halves[pairs] == half for half in (0, 1)]
        parts = {
            "rows_a": [on_a],
            "rows_b": [on_b],
            "only_a": [on_a * (1 - on_b) * in_half for in_half in of_half],
            "only_b": [on_b * (1 - on_a) * in_half for in_half in of_half],
            "difference": [difference],
            "squares": [difference**2],
            "products": [difference * count[pairs] for count in style.T],
        }
        for name, weights in parts.items():
            found = np.array([np.bincount(ids, weights=each) for each in weights])
            found = found if len(weights) > 1 else found[0]
            sums[name] = _added(sums[name], found) if name in sums else found
        start += len(sides[0].lengths)
    return sums


def _added(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of two arrays whose last axes may differ in length."""
    longer, shorter = (first, second) if first.shape[-1] >= second.shape[-1] else (second, first)
    longer = longer.copy()
    longer[..., : shorter.shape[-1]] += shorter
    return longer


def _style_of(
    of: Mapping[str, NDArray[np.float64]], style: NDArray[np.float64], n: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The count of style that each feature goes with, or None, and the correlation of the largest size."""
    means = style.mean(axis=0)
    spreads = ((style - means) ** 2).sum(axis=0)
    varies = np.outer(spreads, _spread(of["squares"], of["difference"] / n, n))
    covariance = of["products"] - np.outer(means, of["difference"])
    # What does not vary goes with nothing.
    r = np.divide(covariance, np.sqrt(varies), out=np.zeros_like(covariance), where=varies > 0)
    strongest = np.abs(r).argmax(axis=0)
    largest = np.clip(np.take_along_axis(r, strongest[None], axis=0)[0], -1, 1)
    kinds = np.array([*StyleCounts._fields, None], dtype=object)
    return kinds[np.where(np.abs(largest) >= STYLE_R, strongest, -1)], largest


def _spread(squares: NDArray[np.float64], mean: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Sum of squared deviations from the mean; 0 where rounding alone would remain."""
    spread = squares - n * mean**2
    return np.where(spread > 1e-9 * squares, spread, 0.0)
