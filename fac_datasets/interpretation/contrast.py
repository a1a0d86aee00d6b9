"""Relevance without a language model: which features fire differently in text of the task and in other text?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import feature_batches, row_features, token_counts
from fac_datasets.errors import ColumnError, DatasetError, OptionError
from fac_datasets.feature_space import FeatureSpace, dataset_space, require_same_space, require_table_space
from fac_datasets.interpretation.evidence import with_evidence
from fac_datasets.interpretation.spans import require_all_activations
from fac_datasets.interpretation.statistics import NORMAL_95, adjusted_p, permutation_p
from fac_datasets.rows.inputs import feature_ids
from fac_datasets.rows.one_dataset import require_dataset
from fac_datasets.rows.tables import add_columns, require_columns

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

MEASURES = ("auroc", "log_odds")
"""Ways to compare a feature's activations in two sets of rows."""


LENGTH_GROUPS = 10
"""Groups of rows of about the same length, at most."""

_GROUP_ROWS = 20
"""Rows of a group, at least."""

_MUCH_LOST = 0.1
"""Share of rows without counterpart above which there is a warning."""


class Contrast(NamedTuple):
    """How features differ between two sets of rows."""

    effect: NDArray[np.float64]
    """Size and direction, above 0 where a feature fires more in the positive rows, [n_features]: 2 AUROC - 1, in
    [-1, 1], or the log odds ratio."""
    p: NDArray[np.float64]
    """Two-sided p-value of each feature by itself, [n_features]."""
    adjusted_p: NDArray[np.float64]
    """The same, adjusted for the number of features, [n_features]."""
    low: NDArray[np.float64]
    """Lower end of the effect's 95 % interval, [n_features]."""
    high: NDArray[np.float64]
    """Upper end of the interval, [n_features]."""
    left_out: int
    """Rows that are not compared, because the other side has none of about their length."""


class _Activations(NamedTuple):
    """Activations of all features in rows, without zeros."""

    ids: NDArray[np.int64]
    """Feature, [n]."""
    values: NDArray[np.float32]
    """Activation, [n]."""
    rows: NDArray[np.int64]
    """Row, [n]."""
    n_rows: int

    def of(self, rows: NDArray[np.bool_]) -> _Activations:
        """Those of some rows."""
        kept = rows[self.rows]
        return _Activations(self.ids[kept], self.values[kept], self.rows[kept], int(rows.sum()))


def contrast_relevance(
    table: datasets.Dataset,
    positive: datasets.Dataset,
    background: datasets.Dataset,
    *,
    measure: str = "auroc",
    alpha: float = 0.05,
    prefix: str = "",
) -> datasets.Dataset:
    """Compare each feature's activation in text of the task with that in other text.

    Longer texts activate more features, so rows are compared within groups of about the same number of own tokens: ten
    of them where there are enough rows. A row of one group is never compared with a row of another. The p-values are
    those of labels dealt out at random within the groups, also where few rows are positive or a feature fires in few.

    Args:
        table: a feature table.
        positive: rows of the task, such as toxic prompts, with feature columns extracted at threshold 0.
        background: other rows.
        measure: `"auroc"` of the pooled activation (van Elteren's test, which with one group is Mann and Whitney's), or
            `"log_odds"` of firing at all (Mantel and Haenszel's odds ratio and test).
        alpha: false discovery rate across the features of the table (Benjamini and Hochberg).
        prefix: of the feature columns.

    Returns:
        The table with `contrast` (2 AUROC - 1, or the log odds ratio; above 0 where the feature fires more in the
        positive rows), `contrast_measure`, `relevance_p` (adjusted), and `contrast` among the `evidence` of features
        that fire more, with an adjusted p of at most alpha.

    Raises:
        OptionError: the measure is unknown, or alpha is not in (0, 1).
        FeatureSpaceMismatch: table and rows are of different spaces.
        RowError: a row has no features, or damaged ones; see `coverage`.
        DatasetError: one of the two has no rows, or is several splits or a stream, or no row of one is about as long as
            any of the other.

    Example:
        >>> from fac_datasets.interpretation.contrast import split_by_label
        >>> judged = contrast_relevance(table, *split_by_label(labelled, "toxic", 1))
        >>> "relevance_p" in judged.column_names
        True
    """
    from datasets import Value

    require_dataset(table, "the feature table")
    require_columns(table, "feature_id", "feature_space")
    if not 0 < alpha < 1:
        raise OptionError(f"alpha={alpha} is not in (0, 1)")
    ids = np.asarray(table["feature_id"], dtype=np.int64)
    for name, rows in (("positive", positive), ("background", background)):
        require_dataset(rows, f"{name}=")
        if not len(rows):
            raise DatasetError(f"there are no {name} rows; a contrast needs some of both")
        for space in sorted(set(table["feature_space"])):
            require_same_space(FeatureSpace.parse(space), dataset_space(rows, prefix))
    found = contrast(positive, background, ids, measure=measure, prefix=prefix)
    table = add_columns(
        table,
        {
            "contrast": (found.effect, Value("float32")),
            "contrast_measure": ([measure] * len(table), Value("string")),
            "relevance_p": (found.adjusted_p, Value("float64")),
        },
    )
    return with_evidence(table, "contrast", (found.adjusted_p <= alpha) & (found.effect > 0))


