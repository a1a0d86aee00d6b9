"""Feature activation coverage: which of the features an anchor activates does a dataset activate too?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, get_args

import numpy as np

from fac_datasets.coverage.active_rows import ActiveRows, Cutoffs, active_rows, distinct_pairs, largest
from fac_datasets.coverage.interval import MERGED, ONE_ROW, STREAMED, Count, bootstrap_intervals
from fac_datasets.coverage.names import NO_NAMES, FeatureNames, names_at_hand, names_of
from fac_datasets.coverage.rarefaction import RarefactionPoint, expected_coverage
from fac_datasets.coverage.relevant import ids_of, relevant_of_anchor, require_features_of
from fac_datasets.coverage.shares import Share
from fac_datasets.coverage.state import FeatureCoverage, require_thresholds
from fac_datasets.coverage.streams import count_rows
from fac_datasets.errors import DatasetError, OptionError
from fac_datasets.feature_space import (
    FeatureSpace,
    Threshold,
    dataset_space,
    format_threshold,
    parse_threshold,
    require_same_but_threshold,
    require_same_space,
)
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.dataset_identity import DatasetIdentity, identify
from fac_datasets.rows.inputs import feature_ids, feature_ids_of
from fac_datasets.rows.one_dataset import is_stream, require_dataset
from fac_datasets.rows.tables import dataset_of

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CoverageReport:
    """The coverage of a dataset against an anchor.

    FAC(D; A) = |F(D) and F(A)| / |F(A)|, with F the set of features active in at least one row (arXiv 2602.10388,
    section 3).
    """

    fac: float
    """Feature activation coverage, in [0, 1], of the relevant features; what `count` says counts."""
    low: float | None
    """Lower end of the 95 % interval; None where there is none, see `no_interval`."""
    high: float | None
    """Upper end of the interval."""
    covered: NDArray[np.int64]
    """Relevant features that the dataset activates, sorted."""
    relevant: NDArray[np.int64]
    """Features that the anchor activates (and `features` allows), sorted."""
    missing: NDArray[np.int64]
    """Relevant features that the dataset does not activate, sorted."""
    row_counts: NDArray[np.int64] = field(repr=False)
    """Rows of the dataset that activate each relevant feature, [len(relevant)]."""
    anchor_counts: NDArray[np.int64] = field(repr=False)
    """Rows of the anchor that activate each relevant feature, [len(relevant)]."""
    threshold: Threshold
    feature_space: str
    dataset: DatasetIdentity
    anchor: DatasetIdentity
    of_anchor: Share
    """Of all the anchor's features, whatever `features` allows."""
    of_relevant: Share | None = None
    """Of those of `features` that the anchor activates; None without `features`."""
    of_missing: Share | None = None
    """Of the features that a named seed was missing (what the paper's tables print as FAC); None where no seed is
    named, it was missing none, or the anchor has nothing of them that counts."""
    no_interval: str = ""
    """Why there is no interval; empty where there is one."""
    count: Count = "binary"
    """What of a feature counts: that it is active, in how many rows, or how strongly."""
    feature_names: FeatureNames = field(default=NO_NAMES, repr=False)
    """What is known of features by id."""

    @property
    def missing_by_anchor_rows(self) -> NDArray[np.int64]:
        """The missing features, those that most anchor rows activate first."""
        is_missing = self.row_counts == 0
        order = np.lexsort((self.relevant[is_missing], -self.anchor_counts[is_missing]))
        missing: NDArray[np.int64] = self.relevant[is_missing][order]
        return missing

    def missing_features(self) -> datasets.Dataset:
        """The missing features as a table, those that most anchor rows activate first.

        Returns:
            A dataset of `feature_id`, `name`, `anchor_rows` and `span`, an excerpt in which the feature fires (`text`,
            and `start` and `end` of the token where it peaks); name and span are None where they are not known.
        """
        from datasets import Features, Value

        names, spans = self.feature_names
        rows_of = dict(zip(self.relevant.tolist(), self.anchor_counts.tolist(), strict=True))
        span = {"text": Value("string"), "start": Value("int32"), "end": Value("int32")}
        columns = {
            "feature_id": Value("int64"), "name": Value("string"), "anchor_rows": Value("int64"), "span": span
        }  # fmt: skip
        return dataset_of(
            [
                {"feature_id": i, "name": names.get(i), "anchor_rows": rows_of[i], "span": spans.get(i)}
                for i in self.missing_by_anchor_rows.tolist()
            ],
            Features(columns),
        )

    def rarefaction(self, points: int = 50) -> list[RarefactionPoint]:
        """Expected FAC against the number of rows drawn without replacement (Hurlbert 1971).

        E[FAC(n)] = mean over relevant features of 1 - C(N - N_i, n) / C(N, n), with N rows of which N_i activate i;
        whatever `count` says, a feature counts as soon as a row activates it.

        Args:
            points: numbers of rows, at most, beside 0.

        Raises:
            OptionError: it is no whole number of at least 1.
        """
        if not isinstance(points, int | np.integer) or isinstance(points, bool) or points < 1:
            raise OptionError(f"points={points!r} is no number of points; choose a whole number from 1")
        total = self.dataset.rows
        sizes = np.unique(np.linspace(0, total, min(points, total) + 1).round().astype(np.int64))
        return [RarefactionPoint(int(n), expected_coverage(self.row_counts, total, int(n))) for n in sizes]

    def plot(self, path: str | Path) -> None:
        """Save the rarefaction curve as a picture."""
        from fac_datasets.plots import rarefaction_png

        write_atomically(Path(path), rarefaction_png({self.dataset.id: self}))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values for `report.json`."""
        return {
            "fac": self.fac,
            "low": self.low,
            "high": self.high,
            "no_interval": self.no_interval,
            "count": self.count,
            "of_anchor": self.of_anchor._asdict(),
            "of_relevant": None if self.of_relevant is None else self.of_relevant._asdict(),
            "of_missing": None if self.of_missing is None else self.of_missing._asdict(),
            "n_covered": len(self.covered),
            "n_relevant": len(self.relevant),
            "missing": self.missing_by_anchor_rows.tolist(),
            "names": {
                str(i): self.feature_names.names[i]
                for i in self.missing_by_anchor_rows.tolist()
                if i in self.feature_names.names
            },
            "covered": self.covered.tolist(),
            "threshold": self.threshold,
            "feature_space": self.feature_space,
            "version": version("fac-datasets"),
            "dataset": self.dataset._asdict(),
            "anchor": self.anchor._asdict(),
        }


Rows: TypeAlias = "datasets.Dataset | datasets.IterableDataset | FeatureCoverage"
"""What a coverage is measured of."""


def coverage(
    dataset: Rows,
    anchor: Rows,
    *,
    threshold: Threshold = "q90",
    features: Sequence[int] | NDArray[np.int64] | datasets.Dataset | None = None,
    missing_of: CoverageReport | Mapping[str, Any] | Sequence[int] | NDArray[np.int64] | None = None,
    count: Count = "binary",
    feature_names: Mapping[int, str] | datasets.Dataset | None = None,
    prefix: str = "",
    seed: int = 0,
    names: tuple[str, str] | None = None,
) -> CoverageReport:
    """Measure which of the anchor's features a dataset activates.

    The interval is a 95 % bootstrap over the dataset's rows with the anchor fixed. A resample holds fewer distinct
    rows than the dataset and so covers less; its deviations from the resamples' mean are therefore put around the
    measured value, and the result clipped to [0, 1]. A single row has no interval.

    A stream is read once, to its end, and none of its rows is kept. The report then is that of the same rows in a
    dataset, but that a streamed dataset has no interval and a stream no revision. Of two streams the anchor passes
    first. A merged `FeatureCoverage` stands for the rows that it has seen, and has no interval either.

    What counts of a feature is, with `count`,

    - `"binary"`: whether any row activates it: FAC as defined;
    - `"rows"`: sum of min(r_D, r_A) over sum of r_A, r the share of rows of the dataset and of the anchor that activate
      it, both sums over the anchor's (relevant) features;
    - `"activation"`: the same with m in place of r, the largest activation above the threshold in the dataset and in
      the anchor, 0 where there is none.

    Args:
        dataset: rows with feature columns; or a stream of them, or the merged state of some.
        anchor: rows with feature columns of the same space, which stand for the target task; or a stream of them, or
            the merged state of some.
        threshold: a number in the SAE's units, or a quantile such as `"q90"`.
        features: only these ids count, such as the task-relevant ones; or a judged feature table, whose relevant
            features count. Ids alone do not say of which space they are; a table does, and it is checked.
        missing_of: the report of a seed, as an object or as the content of its `report.json`, or the ids of the
            features that it was missing: `of_missing` tells how many of these the dataset reaches.
        count: what of a feature counts.
        feature_names: names by id, or a feature table with names, for `missing_features`. By default those of a table
            in `features`, or else those that ship with the embedded SAE.
        prefix: of the feature columns, such as `"chosen_"`.
        seed: of the bootstrap.
        names: of dataset and anchor, for the report.

    Raises:
        DatasetError: the dataset or the anchor has no rows, or is several splits, or the anchor activates no feature.
        ColumnError: there are no feature columns.
        RowError: a row has no features, as where rows were added without extraction, or damaged ones.
        OptionError: an option has no meaning.
        FeatureSpaceMismatch: the two, or they and a table or the seed's report, are of different spaces.
        ThresholdBelowStored: the threshold lies below the columns' cut-off.
        CalibrationMissing: the threshold is a quantile and the SAE has no calibration.

    Example:
        >>> report = coverage(anchor, anchor)
        >>> report.low <= report.fac <= report.high
        True
        >>> coverage(anchor.to_iterable_dataset(), anchor).fac == report.fac
        True
        >>> of_seed = coverage(seed, anchor)
        >>> coverage(anchor, anchor, missing_of=of_seed).of_missing.share
        1.0
    """
    require_count(count)
    threshold = parse_threshold(threshold)
    wanted = ids_of(features)
    dataset_name, anchor_name = _parse_names(names)
    was_missing = _missing_ids(missing_of)
    if isinstance(feature_names, Mapping):
        names_of(feature_names)
    spaces = []
    for role, rows in (("dataset", dataset), ("anchor", anchor)):
        if isinstance(rows, FeatureCoverage):
            spaces.append(FeatureSpace.parse(rows.feature_space))
            n_rows = rows.n_rows
        else:
            require_dataset(rows, f"the {role}", stream=True)
            if is_stream(rows):
                continue
            n_rows = len(rows)
            spaces += [dataset_space(rows, prefix)] if n_rows else []
        if not n_rows:
            raise DatasetError(f"the {role} has no rows; coverage needs at least one")
    for other in spaces[1:]:
        require_same_space(spaces[0], other)
    for space in spaces[:1]:
        require_features_of(features, space)
    # What has no anchor, or another space, is told before the dataset is read.
    anchor_side = _side(anchor, threshold, "anchor", spaces[0] if spaces else None, anchor_name, prefix, count)
    space = anchor_side.space
    require_features_of(features, space)
    _require_seed_of(missing_of, space, threshold)
    known = names_at_hand(feature_names, features, space)
    relevant = relevant_of_anchor(anchor_side.counts, wanted, threshold)
    side = _side(dataset, threshold, "dataset", space, dataset_name, prefix, count)
    return _report(
        side,
        anchor_side,
        relevant,
        are_chosen=wanted is not None,
        was_missing=was_missing,
        count=count,
        seed=seed,
        threshold=threshold,
        feature_space=str(side.space),
        feature_names=known,
    )


def require_count(count: Any) -> Count:
    """What of a feature counts; raises OptionError where this is none of it."""
    for known in get_args(Count):
        if isinstance(count, str) and count == known:
            return known  # type: ignore[no-any-return]
    raise OptionError(f"count={count!r} is not of {list(get_args(Count))}")


def _missing_ids(missing_of: Any) -> NDArray[np.int64] | None:
    """The features that a seed was missing, sorted."""
    if missing_of is None:
        return None
    if isinstance(missing_of, CoverageReport):
        return missing_of.missing
    if isinstance(missing_of, Mapping):
        if "missing" not in missing_of:
            raise OptionError(
                f"missing_of= is no report: it has no 'missing' among {[*missing_of][:12]}; give the report of a seed"
            )
        missing_of = missing_of["missing"]
    return np.unique(feature_ids(missing_of, "missing_of"))


def _require_seed_of(missing_of: Any, space: FeatureSpace, threshold: Threshold) -> None:
    """Raise where a seed's report is of another space or threshold; ids alone do not say."""
    if isinstance(missing_of, CoverageReport):
        missing_of = {"feature_space": missing_of.feature_space, "threshold": missing_of.threshold}
    if not isinstance(missing_of, Mapping):
        return
    if missing_of.get("feature_space"):
        require_same_but_threshold(str(missing_of["feature_space"]), space)
    known = missing_of.get("threshold", threshold)
    if parse_threshold(known) != threshold:
        raise OptionError(
            f"missing_of= is a report at threshold {format_threshold(known)}, and this coverage is at "
            f"{format_threshold(threshold)}; measure both at the same one"
        )


