"""Which rows to keep: few that cover the features of a task, or of the dataset itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.coverage.candidates import Candidates, require_own_column
from fac_datasets.coverage.chosen import Selection
from fac_datasets.coverage.greedy import Greedy, Wanted
from fac_datasets.coverage.relevant import ids_of, relevant_of_anchor, require_features_of
from fac_datasets.coverage.row_counts import Rows, row_counts
from fac_datasets.errors import ColumnError, DatasetError, OptionError, RowError
from fac_datasets.feature_space import FeatureSpace, Threshold, dataset_space, parse_threshold
from fac_datasets.rows.one_dataset import is_stream, require_dataset

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


def select_covering_subset(
    dataset: datasets.Dataset | datasets.IterableDataset,
    *,
    anchor: Rows | None = None,
    features: Sequence[int] | NDArray[np.int64] | datasets.Dataset | None = None,
    threshold: Threshold = "q90",
    size: int | None = None,
    tokens: int | None = None,
    target: float | None = None,
    per_feature: int = 1,
    quality: str | None = None,
    feature_weights: str | Mapping[int, float] | None = None,
    given: Rows | None = None,
    per: str | None = None,
    prefix: str = "",
) -> Selection:
    """Choose few rows that cover many features: greedy maximum coverage.

    Wanted are the features that the anchor activates (and `features` allows), or without an anchor those of the dataset
    itself. Each choice is the row that adds most; of equals the lower row. What counts as active is what `coverage`
    counts. The curve is the sum over all wanted features of weight times min(rows chosen or given that activate it,
    per_feature), over the sum of weight times per_feature; with neither weights nor `per_feature` it is the FAC of the
    rows chosen so far. It ends where a limit is reached, or no other row adds anything; with no limit only there. What
    cannot be reached is no error: `stopped`, `reason` and `reached` of the result tell. Limits can be combined, and the
    first that is reached ends the choice.

    How good it is, for whole rows and any data: with `size`, what is covered is at least 1 - 1/e of what the best rows
    of that number cover (Nemhauser, Wolsey and Fisher 1978); with `target`, at most 1 + ln n times as many rows are
    chosen as are needed, n the wanted features times `per_feature` (Chvatal 1979, Wolsey 1982); with `tokens`, at least
    (1 - 1/e) / 2 of the best within the budget is covered, since the better is taken of choosing by gain and by gain a
    token (Leskovec and others 2007, Cost-effective outbreak detection in networks). `quality` scales the gain of each
    row at the time of its choice, and these bounds then say nothing. `given` counts as covered in all of them.

    A stream, and a dataset whose active features do not fit into memory (80 million pairs of row and feature are kept),
    are read as often as needed, and give the very same rows, with the same bounds: the rows that add most are kept, and
    when one of the others may be better, all are read again. A stream must give the same rows each time.

    Args:
        dataset: rows with feature columns, or a stream of them.
        anchor: rows with feature columns of the same space, which stand for the target task; or a stream of them, or
            the merged state of some.
        features: only these ids are wanted; or a judged feature table, whose relevant features are. See `coverage`.
        threshold: a number in the SAE's units, or a quantile such as `"q90"`.
        size: most rows.
        tokens: most own tokens of all rows together. A row that is too long for what is left is passed over.
        target: coverage at which to stop, above 0 and at most 1.
        per_feature: rows wanted of each feature.
        quality: column whose number, at least 0, multiplies the gain of its row.
        feature_weights: `"anchor_rows"` weighs each feature by the rows of the anchor (or of the dataset, without one)
            that activate it; or weights of at least 0 by id, 0 where an id is not named. All weigh alike by default.
            Weights that are not whole are kept to 2^-31 of the largest.
        given: rows that one has already, in one of the forms of an anchor: what they cover adds nothing.
        per: column of groups: the same choice within the rows of each group, as if they were the whole dataset, so that
            limits hold for each. Groups follow each other in the order in which they first appear; the curve is that of
            all rows chosen so far.
        prefix: of the feature columns, of all datasets.

    Returns:
        The chosen rows, in the order of choice; `dataset.select(selection)` takes them.

    Raises:
        DatasetError: the dataset, the anchor or what is given has no rows or is several splits, no feature is wanted,
            a stream gives other rows when it is read again, or is to be chosen from by groups.
        ColumnError: there are no feature columns, or no column of quality, tokens or groups.
        RowError: a row has no features, no quality of at least 0, or no number of tokens.
        OptionError: an option has no meaning.
        FeatureSpaceMismatch: rows, or they and a table, are of different spaces.
        ThresholdBelowStored, CalibrationMissing: see `coverage`.

    Example:
        >>> selection = select_covering_subset(anchor, size=1)
        >>> coverage(anchor.select(selection), anchor).fac == selection.reached
        True
        >>> more = select_covering_subset(anchor, given=seed, tokens=20)  # which of these add something
        >>> more.tokens <= 20, more.start < more.reached
        (True, True)
    """
    limits = Limits.checked(size, tokens, target)
    n_wanted = _whole("per_feature", per_feature)
    threshold = parse_threshold(threshold)
    require_dataset(dataset, "the dataset", stream=True)
    if is_stream(dataset):
        space = None
        if per is not None:
            raise DatasetError(f"per={per!r} needs rows that can be taken apart, and a stream's cannot; give a Dataset")
    elif not len(dataset):
        raise DatasetError("the dataset has no rows; there is nothing to choose from")
    else:
        space = dataset_space(dataset, prefix)
        require_features_of(features, space)
    choice = _Choice(
        ids_of(features), parse_weights(feature_weights), n_wanted or 1, threshold, space, limits, quality, prefix
    )
    if anchor is not None:
        choice.anchor_counts = choice.counted(anchor, "anchor")
    if given is not None:
        choice.given_counts = choice.counted(given, "given dataset")
    wanted = choice.wanted(dataset)
    assert choice.space is not None
    require_features_of(features, choice.space)
    if per is None or is_stream(dataset):
        return choice.made(dataset, wanted)
    return _by_group(choice, dataset, wanted, per)


class Limits(NamedTuple):
    """Where a choice ends."""

    size: int | None
    tokens: int | None
    target: float | None

    @classmethod
    def checked(cls, size: Any, tokens: Any, target: Any) -> Limits:
        """Limits as given; raises OptionError where one has no meaning."""
        return cls(_whole("size", size), _whole("tokens", tokens), _share(target))


@dataclass
class _Choice:
    """What is wanted, and how it is chosen."""

    features: NDArray[np.int64] | None
    weights: str | dict[int, float] | None
    per_feature: int
    threshold: Threshold
    space: FeatureSpace | None
    """Of all rows; None until some are read."""
    limits: Limits
    quality: str | None
    prefix: str
    anchor_counts: NDArray[np.int64] | None = None
    given_counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def counted(self, rows: Rows, role: str) -> NDArray[np.int64]:
        """Rows that activate each feature, [highest id + 1]."""
        counts, self.space = row_counts(rows, self.threshold, role=role, space=self.space, prefix=self.prefix)
        return counts

    def wanted(self, rows: datasets.Dataset | datasets.IterableDataset) -> Wanted:
        """The features that are wanted of a dataset."""
        role = "dataset" if self.anchor_counts is None else "anchor"
        counts = self.counted(rows, role) if self.anchor_counts is None else self.anchor_counts
        ids = relevant_of_anchor(counts, self.features, self.threshold, role)
        found = self._weighed(ids, counts)
        if not found.total:
            raise OptionError(
                f"feature_weights= gives none of the {len(ids):,} wanted features a weight above 0; name some of them"
            )
        return found

    def wanted_of_group(self, rows: datasets.Dataset, wanted: Wanted) -> Wanted:
        """What is wanted of a group of the rows of a dataset of which this is wanted."""
        if self.anchor_counts is not None:
            return wanted
        counts = self.counted(rows, "dataset")
        found = self._weighed(wanted.ids[_at(counts, wanted.ids) > 0], counts)
        # A group may be without active features where the dataset is not.
        return found if found.total else wanted

    def _weighed(self, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> Wanted:
        weights = np.ones(len(ids))
        if isinstance(self.weights, dict):
            weights = np.array([self.weights.get(i, 0.0) for i in ids.tolist()])
        elif self.weights is not None:
            weights = counts[ids].astype(np.float64)
        return Wanted(ids, weights, self.per_feature, _at(self.given_counts, ids))

    def candidates(self, rows: datasets.Dataset | datasets.IterableDataset) -> Candidates:
        """The rows to choose from."""
        assert self.space is not None
        return Candidates(
            rows,
            self.space,
            self.threshold,
            quality=self.quality,
            with_tokens=self.limits.tokens is not None,
            prefix=self.prefix,
        )

    def made(self, rows: datasets.Dataset | datasets.IterableDataset, wanted: Wanted) -> Selection:
        """The rows that are chosen."""
        candidates = self.candidates(rows)
        ways = [Greedy(wanted.copy(), **self.limits._asdict())]
        if self.limits.tokens is not None:
            ways.append(Greedy(wanted.copy(), **self.limits._asdict(), per_token=True))
        for way in ways:
            candidates.fill(way)
        best = max(ways, key=_worth)
        assert best.stopped is not None
        return Selection(
            rows=np.array(best.rows, dtype=np.int64),
            curve=np.array(best.covered, dtype=np.float64) / wanted.total,
            gains=np.array(best.gains, dtype=np.float64),
            start=wanted.covered / wanted.total,
            covered=wanted.ids[best.wanted.had > 0],
            missing=wanted.ids[best.wanted.had == 0],
            stopped=best.stopped,
            tokens=None if self.limits.tokens is None or best.left is None else self.limits.tokens - best.left,
            target=self.limits.target,
        )


def _at(counts: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The count of each feature; 0 beyond the highest that is known."""
    found = np.zeros(len(ids), np.int64)
    inside = ids < len(counts)
    found[inside] = counts[ids[inside]]
    return found