def contrast(
    positive: datasets.Dataset,
    background: datasets.Dataset,
    features: Sequence[int] | NDArray[np.int64],
    *,
    measure: str = "auroc",
    prefix: str = "",
) -> Contrast:
    """Compare the activations of features in two sets of rows; see `contrast_relevance`.

    Args:
        positive: rows of the task, with feature columns extracted at threshold 0.
        background: other rows.
        features: ids, [n_features].
        measure: `"auroc"` or `"log_odds"`.
        prefix: of the feature columns.

    Returns:
        Effects, p-values and intervals of these features, in their order. The interval of the AUROC rests on the
        variance of placements (DeLong, DeLong and Clarke-Pearson 1988) over all groups, and that of the log odds ratio
        on Robins, Breslow and Greenland (1986). Both are of rows as numerous and as long as these; a side of a single
        row does not tell how rows differ, and the interval of its AUROC is [-1, 1].

    Raises:
        OptionError: the measure is unknown, or features are no ids.
        ColumnError: the columns do not hold every activation.
        RowError: a row has no features, or damaged ones; see `coverage`.
        FeatureSpaceMismatch: the two sets are of different spaces.
        DatasetError: no row of one set is about as long as any of the other.

    Example:
        >>> contrast(*split_by_label(labelled, "toxic", 1), table["feature_id"]).effect.shape == (len(table),)
        True
    """
    if measure not in MEASURES:
        raise OptionError(f"measure={measure!r} is none of {MEASURES}")
    for name, rows in (("positive", positive), ("background", background)):
        require_dataset(rows, f"{name}=")
    space = dataset_space(positive, prefix)
    require_all_activations(space)
    require_same_space(space, dataset_space(background, prefix))
    ids = feature_ids(features, "features")
    size = int(ids.max(initial=-1)) + 1
    sides = _activations(positive, prefix, size), _activations(background, prefix, size)
    lengths = [token_counts(rows, prefix) for rows in (positive, background)]
    groups = _comparable_groups(*lengths)
    compare = _auroc if measure == "auroc" else _log_odds
    compared = [np.isin(mine, others) for mine, others in (groups, groups[::-1])]
    parts = [
        compare(sides[0].of(groups[0] == group), sides[1].of(groups[1] == group), size)
        for group in np.intersect1d(*groups)
    ]
    of_all = _combined(parts, size)
    n_compared = [int(of_side.sum()) for of_side in compared]
    effect, low, high = _auroc_effect(of_all, *n_compared) if measure == "auroc" else _log_odds_effect(of_all)
    p = permutation_p(of_all.difference, of_all.variance, of_all.third, of_all.step)[ids]
    left_out = sum(map(len, lengths)) - sum(n_compared)
    return Contrast(effect[ids], p, adjusted_p(p), low[ids], high[ids], left_out)


