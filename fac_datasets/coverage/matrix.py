"""Coverage among many datasets: how much of each one's features each other one has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.active_rows import Cutoffs, active_rows
from fac_datasets.coverage.names import shown_name
from fac_datasets.coverage.relevant import ids_of, require_features_of
from fac_datasets.errors import DatasetError, OptionError
from fac_datasets.feature_space import Threshold, dataset_space, parse_threshold, require_same_space
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.one_dataset import require_dataset

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CoverageMatrix:
    """How much of each dataset's features each other one has; directed, as one may have all of another and more."""

    names: tuple[str, ...]
    """Of the datasets, in their order."""
    n_rows: tuple[int, ...]
    """Rows of each."""
    shared: NDArray[np.int64]
    """Features that dataset i and dataset j both activate, [n, n]; on the diagonal all of dataset i."""
    threshold: Threshold

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of dataset i's features that dataset j activates too, [n, n]: `coverage(j, i).fac`.

        NaN where dataset i activates no feature.
        """
        of = self.shared.diagonal()[:, None]
        return np.where(of > 0, self.shared / np.maximum(of, 1), np.nan)

    @property
    def table(self) -> datasets.Dataset:
        """The matrix as a table, a row each two datasets.

        `features_of` and `are_in` name the two, `shared` counts the features of both and `of` those of the first, and
        `share` is None where the first has no features.
        """
        import datasets
        from datasets import Features, Value

        text, number = Value("string"), Value("int64")
        columns = {"features_of": text, "are_in": text, "shared": number, "of": number, "share": Value("float64")}
        n = range(len(self.names))
        pairs = [(i, j) for i in n for j in n]
        return datasets.Dataset.from_dict(
            {
                "features_of": [self.names[i] for i, _ in pairs],
                "are_in": [self.names[j] for _, j in pairs],
                "shared": [int(self.shared[pair]) for pair in pairs],
                "of": [int(self.shared[i, i]) for i, _ in pairs],
                "share": [_or_none(self.shares[pair]) for pair in pairs],
            },
            features=Features(columns),
        )

    def to_dict(self) -> dict[str, Any]:
        """The matrix as plain values for `report.json`."""
        return {
            "names": list(self.names),
            "rows": list(self.n_rows),
            "features": self.shared.diagonal().tolist(),
            "shares": [[_or_none(share) for share in of_row] for of_row in self.shares],
            "threshold": self.threshold,
            "version": version("fac-datasets"),
        }

    def plot(self, path: str | Path) -> None:
        """Save the matrix as a heat map with numbers."""
        from fac_datasets.plots import matrix_png

        write_atomically(Path(path), matrix_png([*map(shown_name, self.names)], self.shares.tolist()))


def coverage_matrix(
    given: Mapping[str, datasets.Dataset],
    *,
    threshold: Threshold = "q90",
    features: Sequence[int] | NDArray[np.int64] | datasets.Dataset | None = None,
    prefix: str = "",
) -> CoverageMatrix:
    """Measure how much of each dataset's features each other one has.

    Entry [i, j] is `coverage(j, i).fac`: the share of the features of dataset i that dataset j activates too. Larger
    datasets cover more; compare such of about the same number of tokens, or read both directions.

    Args:
        given: at least two datasets with feature columns of one space, by name.
        threshold: a number in the SAE's units, or a quantile such as `"q90"`.
        features: only these ids count; or a judged feature table, whose relevant features count.
        prefix: of the feature columns, such as `"chosen_"`.

    Raises:
        OptionError: there are fewer than two, or an option has no meaning.
        DatasetError: one has no rows, or is several splits or a stream.
        ColumnError: there are no feature columns.
        RowError: a row has no features, or damaged ones; see `coverage`.
        FeatureSpaceMismatch: two are of different spaces, or they and a table.
        ThresholdBelowStored: the threshold lies below the columns' cut-off.
        CalibrationMissing: the threshold is a quantile and the SAE has no calibration.

    Example:
        >>> matrix = coverage_matrix({"seed": seed, "anchor": anchor})
        >>> matrix.shares.shape
        (2, 2)
        >>> float(matrix.shares[1, 0]) == coverage(seed, anchor).fac
        True
    """
    if not isinstance(given, Mapping) or len(given) < 2:
        raise OptionError("a matrix needs at least two datasets by name, such as {'first': rows, 'second': others}")
    threshold = parse_threshold(threshold)
    wanted = ids_of(features)
    for name, rows in given.items():
        require_dataset(rows, f"{name!r}")
        if not len(rows):
            raise DatasetError(f"{name!r} has no rows; a matrix needs some of each dataset")
    first, *others = (dataset_space(rows, prefix) for rows in given.values())
    for other in others:
        require_same_space(first, other)
    require_features_of(features, first)
    cutoffs = Cutoffs(first, threshold)
    found = [np.flatnonzero(active_rows(rows, cutoffs, prefix).counts) for rows in given.values()]
    counted = found if wanted is None else [np.intersect1d(ids, wanted) for ids in found]
    any_of_them = np.unique(np.concatenate(counted))
    has = np.array([np.isin(any_of_them, ids) for ids in counted], dtype=np.int64)
    return CoverageMatrix(tuple(map(str, given)), tuple(map(len, given.values())), has @ has.T, threshold)


def matrix_in_words(report: Mapping[str, Any]) -> list[str]:
    """A matrix as a table in Markdown, a line each.

    Args:
        report: what `CoverageMatrix.to_dict` gives.

    Example:
        >>> report = {"names": ["a", "b"], "features": [4, 0], "shares": [[1.0, 0.5], [None, None]]}
        >>> print("\\n".join(matrix_in_words(report)))
        | features of | number | in a | in b |
        |---|---|---|---|
        | a | 4 | 1.000 | 0.500 |
        | b | 0 | - | - |
    """
    # A bar would end a cell.
    names = [shown_name(name).replace("|", "/") for name in report["names"]]
    lines = [["features of", "number", *(f"in {name}" for name in names)]]
    for name, number, shares in zip(names, report["features"], report["shares"], strict=True):
        lines.append([name, f"{number:,}", *("-" if share is None else f"{share:.3f}" for share in shares)])
    head, *rest = (f"| {' | '.join(cells)} |" for cells in lines)
    return [head, f"|{'---|' * len(lines[0])}", *rest]


def _or_none(share: float) -> float | None:
    return None if np.isnan(share) else float(share)
