"""Pictures of coverage show an interval only where there is one."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np
import pytest

from fac_datasets.coverage.interval import ONE_ROW
from fac_datasets.coverage.report import coverage_of_ids
from fac_datasets.plots import gain_png

ANCHOR = [[1, 2, 3, 4]]


def test_a_coverage_without_interval_says_why_and_has_no_whisker(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    save = matplotlib.figure.Figure.savefig

    def watched(figure: Any, *args: Any, **options: Any) -> None:
        drawn.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", watched)
    one, two = coverage_of_ids([[1]], ANCHOR), coverage_of_ids([[1], [2]], ANCHOR)
    assert gain_png({"A1": one}, {"guided": {"A1": two}}).startswith(b"\x89PNG")
    bars = drawn[0].axes[0]
    assert bars.get_xlabel() == f"seed: no interval, since {ONE_ROW}"
    whiskers = [container.errorbar.lines[2][0].get_segments()[0] for container in bars.containers[1::2]]
    assert [bool(np.isfinite(whisker).any()) for whisker in whiskers] == [False, True]
