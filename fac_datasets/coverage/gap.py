"""What a dataset is missing, as a report tells it: all that is needed to make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.names import FeatureNames, names_that_ship
from fac_datasets.coverage.report import CoverageReport
from fac_datasets.errors import OptionError
from fac_datasets.feature_space import FeatureSpace, Threshold, parse_threshold
from fac_datasets.rows.inputs import feature_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Gap:
    """The features that a dataset is missing."""

    missing_by_anchor_rows: NDArray[np.int64]
    """Their ids, those that most anchor rows activate first."""
    threshold: Threshold
    feature_space: str
    feature_names: FeatureNames

    @property
    def missing(self) -> NDArray[np.int64]:
        """Their ids, sorted."""
        return np.sort(self.missing_by_anchor_rows)

    @classmethod
    def of(cls, report: CoverageReport | Gap | Mapping[str, Any]) -> Gap:
        """The gap that a report tells of.

        Args:
            report: what `coverage` returned, or the content of `report.json`.

        Raises:
            OptionError: it is no report.

        Example:
            >>> report = coverage(seed, anchor)
            >>> Gap.of(report.to_dict()).missing.tolist() == report.missing.tolist()
            True
        """
        if isinstance(report, Gap):
            return report
        if isinstance(report, CoverageReport):
            return cls(report.missing_by_anchor_rows, report.threshold, report.feature_space, report.feature_names)
        lacking = [name for name in ("missing", "threshold", "feature_space") if name not in report]
        if lacking:
            raise OptionError(f"this is no report of coverage: it has no {lacking[0]!r} among {[*report][:12]}")
        space = FeatureSpace.parse(report["feature_space"])
        told = {int(feature): str(name) for feature, name in (report.get("names") or {}).items()}
        names = FeatureNames({**names_that_ship(space).names, **told}, {})
        missing = np.array(feature_ids(report["missing"], "missing"), dtype=np.int64)
        return cls(missing, parse_threshold(report["threshold"]), str(space), names)