class _Side(NamedTuple):
    """One of the two sets of rows that a coverage compares."""

    active: ActiveRows | None
    """None where the rows are not kept."""
    counts: NDArray[np.int64]
    """Rows that activate each feature, [highest id + 1]."""
    maxima: NDArray[np.float32]
    """Largest activation of each feature, [highest id + 1]; 0 where no row activates it. Empty unless these count."""
    space: FeatureSpace
    identity: DatasetIdentity
    no_interval: str = ""
    """Why its rows give no interval."""

    def has(self, features: NDArray[np.int64], count: Count) -> NDArray[np.float64]:
        """How much of each feature counts, [n]."""
        if count == "activation":
            return _at(self.maxima, features).astype(np.float64)
        counts = _at(self.counts, features)
        return counts / self.identity.rows if count == "rows" else (counts > 0).astype(np.float64)


def _at(values: NDArray[Any], features: NDArray[np.int64]) -> NDArray[Any]:
    """The value of each feature; 0 beyond the highest that is known."""
    found = np.zeros(len(features), values.dtype)
    inside = features < len(values)
    found[inside] = values[features[inside]]
    return found


def _side(
    rows: Rows,
    threshold: Threshold,
    role: str,
    space: FeatureSpace | None,
    name: str | None,
    prefix: str,
    count: Count,
) -> _Side:
    if isinstance(rows, FeatureCoverage):
        return _side_of_state(rows, threshold, role, name)
    if is_stream(rows):
        counted = count_rows(rows, threshold, role=role, space=space, name=name, prefix=prefix)
        return _Side(None, *counted, STREAMED)
    space = dataset_space(rows, prefix)
    active = active_rows(rows, Cutoffs(space, threshold), prefix, with_values=count == "activation")
    return _side_of_rows(active, space, identify(rows, name, prefix))


