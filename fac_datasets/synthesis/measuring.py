"""What the extractor finds in rows that are not in a dataset yet: each feature's activation and where it peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fac_datasets.features.extractor import FeatureExtractor
    from fac_datasets.rows.row import Row


class Measured(NamedTuple):
    """A feature in a row."""

    activation: float
    """Largest over the row's own tokens, before any cut-off."""
    message: int
    """Which text of the row the token is in; 0 where there is one."""
    start: int
    """First character of the token."""
    end: int
    """Character behind it."""


NOT_ACTIVE = Measured(0.0, 0, 0, 0)
"""Stands for a feature that is not active at all."""


def measure(extractor: FeatureExtractor, rows: Sequence[Row]) -> list[Mapping[int, Measured]]:
    """Each feature that is active at all in each row, by id.

    Example:
        >>> found = measure(extractor, ["How do I boil pasta?"])[0]
        >>> all(one.activation > 0 for one in found.values())
        True
    """
    if not rows:
        return []
    peaks, places = extractor.placed_peaks(rows)
    found: list[dict[int, Measured]] = [{} for _ in rows]
    for row, feature, value, place in zip(
        peaks.rows.tolist(), peaks.ids.tolist(), peaks.values.tolist(), places.tolist(), strict=True
    ):
        found[row][feature] = Measured(value, *place)
    return list(found)
