"""What a comparison of two sets of rows finds: a table of features, in words, as a picture and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fac_datasets.coverage.names import in_words, shown_name
from fac_datasets.errors import OptionError
from fac_datasets.feature_space import Threshold
from fac_datasets.files.atomic import write_atomically
from fac_datasets.interpretation.comparison_page import comparison_page
from fac_datasets.plots import effects_png

if TYPE_CHECKING:
    import datasets

SIDES = ("a", "b")
"""The two sides, as the columns of a comparison's table name them."""

TOLD, DRAWN, MOST_ON_PAGE = 10, 12, 100
"""Features of each side that are told in words, drawn, and shown on a page."""

_EFFECTS = {
    False: "2 AUROC - 1 of the activations of rows of equal length",
    True: "share of pairs in which the first side alone activates it, less that of the second alone",
}


@dataclass(frozen=True)
class Comparison:
    """What one of two sets of rows has and the other lacks."""

    table: datasets.Dataset
    """One row a feature, those that differ first, then by falling size of the effect:

    `feature_id`, `feature_space`, `name` (None where none is known); `effect`, above 0 where side a has more, with the
    ends `low` and `high` of its 95 % interval, `p`, and `q`, the same adjusted for the number of features (Benjamini
    and Hochberg 1995); `more_in`, the side that has more (`"a"`, `"b"`) where q is at most alpha, else None; `rows_a`
    and `rows_b`, the rows of each side that activate it; `spans_a` and `spans_b`, where it fires most there.

    The effect is 2 AUROC - 1 of the activations of rows of equal length. Of pairs it is the share of pairs in which
    side a alone activates the feature, less that in which side b alone does; and there are `activation` (the mean
    difference of activations within pairs) with its interval `activation_low`, `activation_high`, `split_half`
    (whether the effect has the same sign in both random halves of the pairs), `style` (the kind of style that the
    feature goes with, or None), and `style_r`, the correlation with it.
    """
    names: tuple[str, str]
    """Of the two sides."""
    n_rows: tuple[int, int]
    """Rows of each side."""
    threshold: Threshold
    """What an activation must exceed to make a row count."""
    alpha: float
    """False discovery rate of `more_in`."""
    left_out: int = 0
    """Rows without counterpart of about their length, which count in `rows_a` and `rows_b` alone."""
    is_paired: bool = False
    """Whether rows belong together, such as the chosen and the rejected answer."""

    @classmethod
    def from_dict(cls, table: datasets.Dataset, report: Mapping[str, Any]) -> Comparison:
        """A comparison of which table and report were kept.

        Args:
            table: see above.
            report: what `to_dict` gave.
        """
        a, b = (report[side] for side in SIDES)
        kept = {name: report[name] for name in ("threshold", "alpha", "left_out", "is_paired")}
        return cls(table, (a["name"], b["name"]), (a["rows"], b["rows"]), **kept)

    def more_in(self, side: str) -> datasets.Dataset:
        """The features of which a side has more, the largest effect first.

        Args:
            side: `"a"` or `"b"`.

        Raises:
            OptionError: there is no such side.
        """
        if side not in SIDES:
            raise OptionError(f"side={side!r} is neither 'a' nor 'b'")
        return self.table.select([i for i, more in enumerate(self.table["more_in"]) if more == side])

    def plot(self, path: str | Path) -> None:
        """Save the largest effects of either side, with their intervals, as a picture."""
        rows = [row for side in SIDES for row in _first(self.more_in(side), DRAWN)]
        drawn = [{**row, "label": _called(row)} for row in rows]
        names = (shown_name(self.names[0]), shown_name(self.names[1]))
        write_atomically(Path(path), effects_png(drawn, names, _EFFECTS[self.is_paired]))

    def to_html(self) -> str:
        """The comparison as one page that needs neither network nor script, and of which every text is text."""
        return comparison_page(self.to_dict(), {side: _first(self.more_in(side), MOST_ON_PAGE) for side in SIDES})

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values for `report.json`, of the features of each side only the first."""
        found = {side: self.more_in(side) for side in SIDES}
        return {
            "is_paired": self.is_paired,
            "effect": _EFFECTS[self.is_paired],
            **{
                side: {"name": name, "rows": rows, "more": len(found[side])}
                for side, name, rows in zip(SIDES, self.names, self.n_rows, strict=True)
            },
            "n_features": len(self.table),
            "left_out": self.left_out,
            "threshold": self.threshold,
            "alpha": self.alpha,
            "version": version("fac-datasets"),
            "first": {side: [_without_spans(row) for row in _first(rows, TOLD)] for side, rows in found.items()},
        }


def comparison_in_words(report: Mapping[str, Any]) -> list[str]:
    """What a comparison found, a line each.

    Args:
        report: what `Comparison.to_dict` gives.

    Example:
        >>> sides = {"a": {"name": "new", "rows": 9, "more": 0}, "b": {"name": "old", "rows": 8, "more": 0}}
        >>> report = {**sides, "is_paired": False, "n_features": 5, "left_out": 0, "alpha": 0.05}
        >>> comparison_in_words({**report, "first": {"a": [], "b": []}})
        ['5 features in 9 rows of new and 8 of old: 0 are more in new, 0 in old (false discovery rate 0.05)']
    """
    a, b = report["a"], report["b"]
    of = f"{a['rows']:,} rows of {a['name']} and {b['rows']:,} of {b['name']}"
    if report["is_paired"]:
        of = f"{a['rows']:,} pairs of {a['name']} and {b['name']}"
    lines = [
        f"{report['n_features']:,} features in {of}: {a['more']:,} are more in {a['name']}, {b['more']:,} in "
        f"{b['name']} (false discovery rate {report['alpha']:g})"
    ]
    if report["left_out"]:
        lines.append(f"{report['left_out']:,} rows are not compared: the other side has none of about their length")
    for side in SIDES:
        if report["first"][side]:
            lines.append(f"more in {report[side]['name']}:")
            lines += [f"  {_feature_in_words(row, report)}" for row in report["first"][side]]
    return lines


def _feature_in_words(row: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    shares = [f"{row[f'rows_{side}'] / report[side]['rows']:.1%}" for side in SIDES]
    marks = [f"style: {row['style']}, r {row['style_r']:+.2f}"] if row.get("style") else []
    if row.get("split_half") is False:
        marks.append("the halves differ in sign")
    return "; ".join(
        [
            f"{_called(row)}: {row['effect']:+.3f} [{row['low']:+.3f}, "
            f"{row['high']:+.3f}], active in {shares[0]} and {shares[1]}",
            *marks,
        ]
    )


def _called(row: Mapping[str, Any]) -> str:
    """A feature by its id and, where it has one, its name."""
    return in_words([row["feature_id"]], {row["feature_id"]: row["name"] or ""})


def _first(rows: datasets.Dataset, most: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.select(range(min(most, len(rows)))).to_list()
    return found


def _without_spans(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("spans_a", "spans_b")}
