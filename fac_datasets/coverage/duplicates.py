"""Groups of rows whose sets of active features are nearly the same, found exactly and without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import ActiveRows, rows_with_features
from fac_datasets.errors import OptionError
from fac_datasets.feature_space import Threshold
from fac_datasets.rows.tables import dataset_of

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

_BLOCK_ROWS = 1_000
"""Rows that are compared with those kept before, and among each other, at once."""

_CELLS = 1 << 26
"""Cells of the table of these rows by features."""

_PAIRS = 1 << 19
"""Pairs of rows in memory at once."""

_WORDS = 8
"""Words of 64 bits of a row's sketch."""

_SLACK = 1e-9
"""Bounds that are computed are loosened by it, so that rounding lets pairs through to be compared and loses none."""


def feature_duplicates(
    dataset: datasets.Dataset, *, share: float = 0.9, threshold: Threshold = "q90", prefix: str = ""
) -> datasets.Dataset:
    """Groups of rows whose sets of active features are alike: a Jaccard similarity of at least `share`.

    The similarity of two rows is the number of features that both activate over the number that either does. From the
    first row on, each joins the group of the first row kept so far that it is alike to; a row that is alike to none is
    kept. So every row of a group is alike to its first, and no two of the rows that are kept are alike. Rows without an
    active feature, of which the features tell nothing, are in no group.

    The groups are exact. Pairs that cannot be alike are not compared: of their rarest features they share none (prefix
    filter, Bayardo et al. 2007, "Scaling up all pairs similarity search"), their numbers of features lie too far apart,
    or sketches of them differ in too many bits (after Sandes et al. 2020, "Bitmap filter: speeding up exact set
    similarity joins with bitwise operations"). A low share lets more pairs through and takes longer.

    Args:
        dataset: rows with feature columns.
        share: least Jaccard similarity, in (0, 1]; 1 finds equal sets only.
        threshold: a number in the SAE's units, or a quantile such as `"q90"`.
        prefix: of the feature columns, such as `"chosen_"`.

    Returns:
        A dataset with a row for each group of two or more: `rows`, ascending, of which the first is the one kept, and
        `similarities` of each to that one.

    Raises:
        OptionError: the share is not in (0, 1], or the threshold has no meaning.
        DatasetError, ColumnError, RowError, FeatureSpaceMismatch, ThresholdBelowStored, CalibrationMissing: see
            `typical_rows`.

    Example:
        >>> groups = feature_duplicates(texts.map(extractor, batched=True))
        >>> groups["rows"][0], groups["similarities"][0]
        ([0, 3, 6, 9], [1.0, 1.0, 1.0, 1.0])
        >>> repeats = {row for rows in groups["rows"] for row in rows[1:]}
        >>> len(texts.select(row for row in range(len(texts)) if row not in repeats))
        3
    """
    is_number = isinstance(share, int | float | np.integer | np.floating) and not isinstance(share, bool)
    if not is_number or not 0 < share <= 1:
        raise OptionError(f"share={share!r} is no Jaccard similarity in (0, 1]")
    sets = _Sets(rows_with_features(dataset, threshold, prefix), float(share))
    first, similarity = _groups(sets)
    return _table(first, similarity)


class _Alike(NamedTuple):
    """Pairs of rows that are alike."""

    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    similarities: NDArray[np.float64]


