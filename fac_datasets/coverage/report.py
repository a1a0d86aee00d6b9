"""Feature activation coverage: which of the features an anchor activates does a dataset activate too?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import ActiveRows, Cutoffs, active_rows, distinct_pairs
from fac_datasets.coverage.interval import ONE_ROW, STREAMED, bootstrap_interval
from fac_datasets.coverage.rarefaction import RarefactionPoint, expected_coverage
from fac_datasets.coverage.relevant import ids_of, relevant_of_anchor, require_features_of
from fac_datasets.coverage.streams import count_rows
from fac_datasets.errors import DatasetError, OptionError
from fac_datasets.feature_space import FeatureSpace, Threshold, dataset_space, parse_threshold, require_same_space
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.dataset_identity import DatasetIdentity, identify
from fac_datasets.rows.inputs import feature_ids, feature_ids_of
from fac_datasets.rows.one_dataset import is_stream, require_dataset

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
    """Feature activation coverage, in [0, 1]."""
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
    no_interval: str = ""
    """Why there is no interval; empty where there is one."""

    @property
    def missing_by_anchor_rows(self) -> NDArray[np.int64]:
        """The missing features, those that most anchor rows activate first."""
        is_missing = self.row_counts == 0
        order = np.lexsort((self.relevant[is_missing], -self.anchor_counts[is_missing]))
        missing: NDArray[np.int64] = self.relevant[is_missing][order]
        return missing

    def rarefaction(self, points: int = 50) -> list[RarefactionPoint]:
        """Expected FAC against the number of rows drawn without replacement (Hurlbert 1971).

        E[FAC(n)] = mean over relevant features of 1 - C(N - N_i, n) / C(N, n), with N rows of which N_i activate i.

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
            "n_covered": len(self.covered),
            "n_relevant": len(self.relevant),
            "missing": self.missing_by_anchor_rows.tolist(),
            "covered": self.covered.tolist(),
            "threshold": self.threshold,
            "feature_space": self.feature_space,
            "version": version("fac-datasets"),
            "dataset": self.dataset._asdict(),
            "anchor": self.anchor._asdict(),
        }