def distinct_features(
    table: datasets.Dataset,
    rows: datasets.Dataset,
    most: int,
    *,
    alike: float = 0.5,
    prefix: str = "",
) -> NDArray[np.int64]:
    """The few features that tell the task's rows from others best, none of which fires much like another.

    Those of the largest contrast are taken in turn, also those that fire less in the task, since they tell as much.

    Args:
        table: a feature table that `contrast_relevance` has judged.
        rows: with feature columns; the rows that were compared, or others of their kind.
        most: features that are taken.
        alike: a feature whose activation over the rows correlates by at least this much (Pearson, either sign) with one
            that was taken is left out.
        prefix: of the feature columns.

    Returns:
        Ids, the largest contrast first, [at most `most`].

    Raises:
        ColumnError: the table has no contrast.
        FeatureSpaceMismatch: table and rows are of different spaces.

    Example:
        >>> len(distinct_features(judged, labelled, 3)) <= 3
        True
    """
    require_dataset(table, "the feature table")
    require_dataset(rows, "rows=")
    require_columns(table, "feature_id", "feature_space", "contrast")
    require_table_space(table, dataset_space(rows, prefix))
    order = np.argsort(-np.abs(np.asarray(table["contrast"], dtype=np.float64)), kind="stable")
    ids = np.asarray(table["feature_id"], dtype=np.int64)[order]
    found = _activations(rows, prefix, int(ids.max(initial=-1)) + 1)
    order = np.argsort(found.ids, kind="stable")
    begins = np.searchsorted(found.ids, ids, sorter=order)
    ends = np.searchsorted(found.ids, ids, side="right", sorter=order)
    taken: list[int] = []
    kept = np.zeros((min(most, len(ids)), len(rows)))
    for feature, begin, end in zip(ids.tolist(), begins.tolist(), ends.tolist(), strict=True):
        if len(taken) == most:
            break
        places = order[begin:end]
        values = np.zeros(len(rows))
        values[found.rows[places]] = found.values[places]
        values -= values.mean()
        norm = np.linalg.norm(values)
        values /= norm if norm else 1.0
        if not taken or np.abs(kept[: len(taken)] @ values).max() < alike:
            kept[len(taken)] = values
            taken.append(feature)
    return np.array(taken, dtype=np.int64)


