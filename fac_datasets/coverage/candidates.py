"""Rows to choose from, read as often as memory asks for: the best are kept, and what the others can add at most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.coverage.active_rows import (
    BATCH_ROWS,
    Cutoffs,
    column_names,
    require_column,
    row_features,
    spaces_of,
    tokens_of,
)
from fac_datasets.coverage.greedy import Floor, Greedy, Pool, Wanted, offsets_of
from fac_datasets.coverage.streams import stream_batches
from fac_datasets.errors import ColumnError, DatasetError, RowError
from fac_datasets.feature_space import FeatureSpace, Threshold, require_same_space
from fac_datasets.rows.one_dataset import is_stream

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

MOST_PAIRS = 80_000_000
"""Pairs of row and wanted feature in memory at once, which take some 8 bytes each."""


class Candidates:
    """The rows of a dataset or a stream.

    Args:
        rows: with feature columns.
        space: that they must be of.
        threshold: what an activation must exceed.
        quality: column that gains are multiplied by.
        with_tokens: whether the rows' own tokens matter.
        prefix: of the feature columns.
    """

    def __init__(
        self,
        rows: datasets.Dataset | datasets.IterableDataset,
        space: FeatureSpace,
        threshold: Threshold,
        *,
        quality: str | None = None,
        with_tokens: bool = False,
        prefix: str = "",
    ) -> None:
        self._rows, self._space, self._quality, self._prefix = rows, space, quality, prefix
        self._tokens = f"{prefix}feature_tokens" if with_tokens else None
        self._cutoffs = Cutoffs(space, threshold)
        self._whole: tuple[Pool, NDArray[np.bool_]] | None = None
        self._passes = 0
        self._n_rows: int | None = None

    def fill(self, greedy: Greedy) -> None:
        """Choose rows until done; the rows are read again where one that is not in memory may be better.

        The result is that of all rows in memory at once, since a row that was left out adds no more than it did when
        it was read.
        """
        while greedy.stopped is None:
            if self._whole is None:
                greedy.extend(*self._read(greedy))
            else:
                pool, passed_over = self._whole
                greedy.passed_over |= passed_over
                greedy.extend(pool)

    def _read(self, greedy: Greedy) -> tuple[Pool, Floor]:
        """The best rows that fit into memory, and the best of those that do not."""
        parts: list[Pool] = []
        floor, n_pairs = Floor(), 0
        for part in self.pools(greedy.wanted):
            priorities = greedy.of(part)
            part = part.kept(priorities > floor.priority)
            parts.append(part)
            n_pairs += len(part.features)
            if n_pairs > MOST_PAIRS:
                parts, floor = _best(parts, greedy, floor)
                n_pairs = len(parts[0].features)
        pool = _joined(parts)
        if self._passes == 1 and floor.row < 0:
            # A second way to choose starts where the first did.
            self._whole = pool, greedy.passed_over.copy()
        return pool, floor

    def pools(self, wanted: Wanted) -> Iterator[Pool]:
        """The rows, a batch at a time, with those of their features that are wanted still."""
        self._passes += 1
        start = 0
        places_of: NDArray[np.int32] = np.full(int(wanted.ids[-1]) + 2, -1, np.int32)
        still = np.flatnonzero(wanted.worth)
        places_of[wanted.ids[still]] = still
        for batch in self._batches():
            if is_stream(self._rows):
                for other in spaces_of(batch, self._prefix, first_row=start):
                    require_same_space(self._space, other)
            features = row_features(batch, self._prefix, first_row=start)
            n_rows = len(features.lengths)
            above = self._cutoffs.exceeded(features)
            places = places_of[np.minimum(features.ids[above], len(places_of) - 1)]
            of_row = np.repeat(np.arange(n_rows), features.lengths)[above]
            is_wanted = places >= 0
            yield Pool(
                np.arange(start, start + n_rows),
                offsets_of(np.bincount(of_row[is_wanted], minlength=n_rows)),
                places[is_wanted],
                None if self._quality is None else quality_of(batch[self._quality], self._quality, first_row=start),
                None if self._tokens is None else tokens_of(batch[self._tokens], self._tokens, first_row=start),
            )
            start += n_rows
        if self._n_rows not in (None, start):
            raise DatasetError(
                f"the stream held {self._n_rows:,} rows at first and {start:,} when it was read again; give one that "
                f"gives the same rows in the same order each time"
            )
        self._n_rows = start

    def _batches(self) -> Iterator[Any]:
        names = [f"{self._prefix}feature_ids", f"{self._prefix}feature_activations"]
        names += [name for name in (self._tokens, self._quality) if name is not None]
        if not is_stream(self._rows):
            self._require(self._rows.column_names)
            yield from self._rows.select_columns(names).with_format("arrow").iter(batch_size=BATCH_ROWS)
            return
        for batch in stream_batches(self._rows, [*names, f"{self._prefix}feature_space"], BATCH_ROWS):
            self._require(column_names(batch))
            yield batch

    def _require(self, names: Any) -> None:
        for name in (f"{self._prefix}feature_ids", f"{self._prefix}feature_activations", self._tokens):
            if name is not None:
                require_column(names, name)
        if self._quality is not None:
            require_own_column(names, self._quality, "that holds a number for each row")


def require_own_column(names: Any, name: str, use: str) -> None:
    """Raise ColumnError unless a dataset has a column of its own of this name.

    Args:
        names: of its columns.
        name: wanted.
        use: of the column, for the error, such as `"to group rows by"`.
    """
    if name not in names:
        raise ColumnError(f"there is no column {name!r} among {[*names]}; name one {use}")


def quality_of(column: Any, name: str, *, first_row: int) -> NDArray[np.float64]:
    """What gains of the rows of a batch are multiplied by, [n_rows].

    Raises:
        ColumnError: the column holds no numbers.
        RowError: a row has no number of at least 0.
    """
    values = column.to_pylist() if hasattr(column, "to_pylist") else np.asarray(column, dtype=object).tolist()
    try:
        found = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ColumnError(
            f"column {name!r} holds {values[0]!r} and no numbers; name one with a number for each row"
        ) from error
    odd = ~((found >= 0) & (found < np.inf))
    if odd.any():
        row = int(odd.argmax())
        raise RowError(
            row + first_row,
            f"has the quality {values[row]!r} in {name}; give each row a finite number of at least 0",
            of_batch=False,
        )
    return found


def _joined(parts: list[Pool]) -> Pool:
    """Several pools as one."""
    if not parts:
        return Pool(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32))
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Pool(
        np.concatenate([part.rows for part in parts]),
        offsets_of(np.concatenate([np.diff(part.offsets) for part in parts])),
        np.concatenate([part.features for part in parts]),
        None if first.quality is None else np.concatenate([part.quality for part in parts if part.quality is not None]),
        None if first.tokens is None else np.concatenate([part.tokens for part in parts if part.tokens is not None]),
    )


def _best(parts: list[Pool], greedy: Greedy, floor: Floor) -> tuple[list[Pool], Floor]:
    """The best rows, which leave room for others, and the best of those left out, now or before."""
    pool = _joined(parts)
    parts.clear()
    priorities = greedy.of(pool)
    order = np.lexsort((pool.rows, -priorities))
    ends = np.diff(pool.offsets)[order].cumsum()
    n_kept = max(1, int(np.searchsorted(ends, MOST_PAIRS * 3 // 4, side="right")))
    if n_kept == len(order):
        return [pool], floor
    first_out = order[n_kept]
    out = Floor(float(priorities[first_out]), int(pool.rows[first_out]))
    if out.priority == floor.priority:
        out = Floor(out.priority, min(out.row, floor.row))
    keep = np.zeros(len(pool), dtype=bool)
    keep[order[:n_kept]] = True
    return [pool.kept(keep)], out