def coverage(
    dataset: datasets.Dataset | datasets.IterableDataset,
    anchor: datasets.Dataset | datasets.IterableDataset,
    *,
    threshold: Threshold = "q90",
    features: Sequence[int] | NDArray[np.int64] | datasets.Dataset | None = None,
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
    first.

    Args:
        dataset: rows with feature columns; or a stream of them.
        anchor: rows with feature columns of the same space, which stand for the target task; or a stream of them.
        threshold: a number in the SAE's units, or a quantile such as `"q90"`.
        features: only these ids count, such as the task-relevant ones; or a judged feature table, whose relevant
            features count. Ids alone do not say of which space they are; a table does, and it is checked.
        prefix: of the feature columns, such as `"chosen_"`.
        seed: of the bootstrap.
        names: of dataset and anchor, for the report.

    Raises:
        DatasetError: the dataset or the anchor has no rows, or is several splits, or the anchor activates no feature.
        ColumnError: there are no feature columns.
        RowError: a row has no features, as where rows were added without extraction, or damaged ones.
        OptionError: an option has no meaning.
        FeatureSpaceMismatch: the two, or they and the table, are of different spaces.
        ThresholdBelowStored: the threshold lies below the columns' cut-off.
        CalibrationMissing: the threshold is a quantile and the SAE has no calibration.

    Example:
        >>> report = coverage(anchor, anchor)
        >>> report.low <= report.fac <= report.high
        True
        >>> coverage(anchor.to_iterable_dataset(), anchor).fac == report.fac
        True
    """
    threshold = parse_threshold(threshold)
    wanted = ids_of(features)
    dataset_name, anchor_name = _parse_names(names)
    spaces = []
    for role, rows in (("dataset", dataset), ("anchor", anchor)):
        require_dataset(rows, f"the {role}", stream=True)
        if is_stream(rows):
            continue
        if not len(rows):
            raise DatasetError(f"the {role} has no rows; coverage needs at least one")
        spaces.append(dataset_space(rows, prefix))
    for other in spaces[1:]:
        require_same_space(spaces[0], other)
    for space in spaces[:1]:
        require_features_of(features, space)
    # What has no anchor, or another space, is told before the dataset is read.
    anchor_side = _side(anchor, threshold, "anchor", spaces[0] if spaces else None, anchor_name, prefix)
    require_features_of(features, anchor_side.space)
    relevant = relevant_of_anchor(anchor_side.counts, wanted, threshold)
    side = _side(dataset, threshold, "dataset", anchor_side.space, dataset_name, prefix)
    return _report(
        side.active,
        side.counts,
        anchor_side.counts,
        relevant,
        seed=seed,
        threshold=threshold,
        feature_space=str(side.space),
        dataset=side.identity,
        anchor=anchor_side.identity,
    )


class _Side(NamedTuple):
    """One of the two sets of rows that a coverage compares."""

    active: ActiveRows | None
    """None of a stream, whose rows are not kept."""
    counts: NDArray[np.int64]
    """Rows that activate each feature, [highest id + 1]."""
    space: FeatureSpace
    identity: DatasetIdentity


def _side(
    rows: datasets.Dataset | datasets.IterableDataset,
    threshold: Threshold,
    role: str,
    space: FeatureSpace | None,
    name: str | None,
    prefix: str,
) -> _Side:
    if is_stream(rows):
        return _Side(None, *count_rows(rows, threshold, role=role, space=space, name=name, prefix=prefix))
    space = dataset_space(rows, prefix)
    active = active_rows(rows, Cutoffs(space, threshold), prefix)
    return _Side(active, active.counts, space, identify(rows, name, prefix))


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
    seed: int = 0,
) -> CoverageReport:
    """Coverage where each row is given as the list of its active features; see `coverage`.

    Args:
        dataset: a column of lists of feature ids; see `fac_datasets.rows.inputs.feature_ids_of`.
        anchor: the same.
        features: only these ids count.
        seed: of the bootstrap.

    Raises:
        ColumnError, RowError: see `fac_datasets.rows.inputs.feature_ids_of`.
        DatasetError: the dataset or the anchor has no rows, or the anchor activates no feature.
        OptionError: `features` is no list of ids.
    """
    wanted = None if features is None else feature_ids(features, "features")
    sides = [feature_ids_of(rows, name) for rows, name in ((dataset, "the dataset"), (anchor, "the anchor"))]
    # No SAE bounds the ids, and memory must not grow with the largest: they are counted by their places among all.
    used, places = np.unique(np.concatenate([ids for _, ids in sides]), return_inverse=True)
    pairs, identities = [], []
    for (lengths, _), part in zip(sides, np.split(places, [len(sides[0][1])]), strict=True):
        pairs.append(distinct_pairs(np.repeat(np.arange(len(lengths)), lengths), part, len(lengths)))
        identities.append(DatasetIdentity("ids", "", "", len(lengths), None, ""))
    active, anchor_active = pairs
    wanted_places = None if wanted is None else np.flatnonzero(np.isin(used, wanted))
    report = _report(
        active,
        active.counts,
        anchor_active.counts,
        relevant_of_anchor(anchor_active.counts, wanted_places, 0.0),
        seed=seed,
        threshold=0.0,
        feature_space="",
        dataset=identities[0],
        anchor=identities[1],
    )
    return replace(report, covered=used[report.covered], relevant=used[report.relevant], missing=used[report.missing])


def _report(
    active: ActiveRows | None,
    counts: NDArray[np.int64],
    anchor_counts: NDArray[np.int64],
    relevant: NDArray[np.int64],
    *,
    seed: int,
    **fields: Any,
) -> CoverageReport:
    # The dataset's highest feature may lie below the anchor's.
    row_counts = np.pad(counts, (0, max(0, int(relevant[-1]) + 1 - len(counts))))[relevant]
    is_covered = row_counts > 0
    fac = float(is_covered.mean())
    low, high, no_interval = None, None, STREAMED
    if active is not None:
        no_interval = ONE_ROW if active.n_rows == 1 else ""
        if active.n_rows > 1:
            low, high = bootstrap_interval(fac, active, relevant, row_counts, seed)
    return CoverageReport(
        fac=fac,
        low=low,
        high=high,
        covered=relevant[is_covered],
        relevant=relevant,
        missing=relevant[~is_covered],
        row_counts=row_counts,
        anchor_counts=anchor_counts[relevant],
        no_interval=no_interval,
        **fields,
    )


def report_json(report: CoverageReport) -> str:
    """A report as JSON text."""
    return json.dumps(report.to_dict(), indent=2) + "\n"
