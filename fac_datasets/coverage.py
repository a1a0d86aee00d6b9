"""Feature activation coverage: which of the features an anchor activates does a dataset activate too?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.caching import write_atomically
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, ThresholdBelowStored
from fac_datasets.feature_space import (
    FeatureSpace,
    Threshold,
    dataset_space,
    format_threshold,
    parse_threshold,
    require_same_space,
    require_table_space,
)
from fac_datasets.identity import DatasetIdentity, identify
from fac_datasets.sae.calibration import thresholds_of

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1000
"""Bootstrap resamples behind an interval."""

DRAWS = 100
"""Random parts behind a coverage at equal tokens."""

_SURELY_DRAWN = 40
"""A feature active in more rows than this is absent from a resample with probability below e^-40."""


class ActiveRows(NamedTuple):
    """Which row activates which feature, as pairs sorted by row."""

    rows: NDArray[np.int64]
    """Row of each pair, [n]."""
    ids: NDArray[np.int64]
    """Feature of each pair, [n]."""
    n_rows: int
    """Rows, with and without features."""


class RarefactionPoint(NamedTuple):
    """Expected coverage of a random part of the dataset."""

    n_rows: int
    """Rows drawn without replacement."""
    fac: float
    """Expected feature activation coverage of them."""


@dataclass(frozen=True)
class CoverageReport:
    """The coverage of a dataset against an anchor.

    FAC(D; A) = |F(D) and F(A)| / |F(A)|, with F the set of features active in at least one row (arXiv 2602.10388,
    section 3).
    """

    fac: float
    """Feature activation coverage, in [0, 1]."""
    low: float | None
    """Lower end of the 95 % interval; None where the rows are not known."""
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
        """
        total = self.dataset.rows
        sizes = np.unique(np.linspace(0, total, min(points, total) + 1).round().astype(np.int64))
        return [RarefactionPoint(int(n), expected_coverage(self.row_counts, total, int(n))) for n in sizes]

    def plot(self, path: str | Path) -> None:
        """Save the rarefaction curve as a picture."""
        from fac_datasets.plots import plot_rarefaction

        plot_rarefaction({self.dataset.id: self}, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values for `report.json`."""
        from fac_datasets import __version__

        return {
            "fac": self.fac,
            "low": self.low,
            "high": self.high,
            "n_covered": len(self.covered),
            "n_relevant": len(self.relevant),
            "missing": self.missing_by_anchor_rows.tolist(),
            "covered": self.covered.tolist(),
            "threshold": self.threshold,
            "feature_space": self.feature_space,
            "version": __version__,
            "dataset": self.dataset._asdict(),
            "anchor": self.anchor._asdict(),
        }


class FeatureCoverage:
    """Mergeable coverage state: maxima and row counts of each feature, so shards and machines combine exactly.

    Args:
        d_sae: number of features.
        feature_space: of the rows it will see, as in the column.
        thresholds: one number, or one a feature, [d_sae].

    Raises:
        ValueError: the thresholds have another shape.
        ThresholdBelowStored: one lies below the cut-off of the space.

    Example:
        >>> state = FeatureCoverage(4, "m@%016x/layer1/raw/s@%016x/sae/max/>0/cut512" % (1, 2), 0.5)
        >>> state.update({"feature_ids": [[0, 2]], "feature_activations": [[0.4, 3.0]]}).covered
        array([2])
    """

    def __init__(self, d_sae: int, feature_space: str | FeatureSpace, thresholds: ArrayLike) -> None:
        self.d_sae = d_sae
        self.feature_space = str(feature_space)
        given = np.asarray(thresholds, dtype=np.float32)
        if given.shape not in ((), (d_sae,)):
            raise ValueError(f"thresholds have shape {given.shape}; expected one number or [d_sae={d_sae}]")
        self.thresholds: NDArray[np.float32] = np.broadcast_to(given, (d_sae,)).copy()
        space = FeatureSpace.parse(self.feature_space)
        if (self.thresholds < thresholds_of(space, space.threshold, d_sae)).any():
            raise ThresholdBelowStored(
                f"a threshold of {self.thresholds.min():.4g} lies below the cut-off "
                f"{format_threshold(space.threshold)} of the space; raise it, or extract with a lower one"
            )
        self.maxima: NDArray[np.float32] = np.full(d_sae, -np.inf, dtype=np.float32)
        self.counts: NDArray[np.int64] = np.zeros(d_sae, dtype=np.int64)
        self.n_rows = 0
        self.n_tokens = 0

    @property
    def covered(self) -> NDArray[np.int64]:
        """Ids of the features above threshold in at least one row, sorted."""
        return np.flatnonzero(self.counts)

    def update(self, batch: Mapping[str, Any] | pa.Table, prefix: str = "") -> FeatureCoverage:
        """Add rows with feature columns.

        Raises:
            FeatureSpaceMismatch: a row is of another space.
            ColumnError: an id is not in [0, d_sae).
        """
        space = FeatureSpace.parse(self.feature_space)
        for other in set(_plain(_column(batch, f"{prefix}feature_space", default=[]))):
            require_same_space(space, FeatureSpace.parse(other))
        lengths, ids = flatten(_column(batch, f"{prefix}feature_ids"), np.int64)
        _, values = flatten(_column(batch, f"{prefix}feature_activations"), np.float32)
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.d_sae:
            raise ColumnError(f"feature ids run from {ids.min()} to {ids.max()}; expected [0, d_sae={self.d_sae})")
        np.maximum.at(self.maxima, ids, values)
        # compress takes half the time of a mask as index.
        active = ids.compress(values > self.thresholds[ids])
        self.counts += np.bincount(active, minlength=self.d_sae)
        self.n_rows += len(lengths)
        self.n_tokens += int(sum(_plain(_column(batch, f"{prefix}feature_tokens", default=[]))))
        return self

    def merge(self, other: FeatureCoverage) -> FeatureCoverage:
        """The state of both sets of rows together, as a new object; `add` does it in place.

        Raises:
            FeatureSpaceMismatch: the spaces, sizes or thresholds differ.
        """
        return FeatureCoverage.from_bytes(self.to_bytes()).add(other)

    def add(self, other: FeatureCoverage) -> FeatureCoverage:
        """Take another state in, in place; see `merge`."""
        require_same_space(FeatureSpace.parse(self.feature_space), FeatureSpace.parse(other.feature_space))
        if self.d_sae != other.d_sae or not np.array_equal(self.thresholds, other.thresholds):
            raise FeatureSpaceMismatch("coverage states with different thresholds cannot be merged")
        np.maximum(self.maxima, other.maxima, out=self.maxima)
        self.counts += other.counts
        self.n_rows += other.n_rows
        self.n_tokens += other.n_tokens
        return self

    def save(self, path: str | Path) -> None:
        """Write one safetensors file."""
        write_atomically(Path(path), self.to_bytes())

    def to_bytes(self) -> bytes:
        """The content of the file that `save` writes."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {"thresholds": self.thresholds, "maxima": self.maxima, "counts": self.counts}
        # One entry, since safetensors writes several in an order that changes from run to run.
        facts = {"feature_space": self.feature_space, "n_rows": self.n_rows, "n_tokens": self.n_tokens}
        return bytes(save(tensors, {"coverage": json.dumps(facts)}))

    @classmethod
    def load(cls, path: str | Path) -> FeatureCoverage:
        """Read a file written by `save`."""
        return cls.from_bytes(Path(path).read_bytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> FeatureCoverage:
        """Read what `to_bytes` wrote."""
        from safetensors.numpy import load

        tensors = load(content)
        # Tensors come without the file's metadata, which stands in its header.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = json.loads(header["__metadata__"]["coverage"])
        # Not through __init__, which compares the thresholds with a calibration that this machine need not have.
        state = cls.__new__(cls)
        state.feature_space, state.thresholds = facts["feature_space"], tensors["thresholds"]
        state.maxima, state.counts = tensors["maxima"], tensors["counts"]
        state.d_sae = len(state.counts)
        state.n_rows, state.n_tokens = facts["n_rows"], facts["n_tokens"]
        return state


def coverage(
    dataset: datasets.Dataset,
    anchor: datasets.Dataset,
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
    measured value, and the result clipped to [0, 1].

    Args:
        dataset: rows with feature columns.
        anchor: rows with feature columns of the same space, which stand for the target task.
        threshold: a number in the SAE's units, or a quantile such as `"q90"`.
        features: only these ids count, such as the task-relevant ones; or a judged feature table, whose relevant
            features count. Ids alone do not say of which space they are; a table does, and it is checked.
        prefix: of the feature columns, such as `"chosen_"`.
        seed: of the bootstrap.
        names: of dataset and anchor, for the report.

    Raises:
        DatasetError: the dataset or the anchor has no rows, or the anchor activates no feature.
        FeatureSpaceMismatch: the two, or they and the table, are of different spaces.
        ThresholdBelowStored: the threshold lies below the columns' cut-off.
        CalibrationMissing: the threshold is a quantile and the SAE has no calibration.

    Example:
        >>> report = coverage(seed, anchor)
        >>> report.low <= report.fac <= report.high
        True
    """
    threshold = parse_threshold(threshold)
    for role, rows in (("dataset", dataset), ("anchor", anchor)):
        if not len(rows):
            raise DatasetError(f"the {role} has no rows; coverage needs at least one")
    space = dataset_space(dataset, prefix)
    require_same_space(space, dataset_space(anchor, prefix))
    if features is not None and hasattr(features, "column_names"):
        from fac_datasets.interpretation.evidence import relevant_features

        require_table_space(features, space)
        features = relevant_features(features)
    active, anchor_active = active_rows([dataset, anchor], space, threshold, prefix)
    return _report(
        active,
        anchor_active,
        features=features,
        seed=seed,
        threshold=threshold,
        feature_space=str(space),
        dataset=identify(dataset, names[0] if names else None, prefix),
        anchor=identify(anchor, names[1] if names else None, prefix),
    )


class BudgetCoverage(NamedTuple):
    """Coverage of random parts of a dataset that hold a given number of tokens."""

    fac_at_budget: float
    """Mean over draws."""
    fac_at_budget_std: float
    """Standard deviation over draws."""


def coverage_at_budget(
    dataset: datasets.Dataset,
    anchor: datasets.Dataset,
    budget_tokens: int,
    *,
    threshold: Threshold = "q90",
    features: Sequence[int] | NDArray[np.int64] | None = None,
    prefix: str = "",
    draws: int = DRAWS,
    seed: int = 0,
) -> BudgetCoverage:
    """Coverage at an equal number of tokens, so that datasets of other lengths can be compared.

    Rows are drawn without replacement until their own tokens reach the budget. The row that crosses it is taken with
    the probability that makes the expected number of tokens the budget, so that long rows are not at a disadvantage.

    Args:
        dataset: rows with feature columns.
        anchor: rows with feature columns of the same space.
        budget_tokens: own tokens.
        threshold: see `coverage`.
        features: see `coverage`.
        prefix: of the feature columns.
        draws: number of random parts.
        seed: of the draws.

    Raises:
        DatasetError: the dataset holds fewer tokens, or the anchor activates no feature.

    Example:
        >>> coverage_at_budget(seed, anchor, 3).fac_at_budget <= report.fac
        True
    """
    tokens = np.asarray(dataset[f"{prefix}feature_tokens"], dtype=np.int64)
    if not 0 < budget_tokens <= tokens.sum():
        raise DatasetError(
            f"budget_tokens={budget_tokens} is out of reach: the dataset holds {tokens.sum()} own tokens; choose a "
            f"budget in [1, {tokens.sum()}]"
        )
    space = dataset_space(dataset, prefix)
    require_same_space(space, dataset_space(anchor, prefix))
    active, anchor_active = active_rows([dataset, anchor], space, parse_threshold(threshold), prefix)
    relevant = _relevant(anchor_active, features, threshold)
    index = np.searchsorted(relevant, active.ids)
    index[index == len(relevant)] = 0
    kept = relevant[index] == active.ids
    rows, index = active.rows[kept], index[kept]
    generator = np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        order = generator.permutation(len(tokens))
        ends = tokens[order].cumsum()
        whole = int(np.searchsorted(ends, budget_tokens, side="right"))
        if whole < len(order):
            left = budget_tokens - (ends[whole - 1] if whole else 0)
            whole += generator.random() < left / tokens[order[whole]]
        drawn = np.zeros(len(tokens), dtype=bool)
        drawn[order[:whole]] = True
        found[draw] = np.count_nonzero(np.bincount(index[drawn[rows]], minlength=len(relevant)))
    shares = found / len(relevant)
    return BudgetCoverage(float(shares.mean()), float(shares.std()))


def coverage_of_ids(
    dataset: Sequence[Sequence[int]],
    anchor: Sequence[Sequence[int]],
    *,
    features: Sequence[int] | None = None,
    seed: int = 0,
) -> CoverageReport:
    """Coverage where each row is given as the list of its active features; see `coverage`."""
    if not len(dataset) or not len(anchor):
        raise DatasetError("the dataset and the anchor need at least one row each")
    pairs = []
    for rows in (dataset, anchor):
        lengths, ids = flatten(rows, np.int64)
        pairs.append(_distinct(np.repeat(np.arange(len(rows)), lengths), ids, len(rows)))
    identities = [DatasetIdentity("ids", "", "", len(rows), None, "") for rows in (dataset, anchor)]
    return _report(
        *pairs,
        features=features,
        seed=seed,
        threshold=0.0,
        feature_space="",
        dataset=identities[0],
        anchor=identities[1],
    )


def active_rows(
    tables: Sequence[datasets.Dataset], space: FeatureSpace, threshold: Threshold, prefix: str = ""
) -> list[ActiveRows]:
    """Which rows of each dataset activate which features above a threshold.

    Raises:
        ThresholdBelowStored: the threshold lies below the columns' cut-off.
    """
    parts = [list(_id_value_batches(table, prefix)) for table in tables]
    d_sae = 1 + max((int(ids.max()) for part in parts for _, ids, _ in part if len(ids)), default=0)
    stored = thresholds_of(space, space.threshold, d_sae)
    thresholds = thresholds_of(space, threshold, len(stored))
    floor = stored if isinstance(space.threshold, str) else np.float32(space.threshold)
    below = int((thresholds < floor).sum())
    if below:
        raise ThresholdBelowStored(
            f"threshold {format_threshold(threshold)} lies below the cut-off {format_threshold(space.threshold)} of "
            f"the stored columns for {below} features; raise it, or extract anew with "
            f"FeatureExtractor(threshold={threshold!r})"
        )
    result = []
    for table, part in zip(tables, parts, strict=True):
        found_rows, found_ids = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for rows, ids, values in part:
            above = values > thresholds[ids]
            found_rows.append(rows[above])
            found_ids.append(ids[above])
        result.append(ActiveRows(np.concatenate(found_rows), np.concatenate(found_ids), len(table)))
    return result


def expected_coverage(row_counts: NDArray[np.int64], total: int, n: int) -> float:
    """Expected share of features active among n of `total` rows drawn without replacement; see `rarefaction`."""
    if n == 0 or not len(row_counts):
        return 0.0
    # log of C(N - N_i, n) / C(N, n), by cumulative sums of logarithms instead of huge factorials.
    log_factorial = np.concatenate([[0.0], np.log(np.arange(1, total + 1)).cumsum()])
    absent = total - row_counts
    possible = absent >= n
    log_missed = np.full(len(row_counts), -np.inf)
    log_missed[possible] = (
        log_factorial[absent[possible]]
        - log_factorial[absent[possible] - n]
        - log_factorial[total]
        + log_factorial[total - n]
    )
    return float(np.mean(1 - np.exp(log_missed)))


def _report(
    active: ActiveRows,
    anchor_active: ActiveRows,
    *,
    features: Sequence[int] | NDArray[np.int64] | None,
    seed: int,
    **fields: Any,
) -> CoverageReport:
    relevant = _relevant(anchor_active, features, fields["threshold"])
    row_counts, anchor_counts = (
        _counts(part, relevant) for part in (active, anchor_active)
    )  # fmt: skip
    is_covered = row_counts > 0
    fac = float(is_covered.mean())
    low, high = _interval(fac, active, relevant, row_counts, seed)
    return CoverageReport(
        fac=fac,
        low=low,
        high=high,
        covered=relevant[is_covered],
        relevant=relevant,
        missing=relevant[~is_covered],
        row_counts=row_counts,
        anchor_counts=anchor_counts,
        **fields,
    )


def _relevant(
    anchor_active: ActiveRows, features: Sequence[int] | NDArray[np.int64] | None, threshold: Threshold
) -> NDArray[np.int64]:
    """The anchor's features, and of these only the ones asked for."""
    relevant = np.unique(anchor_active.ids)
    if features is not None:
        relevant = np.intersect1d(relevant, np.asarray(features, dtype=np.int64))
    if not len(relevant):
        raise DatasetError(
            "the anchor activates no feature" + (" of those asked for" if features is not None else "")
            + f" at threshold {format_threshold(threshold)}, so coverage is not defined; lower the threshold "
            f"or use another anchor"
        )  # fmt: skip
    return relevant


def _counts(active: ActiveRows, relevant: NDArray[np.int64]) -> NDArray[np.int64]:
    size = 1 + max(int(relevant[-1]), int(active.ids.max()) if len(active.ids) else 0)
    return np.bincount(active.ids, minlength=size)[relevant]


def _interval(
    fac: float, active: ActiveRows, relevant: NDArray[np.int64], row_counts: NDArray[np.int64], seed: int
) -> tuple[float, float]:
    """95 % bootstrap interval over rows; see `coverage`."""
    rare = relevant[(row_counts > 0) & (row_counts <= _SURELY_DRAWN)]
    sure = int((row_counts > _SURELY_DRAWN).sum())
    index = np.searchsorted(rare, active.ids)
    index[index == len(rare)] = 0
    kept = rare[index] == active.ids if len(rare) else np.zeros(len(active.ids), dtype=bool)
    order = np.argsort(index[kept], kind="stable")
    rows, feature = active.rows[kept][order], index[kept][order]
    starts = np.flatnonzero(np.concatenate([[True], feature[1:] != feature[:-1]])) if len(feature) else feature
    generator = np.random.default_rng(seed)
    covered = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = np.zeros(active.n_rows, dtype=bool)
        drawn[generator.integers(active.n_rows, size=active.n_rows)] = True
        covered[i] = sure + (np.logical_or.reduceat(drawn[rows], starts).sum() if len(starts) else 0)
    resampled = covered / len(relevant)
    low, high = np.quantile(resampled, [0.025, 0.975]) - resampled.mean()
    return float(np.clip(fac + low, 0, fac)), float(np.clip(fac + high, fac, 1))


def _id_value_batches(
    dataset: datasets.Dataset, prefix: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """Rows, ids and activations of all stored features, flat, a batch at a time."""
    names = [f"{prefix}feature_ids", f"{prefix}feature_activations"]
    start = 0
    for batch in dataset.select_columns(names).with_format("arrow").iter(batch_size=10_000):
        lengths, ids = flatten(batch.column(names[0]), np.int64)
        _, values = flatten(batch.column(names[1]), np.float32)
        yield start + np.repeat(np.arange(len(lengths)), lengths), ids, values
        start += len(lengths)


def flatten(column: Any, dtype: type) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Lengths of the rows of a ragged column, and its values in one array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(column, pa.Array | pa.ChunkedArray):
        lengths = np.fromiter((len(row) for row in column), np.int64, len(column))
        parts: list[NDArray[Any]] = [np.asarray(row, dtype=dtype) for row in column if len(row)]
        return lengths, np.concatenate(parts) if parts else np.empty(0, dtype)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    return lengths, pc.list_flatten(column).to_numpy().astype(dtype, copy=False)


def _distinct(rows: NDArray[np.int64], ids: NDArray[np.int64], n_rows: int) -> ActiveRows:
    if len(ids) and ids.min() < 0:
        raise ColumnError(f"feature id {ids.min()} is negative; ids count from 0")
    pairs = np.unique(np.stack([rows, ids], axis=1), axis=0) if len(ids) else np.empty((0, 2), np.int64)
    return ActiveRows(pairs[:, 0], pairs[:, 1], n_rows)


def _column(batch: Any, name: str, default: Any = None) -> Any:
    names = getattr(batch, "column_names", None) or list(batch)
    if name not in names:
        if default is None:
            raise ColumnError(f"there is no column {name!r} among {names}")
        return default
    return batch[name]


def _plain(column: Any) -> Any:
    return column.to_pylist() if hasattr(column, "to_pylist") else column


def report_json(report: CoverageReport) -> str:
    """A report as JSON text."""
    return json.dumps(report.to_dict(), indent=2) + "\n"
