"""Pictures of coverage and of training, as the bytes of a PNG; whoever asks for one decides where it goes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Measured(Protocol):
    """What a picture shows of a coverage; `CoverageReport` is one."""

    @property
    def fac(self) -> float:
        """Coverage, in [0, 1]."""

    @property
    def low(self) -> float | None:
        """Lower end of its interval."""

    @property
    def high(self) -> float | None:
        """Upper end of its interval."""

    @property
    def no_interval(self) -> str:
        """Why there is none; empty where there is one."""

    def rarefaction(self) -> Sequence[tuple[int, float]]:
        """Rows drawn, and the coverage expected of them."""


def rarefaction_png(reports: Mapping[str, Measured]) -> bytes:
    """Expected coverage against the number of rows drawn, a curve a report."""
    figure = _figure(6.4)
    _rarefaction(figure.subplots(), reports)
    return _png(figure)


def gain_png(before: Mapping[str, Measured], after: Mapping[str, Mapping[str, Measured]]) -> bytes:
    """Coverage of several anchors before and after, with intervals, and rarefaction on the last anchor.

    Args:
        before: report of the seed, by anchor.
        after: by what was added, reports by anchor.
    """
    figure = _figure(11.0)
    bars, curves = figure.subplots(1, 2)
    series = {"seed": before, **{f"seed + {name}": reports for name, reports in after.items()}}
    width = 0.8 / len(series)
    for place, (label, reports) in enumerate(series.items()):
        x = [i + (place - (len(series) - 1) / 2) * width for i in range(len(reports))]
        heights = [report.fac for report in reports.values()]
        # Nothing is drawn at NaN; a bar of length 0 would look like a coverage that is certain.
        errors = [
            [math.nan if report.low is None else report.fac - report.low for report in reports.values()],
            [math.nan if report.high is None else report.high - report.fac for report in reports.values()],
        ]
        drawn = bars.bar(x, heights, width * 0.92, yerr=errors, capsize=3, label=label)
        bars.bar_label(drawn, [f"{height:.3f}" for height in heights], padding=3, fontsize=8)
    bars.set_xticks(range(len(before)), [f"anchor {name}" for name in before])
    bars.set_ylabel("feature activation coverage (95 % interval)")
    reasons = {label: next(iter(reports.values())).no_interval for label, reports in series.items()}
    lines = [f"{label}: no interval, since {reason}" for label, reason in reasons.items() if reason]
    bars.set_xlabel("\n".join(lines), fontsize=8)
    bars.set_ylim(0, min(1.0, 1.25 * max(bars.get_ylim()[1], 0.01)))
    # Above the bars, which may be of any height.
    bars.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(series))
    last = list(before)[-1]
    _rarefaction(curves, {label: reports[last] for label, reports in series.items()})
    curves.set_title(f"rarefaction, anchor {last}", fontsize=10)
    return _png(figure)


def training_png(history: Sequence[Mapping[str, float]]) -> bytes:
    """What each chunk of a training run measured, against the tokens trained on."""
    figure = _figure(9.6)
    panels = figure.subplots(1, 3)
    names = {"fvu": "fraction of variance unexplained", "l0": "L0", "dead_share": "dead features, share"}
    for axes, (name, label) in zip(panels, names.items(), strict=True):
        axes.plot([chunk["tokens"] for chunk in history], [chunk[name] for chunk in history], marker=".")
        axes.set_xlabel("tokens")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
    return _png(figure)


def evaluation_png(report: Mapping[str, Any]) -> bytes:
    """FVU and loss recovered of each kind of text, and the histogram of firing rates, of an `evaluate_sae` report."""
    figure = _figure(11.0)
    fvu, recovered, density = figure.subplots(1, 3)
    kinds = {"all": report, **report["kinds"]}
    for axes, name, label in (
        (fvu, "fvu", "fraction of variance unexplained"),
        (recovered, "loss_recovered", "loss recovered"),
    ):
        values = [kind[name] for kind in kinds.values()]
        axes.bar_label(axes.barh(list(kinds), values), [f"{value:.3f}" for value in values], padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.set_xlabel(label)
    edges = report["density"]["log10_rate"]
    density.bar(edges[:-1], report["density"]["features"], width=edges[1] - edges[0], align="edge")
    density.set_xlabel("log10 of firing rate")
    density.set_ylabel("features")
    return _png(figure)


def effects_png(features: Sequence[Mapping[str, Any]], names: tuple[str, str], effect: str) -> bytes:
    """Effects of features with their intervals, from top to bottom.

    Args:
        features: each with a `label`, and with `effect`, `low` and `high`.
        names: of the side that has more where an effect is above 0, and of the other.
        effect: what an effect is, in words.
    """
    figure = _figure(9.6, max(2.4, 1.2 + 0.26 * len(features)))
    axes = figure.subplots()
    for place, row in enumerate(features):
        colour = "C0" if row["effect"] > 0 else "C1"
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([row["effect"]], [place], color=colour, marker="o", markersize=5)
    axes.axvline(0, color="0.6", linewidth=0.8)
    furthest = max((abs(row[end]) for row in features for end in ("low", "high")), default=1.0)
    axes.set_xlim(-1.05 * furthest, 1.05 * furthest)
    # Names come from data, in which a dollar is no formula.
    axes.set_yticks(range(len(features)), [row["label"] for row in features], fontsize=8, parse_math=False)
    axes.set_ylim(max(len(features), 1) - 0.5, -0.5)
    if not features:
        axes.text(0.5, 0.5, "no feature differs", ha="center", va="center", transform=axes.transAxes)
    first, second = names
    options: dict[str, Any] = {"fontsize": 9, "parse_math": False}
    axes.set_title(f"\N{LEFTWARDS ARROW} more in {second}", loc="left", **options)
    axes.set_title(f"more in {first} \N{RIGHTWARDS ARROW}", loc="right", **options)
    axes.set_xlabel(f"{effect}\n95 % intervals", fontsize=8)
    return _png(figure)


def matrix_png(names: Sequence[str], shares: Sequence[Sequence[float]]) -> bytes:
    """A heat map of shares, each in numbers: of the features of each row's dataset, those that each column's has.

    Args:
        names: of the datasets.
        shares: [n_datasets, n_datasets]; NaN where there is none.
    """
    size = max(3.6, 1.8 + 0.75 * len(names))
    figure = _figure(size + 1.6, size)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1)
    for row, of_row in enumerate(shares):
        for column, share in enumerate(of_row):
            shown = "-" if math.isnan(share) else f"{share:.2f}"
            # On the dark half of the colours a number is read in white.
            axes.text(
                column, row, shown, ha="center", va="center", fontsize=9, color="white" if share < 0.6 else "black"
            )
    places = range(len(names))
    axes.set_xticks(places, names, rotation=35, ha="right", rotation_mode="anchor", fontsize=8, parse_math=False)
    axes.set_yticks(places, names, fontsize=8, parse_math=False)
    axes.set_ylabel("features of")
    axes.set_xlabel("that are also in")
    figure.colorbar(image, ax=axes, label="share of features", fraction=0.046)
    return _png(figure)


def curves_png(
    x: Sequence[float], curves: Mapping[str, Sequence[tuple[float, float | None]]], x_label: str, y_label: str
) -> bytes:
    """Curves of shares, with the deviation of each value where it has one.

    Args:
        x: where each curve has its values, ascending.
        curves: values and deviations, by name.
        x_label: what x is.
        y_label: what the values are.
    """
    figure = _figure(6.4)
    axes = figure.subplots()
    for name, points in curves.items():
        errors = [deviation or 0.0 for _, deviation in points]
        axes.errorbar(x, [value for value, _ in points], yerr=errors, marker="o", markersize=3, capsize=3, label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def figures_png(seeds: Mapping[str, Mapping[str, float]], chance: Mapping[str, float]) -> bytes:
    """What trials measured: a point a seed and a bar at their mean, for each figure.

    Args:
        seeds: the figures of each trial, by seed.
        chance: what guessing gives of a figure, where that is known.
    """
    names = list(next(iter(seeds.values())))
    figure = _figure(7.2, max(2.4, 1.2 + 0.4 * len(names)))
    axes = figure.subplots()
    for place, name in enumerate(names):
        values = [figures[name] for figures in seeds.values()]
        mean = sum(values) / len(values)
        axes.barh(place, mean, 0.6, color="C0", alpha=0.35)
        axes.plot(values, [place] * len(values), color="C0", marker="o", markersize=4, linestyle="none")
        axes.annotate(f"{mean:.3f}", (max([mean, *values]), place), (6, 0), textcoords="offset points", va="center")
        if name in chance:
            axes.plot([chance[name]] * 2, [place - 0.4, place + 0.4], color="0.3", linestyle=":")
    # Names come from data, in which a dollar is no formula.
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    of_chance = "; dotted: chance" if chance else ""
    axes.set_xlabel(f"mean and each of {len(seeds)} seeds{of_chance}", fontsize=8)
    return _png(figure)


def growth_png(points: Sequence[tuple[int, float]], x: str, y: str) -> bytes:
    """A small curve of a value against a number of rows, as a picture."""
    return _png(growth_figure(points, x, y))


def growth_figure(points: Sequence[tuple[int, float]], x: str, y: str) -> Figure:
    """A small curve of a value against a number of rows."""
    from matplotlib.ticker import MaxNLocator

    figure = _figure(6.4)
    axes = figure.subplots()
    axes.plot([point[0] for point in points], [point[1] for point in points], marker=".")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=min([0.0, *(point[1] for point in points)]))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _rarefaction(axes: Axes, reports: Mapping[str, Measured]) -> None:
    for label, report in reports.items():
        points = report.rarefaction()
        axes.plot([n_rows for n_rows, _ in points], [fac for _, fac in points], label=label)
    axes.set_xlabel("rows drawn at random")
    axes.set_ylabel("expected coverage")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)


def _figure(width: float, height: float = 4.2) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _png(figure: Figure) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