def split_by_label(dataset: datasets.Dataset, column: str, positive: Any) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The rows with a label, and the others; rows without any label (null) are in neither.

    Args:
        dataset: rows.
        column: holds the labels.
        positive: the label of the task's text; a text is compared as text, so that "1" means 1 too.

    Raises:
        ColumnError: there is no such column, or no row has that label.
    """
    if column not in dataset.column_names:
        raise ColumnError(f"there is no column {column!r}; the columns are {dataset.column_names}")
    labels = list(dataset[column])
    inside = [i for i, label in enumerate(labels) if label is not None and str(label) == str(positive)]
    outside = [i for i, label in enumerate(labels) if label is not None and str(label) != str(positive)]
    if not inside:
        raise ColumnError(
            f"no row has the label {positive!r}; the labels are {sorted({str(one) for one in labels})[:20]}"
        )
    return dataset.select(inside), dataset.select(outside)


def _activations(rows: datasets.Dataset, prefix: str, size: int) -> _Activations:
    parts = [_Activations(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64), 0)]
    start = 0
    for batch in feature_batches(rows, prefix):
        lengths, ids, values = row_features(batch, prefix, first_row=start)
        of_rows = np.repeat(np.arange(start, start + len(lengths)), lengths)
        known = ids < size
        parts.append(_Activations(ids[known], values[known], of_rows[known], len(lengths)))
        start += len(lengths)
    ids, values, of_rows = (np.concatenate([part[place] for part in parts]) for place in range(3))
    return _Activations(ids, values, of_rows, start)


def _groups(positive: NDArray[np.int64], background: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Group of each row by its length, of equal sizes as far as equal lengths allow."""
    both = np.concatenate([positive, background])
    number = max(1, min(LENGTH_GROUPS, len(both) // _GROUP_ROWS))
    edges = np.quantile(both, np.arange(1, number) / number)
    return np.searchsorted(edges, positive), np.searchsorted(edges, background)


def _comparable_groups(positive: NDArray[np.int64], background: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Groups of rows by length; says so where much is left out because only one side has rows of that length."""
    first, second = _groups(positive, background)
    lost = int((~np.isin(first, second)).sum() + (~np.isin(second, first)).sum())
    total = len(first) + len(second)
    if lost == total:
        raise DatasetError(
            f"no row of one set is about as long as a row of the other (medians {np.median(positive):.0f} and "
            f"{np.median(background):.0f} own tokens), so that what differs cannot be told apart from length; choose "
            f"rows of similar length"
        )
    if lost > _MUCH_LOST * total:
        warnings.warn(
            f"{lost:,} of {total:,} rows are not compared, because the other side has none of about their length",
            stacklevel=4,
        )
    return first, second


class _Compared(NamedTuple):
    """What one group of rows says of each feature, [size] each."""

    difference: NDArray[np.float64]
    """Of what was observed from what is expected where nothing differs."""
    variance: NDArray[np.float64]
    """Of the difference, over all ways to deal out the labels within the group."""
    third: NDArray[np.float64]
    """Third central moment of the difference, over the same."""
    step: NDArray[np.float64]
    """How much the difference changes, at the least, where one more positive row fires."""
    effect: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Of which the sums over the groups give the effect: part and whole, or the two products of an odds ratio."""
    spread: tuple[NDArray[np.float64], ...]
    """Of which the sums over the groups give the variance of the effect."""


def _combined(parts: Sequence[_Compared], size: int) -> _Compared:
    """What all groups together say of each feature, [size] each."""
    nothing = np.zeros(size)
    return _Compared(
        sum((part.difference for part in parts), nothing),
        sum((part.variance for part in parts), nothing),
        sum((part.third for part in parts), nothing),
        np.max([part.step for part in parts], axis=0),
        (sum((part.effect[0] for part in parts), nothing), sum((part.effect[1] for part in parts), nothing)),
        tuple(sum(same, nothing) for same in zip(*(part.spread for part in parts), strict=True)),
    )


class _Effect(NamedTuple):
    """An effect with its 95 % interval, [size] each."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def _auroc_effect(of_all: _Compared, n_positive: int, n_background: int) -> _Effect:
    """2 AUROC - 1 with its interval.

    The AUROC is the weighted mean of the positive rows' placements, the share of background rows below each, and
    likewise of the background rows', so that its variance follows from theirs (DeLong, DeLong and Clarke-Pearson
    1988). They are taken around the common AUROC, since a group may hold a single row of a side. Where a feature parts
    the sides wholly, or few rows have it, placements hardly vary; so each side is taken to have one more row, of which
    nobody knows whether it lies above all others or below, as Agresti and Caffo (2000) do for shares.
    """
    effect = of_all.effect[0] / of_all.effect[1]
    if min(n_positive, n_background) < 2:
        return _Effect(effect, np.full_like(effect, -1), np.full_like(effect, 1))
    area = (effect + 1) / 2
    variance = np.full_like(effect, 1 / (n_positive + 1) ** 2 + 1 / (n_background + 1) ** 2)
    for n_rows, of_side in ((n_positive, of_all.spread[:3]), (n_background, of_all.spread[3:])):
        squares, sums, weights = of_side
        around = np.maximum(squares - 2 * area * sums + area**2 * weights, 0)
        variance += 4 * n_rows / (n_rows - 1) * around / of_all.effect[1] ** 2
    centre = effect * (n_positive / (n_positive + 1)) * (n_background / (n_background + 1))
    error = NORMAL_95 * np.sqrt(variance)
    return _Effect(
        effect,
        np.minimum(effect, np.maximum(centre - error, -1)),
        np.maximum(effect, np.minimum(centre + error, 1)),
    )


def _log_odds_effect(of_all: _Compared) -> _Effect:
    """Mantel and Haenszel's log odds ratio, with the interval of Robins, Breslow and Greenland (1986)."""
    # Half a pair on each side, once, so that a feature that is silent on one side has a finite ratio.
    first, second = (product + 0.5 for product in of_all.effect)
    both_first, mixed, both_second = (
        part + of_half for part, of_half in zip(of_all.spread, (0.25, 0.5, 0.25), strict=True)
    )
    effect = np.log(first / second)
    variance = both_first / (2 * first**2) + mixed / (2 * first * second) + both_second / (2 * second**2)
    error = NORMAL_95 * np.sqrt(variance)
    return _Effect(effect, effect - error, effect + error)


def _third_moment(n_positive: int, total: int, cubes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Third central moment of the sum of some of the scores, drawn without replacement.

    Args:
        n_positive: scores drawn.
        total: scores.
        cubes: sum of the cubed deviations of all scores from their mean.
    """
    n_background = total - n_positive
    if total < 3:
        return np.zeros_like(cubes)
    # Of a sum drawn without replacement; 0 where as many are drawn as left, which makes the distribution symmetric.
    share = n_positive * n_background * (n_background - n_positive) / (total * (total - 1) * (total - 2))
    return share * cubes


def _auroc(positive: _Activations, background: _Activations, size: int) -> _Compared:
    """Mann and Whitney's U with its correction for ties, weighted as van Elteren (1960) does: by 1 / (rows + 1)."""
    n_positive, n_background = positive.n_rows, background.n_rows
    total = n_positive + n_background
    ids = np.concatenate([positive.ids, background.ids])
    values = np.concatenate([positive.values, background.values])
    is_positive = np.arange(len(ids)) < len(positive.ids)
    order = np.lexsort((values, ids))
    ids, values, is_positive = ids[order], values[order], is_positive[order]
    firing = np.bincount(ids, minlength=size)
    silent = total - firing
    # Rows where a feature is silent tie at the bottom; the others are ranked above them, ties at their mean rank.
    begins = firing.cumsum() - firing
    first = np.concatenate([[True], (ids[1:] != ids[:-1]) | (values[1:] != values[:-1])]) if len(ids) else is_positive
    group = first.cumsum() - 1
    sizes = np.bincount(group)
    group_begins = sizes.cumsum() - sizes
    ranks = silent[ids] + (group_begins[group] - begins[ids]) + (sizes[group] + 1) / 2
    silent_positive = n_positive - np.bincount(ids[is_positive], minlength=size)
    rank_sum = np.bincount(ids, weights=ranks * is_positive, minlength=size) + silent_positive * (silent + 1) / 2
    # Nearly all rows are silent, so this one tie takes most of the variance away; without the correction hardly
    # anything would be significant.
    ties = (silent.astype(np.float64) ** 3 - silent) + np.bincount(
        ids[first], weights=sizes.astype(np.float64) ** 3 - sizes, minlength=size
    )
    half = n_positive * n_background / 2
    difference = rank_sum - n_positive * (n_positive + 1) / 2 - half
    variance = half / 6 * (total + 1 - ties / (total * (total - 1)))
    middle = (total + 1) / 2
    cubes = np.bincount(ids, weights=(ranks - middle) ** 3, minlength=size) + silent * ((silent + 1) / 2 - middle) ** 3
    # Rows of either side by tied activation, and those of the same feature below.
    of = ids[first]
    fired = np.bincount(ids[is_positive], minlength=size)
    tied = np.bincount(group[is_positive], minlength=len(of))
    tied_there = sizes - tied
    below = tied.cumsum() - tied - (fired.cumsum() - fired)[of] + silent_positive[of]
    below_there = group_begins - begins[of] + silent[of] - below
    silent_there = silent - silent_positive
    spread = (
        *_placements(of, tied, below_there + tied_there / 2, silent_positive, silent_there / 2, n_background),
        *_placements(
            of, tied_there, n_positive - below - tied / 2, silent_there, n_positive - silent_positive / 2, n_positive
        ),
    )
    # The weights with the most power where the shift is the same in every group (van Elteren 1960).
    weight = 1 / (total + 1)
    return _Compared(
        weight * difference,
        weight**2 * variance,
        weight**3 * _third_moment(n_positive, total, cubes),
        weight * (silent + 1) / 2,
        (weight * difference, np.full(size, weight * half)),
        tuple(part * (weight * half) ** 2 for part in spread),
    )


def _placements(
    ids: NDArray[np.int64],
    rows: NDArray[np.int64],
    beaten: NDArray[np.float64],
    silent_rows: NDArray[np.int64],
    silent_beaten: NDArray[np.float64],
    n_others: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sums of the squared placements of one side's rows, of the placements, and of 1, over the squared number of rows.

    Args:
        ids: feature of each tied activation, [n].
        rows: rows of this side that have it, [n].
        beaten: rows of the other side on the right side of it, ties by half, [n].
        silent_rows: rows of this side that are silent, [size].
        silent_beaten: the same for these, [size].
        n_others: rows of the other side.
    """
    size = len(silent_rows)
    n_rows = silent_rows + np.bincount(ids, weights=rows, minlength=size)
    placement, silent_placement = beaten / n_others, silent_beaten / n_others
    squares, sums = (
        np.bincount(ids, weights=rows * placement**power, minlength=size) + silent_rows * silent_placement**power
        for power in (2, 1)
    )
    return squares / n_rows**2, sums / n_rows**2, 1 / n_rows


def _log_odds(positive: _Activations, background: _Activations, size: int) -> _Compared:
    """Firing rows against their expectation, and the two products of the odds ratio (Mantel and Haenszel 1959)."""
    fired, fired_there = (np.bincount(part.ids, minlength=size).astype(np.float64) for part in (positive, background))
    n_positive, n_background = positive.n_rows, background.n_rows
    total = n_positive + n_background
    firing = fired + fired_there
    variance = n_positive * n_background * firing * (total - firing) / (total**2 * (total - 1))
    ratio = (
        fired * (n_background - fired_there) / total,
        fired_there * (n_positive - fired) / total,
    )
    cubes = firing * (1 - firing / total) ** 3 - (total - firing) * (firing / total) ** 3
    agreeing = (fired + n_background - fired_there) / total
    differing = 1 - agreeing
    return _Compared(
        fired - n_positive * firing / total,
        variance,
        _third_moment(n_positive, total, cubes),
        np.ones(size),
        ratio,
        (agreeing * ratio[0], agreeing * ratio[1] + differing * ratio[0], differing * ratio[1]),
    )
