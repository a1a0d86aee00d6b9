"""Greedy maximum coverage: the row that adds most comes next, found without looking at every row anew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Stopped = Literal["size", "tokens", "target", "exhausted"]
"""Why no more rows were chosen: as many as asked for, no room for another, enough covered, or nothing left to add."""


class Wanted:
    """Which features are wanted, and how much of them is had.

    Args:
        ids: of the features, sorted, [m].
        weights: what each is worth, at least 0, [m].
        per_feature: rows that are wanted of each.
        had: rows of each that one has already, [m].
    """

    def __init__(
        self, ids: NDArray[np.int64], weights: NDArray[np.float64], per_feature: int, had: NDArray[np.int64]
    ) -> None:
        self.ids, self.per_feature = ids, per_feature
        # Sums of whole numbers are exact in any order, so that ties are ties. 2^31 of them and of features fit.
        most = float(weights.max(initial=0.0))
        is_whole = bool((weights == np.floor(weights)).all()) and most < 2**31
        self.unit = 1.0 if is_whole else most / 2**31
        self.weights: NDArray[np.int64] = np.rint(weights / self.unit).astype(np.int64)
        self.had: NDArray[np.int64] = np.minimum(had, per_feature)
        self.worth: NDArray[np.int64] = np.where(self.had < per_feature, self.weights, 0)
        """What another row with the feature adds, in units, [m]."""
        self.total = int(self.weights.sum()) * per_feature
        self.covered = int(self.weights @ self.had)

    def copy(self) -> Wanted:
        """The same, to be filled another way."""
        other = Wanted.__new__(Wanted)
        other.__dict__.update(self.__dict__)
        other.had, other.worth = self.had.copy(), self.worth.copy()
        return other

    def gains(self, offsets: NDArray[np.int64], features: NDArray[np.int32]) -> NDArray[np.int64]:
        """What each of some rows would add, in units, [len(offsets) - 1]."""
        found = np.empty(len(offsets) - 1, np.int64)
        for first, last in _chunks(offsets, 1 << 16):
            worth = self.worth[features[offsets[first] : offsets[last]]]
            found[first:last] = np.diff(offsets_of(worth)[offsets[first : last + 1] - offsets[first]])
        return found

    def add(self, features: NDArray[np.int32]) -> NDArray[np.int32]:
        """Take in a row with these features; those of which no more is wanted from now on."""
        new = features[self.worth[features] > 0]
        self.had[new] += 1
        self.covered += int(self.weights[new].sum())
        full: NDArray[np.int32] = new[self.had[new] == self.per_feature]
        self.worth[full] = 0
        return full


class Pool:
    """Rows to choose from, with the wanted features that they activate.

    Args:
        rows: their numbers, ascending, [n].
        offsets: where each row's features start, and the end, [n + 1].
        features: places among the wanted features, row after row.
        quality: what gains are multiplied by, [n]; None where they stay as they are.
        tokens: of each row, [n]; None where they do not matter.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        offsets: NDArray[np.int64],
        features: NDArray[np.int32],
        quality: NDArray[np.float64] | None = None,
        tokens: NDArray[np.int64] | None = None,
    ) -> None:
        self.rows, self.offsets, self.features, self.quality, self.tokens = rows, offsets, features, quality, tokens
        self._by_feature: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def features_of(self, place: int) -> NDArray[np.int32]:
        """The features of a row, by its place in the pool."""
        return self.features[self.offsets[place] : self.offsets[place + 1]]

    def rows_with(self, feature: int) -> NDArray[np.int32]:
        """Places of the rows that activate a feature."""
        if self._by_feature is None:
            self._by_feature = _by_feature(self.offsets, self.features)
        starts, places = self._by_feature
        return places[starts[feature] : starts[feature + 1]] if feature + 1 < len(starts) else places[:0]

    def kept(self, keep: NDArray[np.bool_]) -> Pool:
        """Some of the rows, [n]."""
        lengths = np.diff(self.offsets)
        return Pool(
            self.rows[keep],
            offsets_of(lengths[keep]),
            self.features[np.repeat(keep, lengths)],
            None if self.quality is None else self.quality[keep],
            None if self.tokens is None else self.tokens[keep],
        )


def offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where rows of these lengths start, and the end, [n + 1]."""
    return np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])


def _chunks(offsets: NDArray[np.int64], pairs: int) -> Iterator[tuple[int, int]]:
    """Runs of rows that hold about as many pairs of row and feature, so that what is made of them stays small."""
    first, n_rows = 0, len(offsets) - 1
    while first < n_rows:
        # At least one row, however long.
        last = max(int(np.searchsorted(offsets, offsets[first] + pairs, side="right")) - 1, first + 1)
        yield first, last
        first = last


def _by_feature(offsets: NDArray[np.int64], features: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The rows of each feature: where they start, [m + 1], and their places, feature after feature.

    Chunks of the pairs are sorted, and each feature's part of a chunk put behind that of the chunk before.
    """
    counts = np.bincount(features)
    starts = offsets_of(counts)
    filled = starts[:-1].copy()
    places = np.empty(len(features), np.int32)
    for first, last in _chunks(offsets, 1 << 21):
        lengths = np.diff(offsets[first : last + 1])
        pairs = features[offsets[first] : offsets[last]].astype(np.int64) << 32
        pairs |= np.repeat(np.arange(first, last), lengths)
        pairs.sort()
        found = np.bincount(pairs >> 32, minlength=len(counts))
        shift = filled - (found.cumsum() - found)
        places[np.arange(len(pairs)) + np.repeat(shift, found)] = pairs & 0xFFFFFFFF
        filled += found
    return starts, places