def _side_of_rows(active: ActiveRows, space: FeatureSpace, identity: DatasetIdentity) -> _Side:
    maxima = np.zeros(0, np.float32)
    if active.values is not None:
        maxima = largest(maxima, active.ids, active.values)
    return _Side(active, active.counts, maxima, space, identity, ONE_ROW if active.n_rows == 1 else "")


def _side_of_state(state: FeatureCoverage, threshold: Threshold, role: str, name: str | None) -> _Side:
    require_thresholds(state, threshold, role)
    # A state also keeps maxima that do not exceed the threshold.
    maxima = np.where(state.counts > 0, state.maxima, np.float32(0))
    identity = DatasetIdentity(name or "merged state", "", "", state.n_rows, state.n_tokens, "")
    return _Side(None, state.counts, maxima, FeatureSpace.parse(state.feature_space), identity, MERGED)


def _parse_names(names: Any) -> tuple[str | None, str | None]:
    if names is None:
        return None, None
    # A text of two letters would be two names.
    if (
        not isinstance(names, tuple | list)
        or len(names) != 2
        or not all(isinstance(name, str | None) for name in names)
    ):
        raise OptionError(f"names={names!r} are not two texts; give those of the dataset and of the anchor")
    return names[0], names[1]


def coverage_of_ids(
    dataset: Any,
    anchor: Any,
    *,
    features: Sequence[int] | NDArray[np.int64] | None = None,
    missing_of: CoverageReport | Mapping[str, Any] | Sequence[int] | NDArray[np.int64] | None = None,
    count: Count = "binary",
    seed: int = 0,
) -> CoverageReport:
    """Coverage where each row is given as the list of its active features; see `coverage`.

    Args:
        dataset: a column of lists of feature ids; see `fac_datasets.rows.inputs.feature_ids_of`.
        anchor: the same.
        features: only these ids count.
        missing_of: see `coverage`.
        count: `"binary"` or `"rows"`; ids have no activations.
        seed: of the bootstrap.

    Raises:
        ColumnError, RowError: see `fac_datasets.rows.inputs.feature_ids_of`.
        DatasetError: the dataset or the anchor has no rows, or the anchor activates no feature.
        OptionError: `features` or `missing_of` is no list of ids, or `count` has no meaning.
    """
    require_count(count)
    if count == "activation":
        raise OptionError("count='activation' needs activations, which lists of ids do not have; choose another")
    wanted = None if features is None else feature_ids(features, "features")
    was_missing = _missing_ids(missing_of)
    sides = [feature_ids_of(rows, name) for rows, name in ((dataset, "the dataset"), (anchor, "the anchor"))]
    # No SAE bounds the ids, and memory must not grow with the largest: they are counted by their places among all.
    given = [ids for _, ids in sides] + ([] if was_missing is None else [was_missing])
    used, places = np.unique(np.concatenate(given), return_inverse=True)
    parts = np.split(places, np.cumsum([len(ids) for ids in given])[:-1])
    measured: list[_Side] = []
    for (lengths, _), part in zip(sides, parts, strict=False):
        pairs = distinct_pairs(np.repeat(np.arange(len(lengths)), lengths), part, len(lengths))
        measured.append(_side_of_rows(pairs, _NO_SPACE, DatasetIdentity("ids", "", "", len(lengths), None, "")))
    wanted_places = None if wanted is None else np.flatnonzero(np.isin(used, wanted))
    report = _report(
        measured[0],
        measured[1],
        relevant_of_anchor(measured[1].counts, wanted_places, 0.0),
        are_chosen=wanted is not None,
        was_missing=None if was_missing is None else np.unique(parts[2]),
        count=count,
        seed=seed,
        threshold=0.0,
        feature_space="",
        feature_names=NO_NAMES,
    )
    return replace(report, covered=used[report.covered], relevant=used[report.relevant], missing=used[report.missing])