def _worth(way: Greedy) -> tuple[bool, float, int]:
    """By what ways to choose are compared: the target first, then what is gained, then tokens saved."""
    reached = way.stopped == "target"
    return reached, 0.0 if reached else math.fsum(way.gains), way.left or 0


def _by_group(choice: _Choice, dataset: datasets.Dataset, wanted: Wanted, per: str) -> Selection:
    """The choice within each group."""
    groups: dict[Any, Selection] = {}
    for name, places in _groups(dataset, per):
        rows = dataset.select(places)
        try:
            found = choice.made(rows, choice.wanted_of_group(rows, wanted))
        except RowError as error:
            raise error.at(int(places[error.row])) from None
        groups[name] = replace(found, rows=places[found.rows])
    chosen = np.concatenate([group.rows for group in groups.values()])
    had, covered = wanted.copy(), []
    for pool in choice.candidates(dataset.select(chosen)).pools(wanted):
        for place in range(len(pool)):
            had.add(pool.features_of(place))
            covered.append(had.covered)
    reasons = {group.stopped for group in groups.values()}
    return Selection(
        rows=chosen,
        curve=np.array(covered, dtype=np.float64) / wanted.total,
        gains=np.concatenate([group.gains for group in groups.values()]),
        start=wanted.covered / wanted.total,
        covered=wanted.ids[had.had > 0],
        missing=wanted.ids[had.had == 0],
        stopped=reasons.pop() if len(reasons) == 1 else "several",
        tokens=None if choice.limits.tokens is None else sum(group.tokens or 0 for group in groups.values()),
        target=choice.limits.target,
        groups=groups,
    )