class _Sets:
    """The features of each row, the rarest first, and which rows may be alike.

    Args:
        active: which row activates which feature.
        share: Jaccard similarity that makes rows alike.
    """

    def __init__(self, active: ActiveRows, share: float) -> None:
        used, places = np.unique(active.ids, return_inverse=True)
        ranks = np.empty(len(used), np.int64)
        ranks[np.argsort(np.bincount(places), kind="stable")] = np.arange(len(used))
        self.n_features = len(used)
        self.share = share
        self.keys: NDArray[np.int64] = np.sort(active.rows * self.n_features + ranks[places])
        """Row and rank of each pair in one number, ascending."""
        self.ranks = self.keys % self.n_features
        self.sizes = np.bincount(active.rows, minlength=active.n_rows)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.prefixes = self.sizes - np.maximum(np.ceil(share * self.sizes - _SLACK), 1).astype(np.int64) + 1
        """Of two rows that are alike, at least one of so many first features of each is among those of the other."""
        self.sketches = np.zeros((_WORDS, active.n_rows), np.uint64)
        bits = self.ranks % (64 * _WORDS)
        flips = np.left_shift(np.uint64(1), (bits % 64).astype(np.uint64))
        np.bitwise_xor.at(self.sketches, (bits // 64, self.keys // self.n_features), flips)

    def features_of(self, row: int) -> NDArray[np.int64]:
        """Ranks of the features of a row, ascending."""
        features: NDArray[np.int64] = self.ranks[self.starts[row] : self.starts[row] + self.sizes[row]]
        return features

    def prefixes_of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rarest features of each of some rows, as pairs of row and rank."""
        lengths = self.prefixes[rows]
        return np.repeat(rows, lengths), self.ranks[_ranges(self.starts[rows], lengths)]

    def alike(self, rows: NDArray[np.int64], index: _Index) -> _Alike:
        """The earlier rows of an index that each of some rows is alike to."""
        has = np.zeros((len(rows), self.n_features), bool)
        features = self.ranks[_ranges(self.starts[rows], self.sizes[rows])]
        has[np.repeat(np.arange(len(rows)), self.sizes[rows]), features] = True
        found = [self._compared(*self._may_be_alike(*pairs), rows, has) for pairs in self._candidates(rows, index)]
        if not found:
            return _Alike(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        pairs = _Alike(*map(np.concatenate, zip(*found, strict=True)))
        # Those that share several rare features may come in several parts.
        _, once = np.unique(pairs.rows * len(self.sizes) + pairs.others, return_index=True)
        return _Alike(pairs.rows[once], pairs.others[once], pairs.similarities[once])

    def _candidates(
        self, rows: NDArray[np.int64], index: _Index
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs that share one of their rarest features, and a few more, a bounded number at a time."""
        probes, ranks = self.prefixes_of(rows)
        starts = np.searchsorted(index.ranks, ranks)
        counts = np.searchsorted(index.ranks, ranks, side="right") - starts
        # A row whose rare features are not rare would meet others more than once; it is compared with each.
        places = np.searchsorted(rows, probes)
        many = np.bincount(places, weights=counts, minlength=len(rows)) > len(index.members)
        probes, starts, counts = (part[~many[places]] for part in (probes, starts, counts))
        for part in _parts(counts):
            yield np.repeat(probes[part], counts[part]), index.rows[_ranges(starts[part], counts[part])]
        for part in _parts(np.full(many.sum(), len(index.members))):
            yield np.repeat(rows[many][part], len(index.members)), np.tile(index.members, len(rows[many][part]))

    def _may_be_alike(
        self, rows: NDArray[np.int64], others: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of some pairs those whose sizes and sketches allow it, each once."""
        sizes, other_sizes = self.sizes[rows], self.sizes[others]
        fit = np.minimum(sizes, other_sizes) >= self.share * np.maximum(sizes, other_sizes) - _SLACK
        fit &= others < rows
        rows, others, both = rows[fit], others[fit], (sizes + other_sizes)[fit]
        # |A and B| is at least share / (1 + share) of |A| + |B|, and what is not in both is the rest.
        allowed = np.floor(both * (1 - self.share) / (1 + self.share) + _SLACK).astype(np.int64)
        differ = np.zeros(len(rows), np.int64)
        for word in self.sketches:
            differ += np.bitwise_count(word[rows] ^ word[others])
            fit = differ <= allowed
            rows, others, allowed, differ = rows[fit], others[fit], allowed[fit], differ[fit]
        pairs = np.unique(rows * len(self.sizes) + others)
        return pairs // len(self.sizes), pairs % len(self.sizes)

    def _compared(
        self, rows: NDArray[np.int64], others: NDArray[np.int64], block: NDArray[np.int64], has: NDArray[np.bool_]
    ) -> _Alike:
        """Of some pairs those that are alike; `has` tells which features the rows of the block have."""
        shared = np.empty(len(rows), np.int64)
        places = np.searchsorted(block, rows)
        for part in _parts(self.sizes[others]):
            lengths = self.sizes[others[part]]
            ranks = self.ranks[_ranges(self.starts[others[part]], lengths)]
            is_shared = has[np.repeat(places[part], lengths), ranks]
            shared[part] = np.add.reduceat(is_shared, lengths.cumsum() - lengths, dtype=np.int64)
        similarities = shared / (self.sizes[rows] + self.sizes[others] - shared)
        alike = similarities >= self.share
        return _Alike(rows[alike], others[alike], similarities[alike])


class _Index(NamedTuple):
    """Which rows have which rare feature, by feature."""

    ranks: NDArray[np.int64]
    rows: NDArray[np.int64]
    members: NDArray[np.int64]
    """Its rows, each once."""

    def with_rows(self, members: NDArray[np.int64], rows: NDArray[np.int64], ranks: NDArray[np.int64]) -> _Index:
        """An index that also holds other rows, given as pairs of row and rank."""
        rows, ranks = np.concatenate([self.rows, rows]), np.concatenate([self.ranks, ranks])
        order = np.argsort(ranks, kind="stable")
        return _Index(ranks[order], rows[order], np.concatenate([self.members, members]))


_EMPTY = _Index(*(np.empty(0, np.int64) for _ in range(3)))


def _groups(sets: _Sets) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The first row of the group of each row, which is the row itself where it is kept, and the similarity to it.

    Returns:
        First rows, [n_rows], -1 of rows without features; similarities, [n_rows].
    """
    first = np.where(sets.sizes > 0, np.arange(len(sets.sizes)), -1)
    similarity = np.ones(len(first))
    # Equal rows are compared with others once.
    seen: dict[bytes, int] = {}
    equal = np.array([seen.setdefault(sets.features_of(row).tobytes(), row) for row in range(len(first))])
    different = np.flatnonzero((equal == np.arange(len(first))) & (first >= 0))
    kept = _EMPTY
    block_rows = min(_BLOCK_ROWS, max(1, _CELLS // sets.n_features))
    for start in range(0, len(different), block_rows):
        block = different[start : start + block_rows]
        _join(sets.alike(block, kept), first, similarity)
        new = block[first[block] == block]
        _join_in_order(sets.alike(new, _EMPTY.with_rows(new, *sets.prefixes_of(new))), first, similarity)
        new = new[first[new] == new]
        kept = kept.with_rows(new, *sets.prefixes_of(new))
    has_features = first >= 0
    first[has_features], similarity[has_features] = first[equal[has_features]], similarity[equal[has_features]]
    return first, similarity


def _join(alike: _Alike, first: NDArray[np.int64], similarity: NDArray[np.float64]) -> None:
    """Put each row into the group of the first kept one that it is alike to; pairs are sorted by row and that one."""
    rows, places = np.unique(alike.rows, return_index=True)
    first[rows], similarity[rows] = alike.others[places], alike.similarities[places]


def _join_in_order(alike: _Alike, first: NDArray[np.int64], similarity: NDArray[np.float64]) -> None:
    """The same among rows that are not yet known to be kept, from the first on."""
    order = np.lexsort((alike.rows, alike.others))
    rows, others, similarities = (part[order] for part in alike)
    heads, starts = np.unique(others, return_index=True)
    for head, start, end in zip(heads.tolist(), starts, np.append(starts, len(rows))[1:], strict=True):
        if first[head] == head:
            joining = first[rows[start:end]] == rows[start:end]
            first[rows[start:end][joining]] = head
            similarity[rows[start:end][joining]] = similarities[start:end][joining]


def _parts(counts: NDArray[np.int64]) -> Iterator[slice]:
    """Parts of some things that hold a bounded number of pairs together, or are a single one."""
    ends = counts.cumsum()
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS, side="right")))
        yield slice(start, stop)
        start = stop


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from each start on, as many as its length, one range behind the other."""
    ends = lengths.cumsum()
    numbers: NDArray[np.int64] = np.arange(lengths.sum()) + np.repeat(starts - ends + lengths, lengths)
    return numbers


def _table(first: NDArray[np.int64], similarity: NDArray[np.float64]) -> Any:
    """The groups of two or more rows."""
    from datasets import Features, List, Value

    order = np.argsort(first, kind="stable")
    order = order[first[order] >= 0]
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    groups = [rows for rows in np.split(order, starts[1:]) if len(rows) > 1]
    return dataset_of(
        [{"rows": rows.tolist(), "similarities": similarity[rows].tolist()} for rows in groups],
        Features({"rows": List(Value("int64")), "similarities": List(Value("float64"))}),
    )