_NO_SPACE = FeatureSpace("", "", 0, "", "", "", "", 0.0, "", 0)
"""Of ids that do not say of which they are."""


def _report(
    side: _Side,
    anchor: _Side,
    relevant: NDArray[np.int64],
    *,
    are_chosen: bool,
    was_missing: NDArray[np.int64] | None,
    count: Count,
    seed: int,
    **fields: Any,
) -> CoverageReport:
    """The report of two sides.

    Args:
        side: what is measured.
        anchor: against what.
        relevant: the anchor's features that count, sorted.
        are_chosen: whether these are not simply all.
        was_missing: features that a seed was missing, sorted.
        count: what of a feature counts.
        seed: of the bootstrap.
        fields: of the report, which say what was measured.
    """
    row_counts = _at(side.counts, relevant)
    is_covered = row_counts > 0
    sets = {"of_anchor": np.flatnonzero(anchor.counts)}
    if are_chosen:
        sets["of_relevant"] = relevant
    if was_missing is not None:
        sets["of_missing"] = was_missing
    shares = _shares(side, anchor, sets, count, seed)
    of_relevant = shares["of_relevant" if are_chosen else "of_anchor"]
    return CoverageReport(
        fac=of_relevant.share,
        low=of_relevant.low,
        high=of_relevant.high,
        covered=relevant[is_covered],
        relevant=relevant,
        missing=relevant[~is_covered],
        row_counts=row_counts,
        anchor_counts=anchor.counts[relevant],
        dataset=side.identity,
        anchor=anchor.identity,
        no_interval=side.no_interval,
        count=count,
        **shares,
        **fields,
    )