def _groups(dataset: datasets.Dataset, per: str) -> Iterator[tuple[Any, NDArray[np.int64]]]:
    """The rows of each value of a column, in the order in which the values first appear."""
    import pyarrow as pa

    require_own_column(dataset.column_names, per, "to group rows by")
    column = dataset.select_columns([per]).with_format("arrow")[:].column(per).combine_chunks()
    if pa.types.is_nested(column.type):
        raise ColumnError(f"column {per!r} holds {column.type} and no plain values; name one to group rows by")
    encoded = column.dictionary_encode(null_encoding="encode")
    numbers = encoded.indices.to_numpy()
    order = np.argsort(numbers, kind="stable")
    ends = np.bincount(numbers).cumsum()
    yield from zip(encoded.dictionary.to_pylist(), np.split(order, ends[:-1]), strict=True)


def _whole(name: str, value: Any) -> int | None:
    """An option that is a whole number of at least 1, or not given."""
    if value is None and name != "per_feature":
        return None
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise OptionError(f"{name}={value!r} is too small or no number; choose a whole number from 1")
    return int(value)


def _share(target: Any) -> float | None:
    if target is None:
        return None
    if isinstance(target, bool) or not isinstance(target, int | float | np.number) or not 0 < target <= 1:
        raise OptionError(f"target={target!r} is no coverage to reach; choose a number above 0 and at most 1")
    return float(target)


def parse_weights(given: Any) -> str | dict[int, float] | None:
    """Weights by id, or how features are weighed; raises OptionError where it is neither."""
    if given is None or (isinstance(given, str) and given == "anchor_rows"):
        return given
    if not isinstance(given, Mapping):
        raise OptionError(f"feature_weights={given!r} is neither 'anchor_rows' nor weights by id")
    for feature, weight in given.items():
        if isinstance(feature, bool) or not hasattr(feature, "__index__"):
            raise OptionError(f"feature_weights= holds the id {feature!r}; ids are whole numbers")
        if isinstance(weight, bool) or not isinstance(weight, int | float | np.number) or not 0 <= weight < math.inf:
            raise OptionError(f"feature_weights= gives feature {feature} {weight!r}; weights are finite and at least 0")
    return {int(feature): float(weight) for feature, weight in given.items()}
