"""Two datasets compared feature by feature: what the one has and the other lacks, in rows of equal length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.coverage.active_rows import Cutoffs, active_rows
from fac_datasets.feature_space import Threshold
from fac_datasets.interpretation.comparison import Comparison
from fac_datasets.interpretation.contrast import contrast
from fac_datasets.interpretation.sides import Question, Side, comparison_table
from fac_datasets.rows.reader import ColumnChoice

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


def compare(
    a: datasets.Dataset,
    b: datasets.Dataset,
    *,
    threshold: Threshold = "q90",
    alpha: float = 0.05,
    features: Sequence[int] | NDArray[np.int64] | datasets.Dataset | None = None,
    feature_names: Mapping[int, str] | datasets.Dataset | None = None,
    spans: int = 3,
    column: ColumnChoice = None,
    other_column: ColumnChoice = None,
    names: tuple[str, str] = ("A", "B"),
    seed: int = 0,
) -> Comparison:
    """Compare two datasets feature by feature: what the one has and the other lacks.

    Every feature that a row of either activates is compared by `contrast`: within groups of rows of about the same
    length, since longer texts activate more features, and with p-values adjusted for the number of features. Rows that
    belong together, such as two answers to one prompt, tell more by `compare_pairs`.

    A dataset compared with itself has effects of 0 and no feature that is more in either. Where one side activates
    nothing, all that the other activates is compared; where both activate nothing, the table has no rows.

    Args:
        a: rows with feature columns extracted at threshold 0.
        b: others of the same feature space.
        threshold: what an activation must exceed to count in `rows_a` and `rows_b`: a number in the SAE's units, or a
            quantile such as `"q90"`. Effects are of all activations.
        alpha: false discovery rate of `more_in`.
        features: only these are compared: ids, or a judged feature table, of which the relevant ones.
        feature_names: names by id, or a feature table with names. By default those of a table in `features`, or else
            those that ship with the embedded SAE.
        spans: example spans of each side, at most 32; with 0 neither texts nor offsets are needed.
        column: of the texts, such as `"chosen"`, whose feature columns begin with it; by default the one known name
            that is present.
        other_column: the same of b; by default that of a.
        names: of the two, for plot, page and report.
        seed: of the spans drawn.

    Raises:
        DatasetError: one of the two has no rows, or is several splits or a stream, or no row of one is about as long as
            any of the other.
        ColumnError: there are no feature columns, or they do not hold every activation.
        RowError: a row has no features, or damaged ones; see `coverage`.
        FeatureSpaceMismatch: the two, or they and a table, are of different spaces.
        CalibrationMissing: the threshold is a quantile and the SAE has no calibration.
        OptionError: an option has no meaning.

    Example:
        >>> found = compare(anchor, seed, names=("anchor", "seed"))
        >>> found.table.column_names[:6]
        ['feature_id', 'feature_space', 'name', 'more_in', 'effect', 'low']
        >>> len(found.more_in("a")) <= len(found.table)
        True
        >>> found.plot("comparison.png")
        >>> found.to_html().startswith("<!DOCTYPE html>")
        True
        >>> max(compare(anchor, anchor).table["effect"])
        0.0
    """
    sides = Side.of(a, column, "a"), Side.of(b, column if other_column is None else other_column, "b")
    question = Question(threshold, alpha, features, feature_names, spans, seed).checked(*sides)
    cutoffs = Cutoffs(sides[0].space, question.threshold)
    active = [active_rows(side.features, cutoffs) for side in sides]
    ids = question.compared(np.concatenate([of_side.ids for of_side in active]))
    found = contrast(sides[0].features, sides[1].features, ids)
    rows_a, rows_b = (np.bincount(of_side.ids, minlength=int(ids.max(initial=-1)) + 1)[ids] for of_side in active)
    columns = {
        "effect": found.effect,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "q": found.adjusted_p,
        "rows_a": rows_a,
        "rows_b": rows_b,
    }
    return Comparison(
        comparison_table(*sides, question, ids, columns),
        (str(names[0]), str(names[1])),
        (len(a), len(b)),
        question.threshold,
        question.alpha,
        found.left_out,
    )
