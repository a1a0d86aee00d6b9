"""What a selection is: rows in the order in which they were chosen, and what each of them adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fac_datasets.coverage.greedy import Stopped
from fac_datasets.files.atomic import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Selection(Sequence[int]):
    """Rows that were chosen, in the order of choice: a sequence of indices, of which any first part is a selection too.

    Example:
        >>> selection = select_covering_subset(anchor, size=1)
        >>> list(selection) == selection[:1], selection.stopped
        (True, 'size')
    """

    rows: NDArray[np.int64]
    """Indices of the rows, in the order of choice, [n]."""
    curve: NDArray[np.float64]
    """Coverage of the wanted features after each choice, with what was given, [n]."""
    gains: NDArray[np.float64]
    """What each row added when it was chosen: the weight of the features, times the row's quality, [n]."""
    start: float
    """Coverage before the first choice, by what was given."""
    covered: NDArray[np.int64]
    """Wanted features that a chosen or given row activates, sorted."""
    missing: NDArray[np.int64]
    """Wanted features that none of them activates, sorted."""
    stopped: Stopped | Literal["several"]
    """Why no more rows were chosen: `"size"`, `"tokens"`, `"target"` or `"exhausted"`, or of groups
    `"several"` of these; see `reason`."""
    tokens: int | None = None
    """Own tokens of the rows; None where they were not asked for."""
    target: float | None = None
    """Coverage that was asked for."""
    groups: Mapping[Any, Selection] = field(default_factory=dict, repr=False)
    """Selection of each group, with `per=`."""

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> list[int]: ...

    def __getitem__(self, place: int | slice) -> int | list[int]:
        found: int | list[int] = self.rows[place].tolist()
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows.tolist())

    @property
    def reached(self) -> float:
        """Coverage of the wanted features by the rows and what was given."""
        return float(self.curve[-1]) if len(self.curve) else self.start

    @property
    def reason(self) -> str:
        """Why no more rows were chosen, in a sentence."""
        if self.groups:
            reasons = [group.stopped for group in self.groups.values()]
            return "; ".join(
                f"{reasons.count(stopped):,} of {len(reasons):,} groups: {_REASONS[stopped]}"
                for stopped in dict.fromkeys(reasons)
            )
        reason = _REASONS[self.stopped]
        if self.target is not None and self.stopped != "target":
            reason += f"; coverage {self.reached:.3f} of the {self.target:g} asked for was reached"
        return reason

    def plot(self, path: str | Path) -> None:
        """Save the curve of coverage against rows as a picture."""
        from fac_datasets.plots import growth_png

        points = [(0, self.start), *enumerate(self.curve.tolist(), start=1)]
        write_atomically(Path(path), growth_png(points, "rows, in the order of choice", "coverage of wanted features"))

    def to_dict(self) -> dict[str, Any]:
        """The selection as plain values for `selection.json`."""
        values = {
            "rows": self.rows.tolist(),
            "curve": self.curve.tolist(),
            "gains": self.gains.tolist(),
            "start": self.start,
            "reached": self.reached,
            "n_covered": len(self.covered),
            "n_wanted": len(self.covered) + len(self.missing),
            "missing": self.missing.tolist(),
            "stopped": self.stopped,
            "reason": self.reason,
            "tokens": self.tokens,
            "target": self.target,
            "version": version("fac-datasets"),
        }
        if self.groups:
            # Values of a column are no keys of JSON.
            values["groups"] = [
                {"group": name, "n_rows": len(group), "reached": group.reached, "stopped": group.stopped}
                for name, group in self.groups.items()
            ]
        return values


_REASONS: Mapping[str, str] = {
    "size": "as many rows as asked for were chosen",
    "tokens": "no other row that adds anything fits the tokens left",
    "target": "the coverage asked for is reached",
    "exhausted": "no other row adds anything",
}