class Floor(NamedTuple):
    """The best of the rows that are not in a pool; they add no more than it did."""

    priority: float = 0.0
    row: int = -1
    """The lowest row of this priority."""


class Greedy:
    """Rows chosen so far, each of which added most when it was chosen; of equals the lower row.

    Gains only fall while rows are chosen, so a gain that was computed earlier bounds the present one: only what leads
    by such a bound is looked at anew (Minoux 1978, Accelerated algorithms for maximizing submodular set functions).
    Here bounds are of blocks of rows, and the gains within a block are kept up to date: where a feature is wanted no
    more, the rows that activate it lose its weight. Each pair of row and feature is so touched once.

    Args:
        wanted: what counts; it is filled.
        size: most rows.
        tokens: most own tokens of all rows.
        target: coverage at which to stop.
        per_token: compare gains by token.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        size: int | None = None,
        tokens: int | None = None,
        target: float | None = None,
        per_token: bool = False,
    ) -> None:
        self.wanted, self.size, self.left, self.target, self.per_token = wanted, size, tokens, target, per_token
        self.rows: list[int] = []
        self.gains: list[float] = []
        self.covered: list[int] = []
        """In units of `wanted`, after each row."""
        self.stopped: Stopped | None = None
        self.passed_over = np.zeros(len(wanted.ids), dtype=bool)
        """Features of rows that were too long for the tokens left, [m]."""

    def priorities(
        self, gains: NDArray[np.int64], quality: NDArray[np.float64] | None, tokens: NDArray[np.int64] | None
    ) -> NDArray[np.float64]:
        """By what rows with these gains are compared, [n]."""
        found = gains.astype(np.float64) if quality is None else gains * quality
        if self.per_token and tokens is not None:
            # Only a row made by hand has features and no tokens.
            found /= np.maximum(tokens, 1)
        return found

    def of(self, pool: Pool) -> NDArray[np.float64]:
        """Present priorities of a pool's rows, [n]; not above 0 of those that cannot be chosen."""
        found = self.priorities(self.wanted.gains(pool.offsets, pool.features), pool.quality, pool.tokens)
        found[np.isin(pool.rows, self.rows)] = 0
        if self.left is not None and pool.tokens is not None:
            is_long = (pool.tokens > self.left) & (found > 0)
            self.passed_over[pool.features[np.repeat(is_long, np.diff(pool.offsets))]] = True
            found[is_long] = 0
        return found

    def extend(self, pool: Pool, floor: Floor = Floor()) -> None:  # noqa: B008 (a tuple)
        """Choose rows of a pool, until done or a row outside it may be better."""
        gains = self.wanted.gains(pool.offsets, pool.features)
        gains[np.isin(pool.rows, self.rows)] = 0
        width = max(64, math.isqrt(len(pool)))
        priorities = self.priorities(gains, pool.quality, pool.tokens)
        bounds = np.maximum.reduceat(priorities, np.arange(0, len(pool), width)) if len(pool) else np.zeros(1)
        while not self._reached():
            block = int(bounds.argmax())
            bound = bounds[block]
            if max(bound, floor.priority) <= 0:
                self.stopped = "tokens" if self.wanted.worth[self.passed_over].any() else "exhausted"
                return
            if bound < floor.priority:
                return
            span = slice(block * width, (block + 1) * width)
            here = self.priorities(
                gains[span],
                None if pool.quality is None else pool.quality[span],
                None if pool.tokens is None else pool.tokens[span],
            )
            place = int(here.argmax())
            if here[place] < bound:
                bounds[block] = here[place]
                continue
            place += span.start
            if bound == floor.priority and pool.rows[place] > floor.row:
                return
            if self.left is not None and pool.tokens is not None and pool.tokens[place] > self.left:
                self.passed_over[pool.features_of(place)] = True
                gains[place] = 0
                continue
            self._take(pool, place, gains)

    def _reached(self) -> bool:
        if self.target is not None and self.wanted.covered / self.wanted.total >= self.target:
            self.stopped = "target"
        elif self.size is not None and len(self.rows) >= self.size:
            self.stopped = "size"
        return self.stopped is not None

    def _take(self, pool: Pool, place: int, gains: NDArray[np.int64]) -> None:
        quality = 1.0 if pool.quality is None else float(pool.quality[place])
        self.gains.append(int(gains[place]) * self.wanted.unit * quality)
        # It may fall below, and is not chosen again.
        gains[place] = 0
        for feature in self.wanted.add(pool.features_of(place)).tolist():
            gains[pool.rows_with(feature)] -= self.wanted.weights[feature]
        self.rows.append(int(pool.rows[place]))
        self.covered.append(self.wanted.covered)
        if self.left is not None and pool.tokens is not None:
            self.left -= int(pool.tokens[place])
