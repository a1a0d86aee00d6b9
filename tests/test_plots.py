"""Pictures show what they are of: intervals only where there are some, and numbers and names that can be read."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np
import pytest

from fac_datasets.coverage.interval import ONE_ROW
from fac_datasets.coverage.report import coverage_of_ids
from fac_datasets.plots import effects_png, figures_png, gain_png, matrix_png

ANCHOR = [[1, 2, 3, 4]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Figures as they are saved."""
    figures: list[Any] = []
    save = matplotlib.figure.Figure.savefig

    def watched(figure: Any, *args: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", watched)
    return figures


def test_a_coverage_without_interval_says_why_and_has_no_whisker(drawn: list[Any]) -> None:
    one, two = coverage_of_ids([[1]], ANCHOR), coverage_of_ids([[1], [2]], ANCHOR)
    assert gain_png({"A1": one}, {"guided": {"A1": two}}).startswith(b"\x89PNG")
    bars = drawn[0].axes[0]
    assert bars.get_xlabel() == f"seed: no interval, since {ONE_ROW}"
    whiskers = [container.errorbar.lines[2][0].get_segments()[0] for container in bars.containers[1::2]]
    assert [bool(np.isfinite(whisker).any()) for whisker in whiskers] == [False, True]


def test_effects_are_drawn_around_0_and_a_name_with_dollars_is_no_formula(drawn: list[Any]) -> None:
    row = {"label": r"7 ($\frac{1}{$ and $)", "effect": -0.4, "low": -0.6, "high": -0.1}
    assert effects_png([row], ("new $a$", "old"), "an effect").startswith(b"\x89PNG")
    axes = drawn[0].axes[0]
    assert axes.get_xlim() == pytest.approx((-0.63, 0.63))
    assert axes.get_yticklabels()[0].get_text() == row["label"]
    assert [*axes.lines[0].get_xdata()] == [-0.6, -0.1]
    assert axes.get_title("right").startswith("more in new $a$")


def test_where_nothing_differs_the_picture_says_so(drawn: list[Any]) -> None:
    effects_png([], ("a", "b"), "an effect")
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["no feature differs"]


def test_every_share_of_a_matrix_stands_in_numbers_that_can_be_read(drawn: list[Any]) -> None:
    matrix_png(["one", "$two$"], [[1.0, 0.25], [float("nan"), float("nan")]])
    heat, legend = drawn[0].axes
    assert [text.get_text() for text in heat.texts] == ["1.00", "0.25", "-", "-"]
    assert [text.get_color() for text in heat.texts[:2]] == ["black", "white"]
    assert [label.get_text() for label in heat.get_yticklabels()] == ["one", "$two$"]
    assert legend.get_ylabel() == "share of features"


def test_figures_of_seeds_are_points_beside_their_mean_and_chance(drawn: list[Any]) -> None:
    figures_png({"1": {"auroc": 0.5, "$f$": 0.9}, "2": {"auroc": 0.7, "$f$": 0.9}}, {"auroc": 0.5})
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["auroc", "$f$"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.6, 0.9])
    points, chance, _ = axes.lines
    assert [*points.get_xdata()] == [0.5, 0.7]
    assert [*chance.get_xdata()] == [0.5, 0.5]
    assert [text.get_text() for text in axes.texts] == ["0.600", "0.900"]
