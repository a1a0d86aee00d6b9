"""What is missing is the same from a report and from its file, and what is no report is refused."""

from __future__ import annotations

import json

import pytest

from fac_datasets import coverage
from fac_datasets.coverage.gap import Gap
from fac_datasets.coverage.report import CoverageReport
from fac_datasets.errors import FacDatasetsError, OptionError
from tests.coverage.cases import space, table


@pytest.fixture(scope="module")
def report() -> CoverageReport:
    anchor = table([{0: 3.0, 5: 3.0}, {5: 3.0, 7: 3.0}, {7: 3.0, 2: 3.0}, {7: 3.0}])
    return coverage(table([{0: 3.0}]), anchor, threshold=1, feature_names={7: "apples", 5: "pears"})


def test_what_is_missing_is_told_as_ids_and_by_anchor_rows(report: CoverageReport) -> None:
    gap = Gap.of(report)
    assert gap.missing_by_anchor_rows.tolist() == [7, 5, 2]
    assert gap.missing.tolist() == [2, 5, 7]
    assert (gap.threshold, gap.feature_space) == (1, space())


def test_a_report_in_a_file_tells_the_same(report: CoverageReport) -> None:
    read = Gap.of(json.loads(json.dumps(report.to_dict())))
    assert read.missing_by_anchor_rows.tolist() == report.missing_by_anchor_rows.tolist()
    assert (read.threshold, read.feature_space) == (report.threshold, report.feature_space)
    assert {feature: read.feature_names.names[feature] for feature in (5, 7)} == {7: "apples", 5: "pears"}


def test_a_gap_is_its_own(report: CoverageReport) -> None:
    gap = Gap.of(report)
    assert Gap.of(gap) is gap


def test_thresholds_by_quantile_are_kept(report: CoverageReport) -> None:
    assert Gap.of({**report.to_dict(), "threshold": "q90"}).threshold == "q90"


def test_nothing_missing_is_a_gap_too(report: CoverageReport) -> None:
    assert len(Gap.of({**report.to_dict(), "missing": []}).missing) == 0


@pytest.mark.parametrize("lacking", ["missing", "threshold", "feature_space"])
def test_what_is_no_report_is_refused(report: CoverageReport, lacking: str) -> None:
    content = {name: value for name, value in report.to_dict().items() if name != lacking}
    with pytest.raises(OptionError, match=f"this is no report of coverage: it has no '{lacking}'"):
        Gap.of(content)


@pytest.mark.parametrize(
    "damage", [{"missing": ["seven"]}, {"missing": [-1]}, {"threshold": "q12"}, {"feature_space": "of mine"}]
)
def test_damaged_values_are_refused(report: CoverageReport, damage: dict[str, object]) -> None:
    with pytest.raises(FacDatasetsError):
        Gap.of({**report.to_dict(), **damage})
