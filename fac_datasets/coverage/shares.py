"""What share of which features is covered: of the anchor's, of the relevant ones, of those that a seed was missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fac_datasets.coverage.interval import with_interval

DENOMINATORS = {
    "of_anchor": "of all the anchor's features",
    "of_relevant": "of the relevant ones",
    "of_missing": "of those that the seed was missing",
}
"""The shares of a report, in words."""


class Share(NamedTuple):
    """How much of a set of features a dataset covers."""

    covered: int
    """Features of the set that the dataset activates."""
    of: int
    """Features of the set."""
    share: float
    """`covered / of`; where not their number but rows or activations count, what `coverage(count=...)` says."""
    low: float | None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None
    """Upper end of the interval."""


def counted_by(report: Mapping[str, Any]) -> str:
    """What goes behind "FAC" where it is not active features that count, and is empty where it is.

    Args:
        report: content of `report.json`, also of earlier versions, which count active features.

    Example:
        >>> counted_by({"count": "rows"}), counted_by({"count": "binary"})
        (' by rows', '')
    """
    count = report.get("count", "binary")
    return "" if count == "binary" else f" by {count}"


def shares_in_words(report: Mapping[str, Any]) -> list[str]:
    """The shares that a report holds, a line each.

    Args:
        report: content of `report.json`, also of earlier versions, which hold none.

    Example:
        >>> share = {"covered": 1, "of": 4, "share": 0.25, "low": None, "high": None}
        >>> shares_in_words({"of_anchor": share, "of_relevant": None})
        ["of all the anchor's features: 1 of 4, 0.250"]
    """
    lines, by = [], counted_by(report)
    for key, words in DENOMINATORS.items():
        share = report.get(key)
        if share is not None:
            value = with_interval({"fac": share["share"], "low": share["low"], "high": share["high"]})
            lines.append(f"{words}: {share['covered']:,} of {share['of']:,}, {f'{by} {value}'.lstrip()}")
    return lines
