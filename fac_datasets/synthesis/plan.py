"""Which missing features to aim at, and in the manner of which anchor rows, so that few samples bring many of them.

A sample in the manner of an anchor row is expected to bring the missing features of that row. The plan picks rows by
the greedy rule of maximum coverage (Nemhauser et al. 1978: at least 1 - 1/e of the best): each next row is the one with
the most features that no row before it has. So two samples in the manner of two different rows come before two samples
that aim at two features of one row. What is maximised is the number of missing features that the first n rows of the
plan have, for every n, among the features of the first rank; then among those of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import ActiveRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIKE = 0.5
"""Features occur together where the sets of anchor rows that activate them have at least this Jaccard similarity."""

MOST_OF_A_CLUSTER = 0.1
"""Share of the targets, at most, that are features of one cluster."""


class Aim(NamedTuple):
    """A feature to aim at."""

    feature: int
    together: tuple[int, ...] = ()
    """Other missing features that occur together with it, and that no earlier aim has."""
    row: int | None = None
    """Row of the anchor in whose manner a sample is to be; a plan names one."""


def plan(
    active: ActiveRows,
    missing: Sequence[int] | NDArray[np.int64],
    *,
    ranks: Sequence[int] | NDArray[np.int64] | None = None,
    weights: NDArray[np.float64] | None = None,
    most: int | None = None,
) -> list[Aim]:
    """Aim at the missing features of anchor rows, the rows that bring most first.

    In each step the row is chosen that has most features of the lowest rank which no row chosen before has, times the
    row's weight; among equal rows the one with most features of any rank, then the first. Aimed at is the feature of
    these that most anchor rows activate, since a sample reaches it most readily; among equal ones the lowest. Those
    that occur together with it are the same target. Where the chosen rows have all features of a rank, those that were
    not aimed at follow in the same way, and then the next rank.

    A cluster is a feature and those that occur together with it and belong to no cluster yet, from the feature on that
    most anchor rows activate. No more than a tenth of `most`, but at least one, are features of one cluster; so there
    can be fewer aims than `most` although features are left.

    Args:
        active: which anchor row activates which feature.
        missing: ids, in any order; those that no anchor row activates cannot be planned.
        ranks: of the missing features, in their order; lower ranks are aimed at first. By default all are alike.
        weights: of the anchor's rows, [n_rows]: the part of a row's features that a sample can bring.
        most: aims; by default until every feature is one, or occurs together with one.

    Returns:
        Every feature at most once, in the order in which to aim.

    Example:
        >>> from fac_datasets.coverage.active_rows import distinct_pairs
        >>> rows, ids = np.array([0, 0, 1, 1, 2, 2]), np.array([3, 4, 3, 5, 3, 8])
        >>> plan(distinct_pairs(rows, ids, 3), [4, 5, 8], most=2)
        [Aim(feature=4, together=(), row=0), Aim(feature=5, together=(), row=1)]
    """
    rows = _MissingOfRows(active, missing, ranks)
    scale = np.ones(active.n_rows) if weights is None else weights
    limit = len(rows.ids) if most is None else most
    quota = limit if most is None else max(1, int(MOST_OF_A_CLUSTER * most))
    alike = rows.alike()
    clusters = _clusters(alike)
    of_cluster = np.zeros(len(clusters), np.int64)
    is_aimed = np.zeros(len(rows.ids), dtype=bool)
    of_any = _Gains(rows, ~is_aimed)
    aims: list[Aim] = []
    for rank in np.unique(rows.ranks):
        while True:
            gains = _Gains(rows, (rows.ranks == rank) & ~is_aimed & (of_cluster[clusters] < quota))
            if len(aims) >= limit or not gains.wanted.any():
                break
            while len(aims) < limit and gains.wanted.any():
                row = _best(gains.of_row * scale, of_any.of_row * scale)
                here = rows.features(row)
                feature = int(here[gains.wanted[here]].min())
                together = np.array([other for other in alike[feature] if not is_aimed[other]], dtype=np.int64)
                ids = np.sort(rows.ids[together])
                aims.append(Aim(int(rows.ids[feature]), tuple(ids.tolist()), row))
                reached = np.unique(np.concatenate([here, together, [feature]]))
                is_aimed[feature], is_aimed[together] = True, True
                of_any.drop(reached)
                gains.drop(reached)
                of_cluster[clusters[feature]] += 1
                if of_cluster[clusters[feature]] >= quota:
                    gains.drop(np.flatnonzero(clusters == clusters[feature]))
    return aims


def _best(gains: NDArray[np.float64], of_any: NDArray[np.float64]) -> int:
    equal = np.flatnonzero(gains == gains.max())
    return int(equal[np.argmax(of_any[equal])])


class _MissingOfRows:
    """The missing features of each anchor row. They are numbered by falling number of rows, then by id."""

    def __init__(
        self,
        active: ActiveRows,
        missing: Sequence[int] | NDArray[np.int64],
        ranks: Sequence[int] | NDArray[np.int64] | None,
    ) -> None:
        known, first = np.unique(np.asarray(missing, dtype=np.int64), return_index=True)
        of_known = np.zeros(len(known), np.int64) if ranks is None else np.asarray(ranks, dtype=np.int64)[first]
        place = np.full(1 + max(active.ids.max(initial=-1), known.max(initial=-1)), -1)
        place[known] = np.arange(len(known))
        places = place[active.ids]
        rows, places = active.rows[places >= 0], places[places >= 0]
        counts = np.bincount(places, minlength=len(known))
        order = np.lexsort((known, -counts))[: int((counts > 0).sum())]
        self.ids, self.counts, self.ranks = known[order], counts[order], of_known[order]
        """Of each feature its id, the rows that activate it, and its rank."""
        number = np.zeros(len(known), np.int64)
        number[order] = np.arange(len(order))
        # One number a pair sorts many times faster than two.
        self._rows, self._of_rows = np.divmod(np.sort(rows * len(order) + number[places]), max(1, len(order)))
        self._row_ends = np.searchsorted(self._rows, np.arange(active.n_rows + 1))
        pairs = np.sort(self._of_rows * len(rows) + np.arange(len(rows)))
        self._by_feature = pairs % max(1, len(rows))
        self._rows_by_feature = self._rows[self._by_feature]
        self._feature_ends = np.concatenate([[0], self.counts.cumsum()])
        self.n_rows = active.n_rows

    def features(self, row: int) -> NDArray[np.int64]:
        """The missing features of a row, rising."""
        return self._of_rows[self._row_ends[row] : self._row_ends[row + 1]]

    def rows(self, feature: int) -> NDArray[np.int64]:
        """The rows that activate a feature."""
        return self._rows_by_feature[self._feature_ends[feature] : self._feature_ends[feature + 1]]

    def gains(self, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of some features each row has, [n_rows]."""
        return np.bincount(self._rows[wanted[self._of_rows]], minlength=self.n_rows)

    def alike(self) -> list[list[int]]:
        """The features that occur together with each, rising."""
        found: list[list[int]] = [[] for _ in self.ids]
        for feature, count in enumerate(self.counts.tolist()):
            # Each pair once: the features behind this one in its rows.
            places = 1 + self._by_feature[self._feature_ends[feature] : self._feature_ends[feature + 1]]
            lengths = self._row_ends[self._rows[places - 1] + 1] - places
            ends = lengths.cumsum()
            behind = np.arange(ends[-1]) + np.repeat(places - ends + lengths, lengths)
            shared = np.bincount(self._of_rows[behind], minlength=feature + 1)[feature + 1 :]
            others = feature + 1 + np.arange(len(shared))
            # Jaccard: shared / (count + other count - shared).
            are_alike = (shared > 0) & (shared >= ALIKE * (count + self.counts[others] - shared))
            for other in others[are_alike].tolist():
                found[feature].append(other)
                found[other].append(feature)
        return [sorted(others) for others in found]


class _Gains:
    """How many of the features that are wanted each row has, while ever fewer are wanted."""

    def __init__(self, rows: _MissingOfRows, wanted: NDArray[np.bool_]) -> None:
        self._rows = rows
        self.wanted = wanted.copy()
        self.of_row = rows.gains(wanted)

    def drop(self, features: NDArray[np.int64]) -> None:
        """Want these features no longer."""
        gone = features[self.wanted[features]]
        self.wanted[gone] = False
        for feature in gone.tolist():
            # A row activates a feature once, so no index stands twice.
            self.of_row[self._rows.rows(feature)] -= 1


def _clusters(alike: list[list[int]]) -> NDArray[np.int64]:
    """The cluster of each feature: the first feature that it occurs together with and that leads one, or itself."""
    leaders = np.full(len(alike), -1, np.int64)
    for feature, others in enumerate(alike):
        if leaders[feature] < 0:
            leaders[feature] = feature
            for other in others:
                if leaders[other] < 0:
                    leaders[other] = feature
    return leaders