def _shares(
    side: _Side, anchor: _Side, sets: Mapping[str, NDArray[np.int64]], count: Count, seed: int
) -> dict[str, Any]:
    """The share of each set of features that is covered; sets of which the anchor has nothing have none."""
    ids = np.unique(np.concatenate([*sets.values()]))
    # What a seed was missing counts as features of the anchor, also where another anchor is measured now.
    caps = np.ones(len(ids)) if count == "binary" else anchor.has(ids, count)
    has = np.minimum(side.has(ids, count), caps)
    is_active = _at(side.counts, ids) > 0
    members = {name: np.isin(ids, features) for name, features in sets.items()}
    members = {name: of_set for name, of_set in members.items() if caps[of_set].sum() > 0}
    measured = [float(has[of_set].sum() / caps[of_set].sum()) for of_set in members.values()]
    intervals: list[Any] = [(None, None)] * len(members)
    if side.active is not None and not side.no_interval:
        together = np.array([*members.values()])
        intervals = bootstrap_intervals(measured, side.active, ids, caps, together, count=count, seed=seed)
    return {
        name: Share(int(is_active[of_set].sum()), int(of_set.sum()), share, low, high)
        for (name, of_set), share, (low, high) in zip(members.items(), measured, intervals, strict=True)
    }


def report_json(report: CoverageReport) -> str:
    """A report as JSON text."""
    return json.dumps(report.to_dict(), indent=2) + "\n"
