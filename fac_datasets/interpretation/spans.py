"""Where each feature fires: its strongest places, a random sample of all, and rows where it does not.

One pass over feature columns, in memory bounded by features times places kept. States of shards merge exactly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import flatten, row_features
from fac_datasets.errors import ColumnError, FeatureSpaceMismatch
from fac_datasets.feature_space import FeatureSpace, format_threshold, require_same_space
from fac_datasets.files.atomic import write_atomically
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRONGEST = 48
"""Strongest rows kept of a feature; some of their spans turn out to be identical."""

SAMPLED = 64
"""Rows of a feature that are kept at random, whatever its activation there."""

SILENT_ROWS = 512
"""Rows kept at random, in which features that do not fire there find their counterexamples."""

_PENDING = 1 << 20
"""Places that wait until the strongest are sorted out anew, at least."""

_NO_KEY = np.uint64(2**64 - 1)


class Places(NamedTuple):
    """Peaks of features in rows."""

    ids: NDArray[np.int64]
    """Feature, [n]."""
    values: NDArray[np.float32]
    """Activation, [n]."""
    rows: NDArray[np.int64]
    """Row of the dataset, [n]."""
    keys: NDArray[np.uint64]
    """Digest of the row's text, [n]: equal for equal texts, and random otherwise."""
    starts: NDArray[np.int32]
    """First character of the peak's token, [n]."""
    ends: NDArray[np.int32]
    """Character behind it, [n]."""
    messages: NDArray[np.int32]
    """Message of it, [n]; 0 for texts."""

    def at(self, index: NDArray[Any]) -> Places:
        """Some of the places, by mask or by index."""
        return Places(*(part[index] for part in self))


class SilentRows(NamedTuple):
    """Rows with all features that fire in them."""

    keys: NDArray[np.uint64]
    """Digest of each row's text, rising, [n]."""
    rows: NDArray[np.int64]
    """Row of the dataset, [n]."""
    counts: NDArray[np.int64]
    """Features that fire in each, [n]."""
    ids: NDArray[np.int64]
    """These features, row after row, [sum of counts]."""


class FeatureSpans:
    """Mergeable state of one pass over feature columns.

    Args:
        feature_space: of the rows it will see; extracted at threshold 0.
        features: only these ids; by default all.
        seed: of the random sample.

    Raises:
        ColumnError: the columns do not hold every activation.

    Example:
        >>> state = FeatureSpans(anchor[0]["feature_space"])
        >>> for first in range(0, len(anchor), 4):
        ...     _ = state.update(anchor[first : first + 4], first)
        >>> state.n_rows == len(anchor)
        True
    """

    def __init__(
        self,
        feature_space: str | FeatureSpace,
        *,
        features: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> None:
        self.feature_space = str(feature_space)
        require_all_activations(FeatureSpace.parse(self.feature_space))
        self.features = None if features is None else np.unique(np.asarray(features, dtype=np.int64))
        self.seed = seed
        self.n_rows = 0
        self.counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        """Rows in which each feature fires, [highest id + 1]."""
        self._strongest, self._sample = _no_places(), _no_places()
        self._silent = SilentRows(
            np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
        )
        self._compacted = True
        # What a place must reach to be kept: as activation among the strongest, as key in the sample.
        self._least: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._largest_key: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)

    def update(self, batch: Any, first_row: int, *, column: ColumnChoice = None, prefix: str = "") -> FeatureSpans:
        """Add rows.

        Args:
            batch: columns by name, or a `pyarrow.Table`, with texts and feature columns.
            first_row: number of its first row in the whole dataset.
            column: of the texts; by default the one known name that is present.
            prefix: of the feature columns.

        Raises:
            ColumnError: the feature columns lack their spans.
            RowError: a row has no features, or damaged ones; see `coverage`.
            FeatureSpaceMismatch: a row is of another space.
        """
        names = list(getattr(batch, "column_names", None) or batch)
        if f"{prefix}feature_token_starts" not in names:
            raise ColumnError(
                f"there is no column '{prefix}feature_token_starts'; a feature table needs FeatureExtractor(spans=True)"
            )
        lengths, ids, values = row_features(batch, prefix, first_row=first_row)
        for space in set(_listed(batch[f"{prefix}feature_space"])):
            require_same_space(FeatureSpace.parse(self.feature_space), FeatureSpace.parse(space))
        row_keys = self._row_keys(batch, column)
        rows = np.arange(first_row, first_row + len(lengths))
        self.n_rows += len(lengths)
        self._grow(int(ids.max()) + 1 if len(ids) else 0)
        self._add_silent(SilentRows(row_keys, rows, lengths, ids))

        def part(name: str, dtype: type) -> NDArray[Any]:
            return flatten(batch[f"{prefix}feature_{name}"], dtype)[1]

        keys = np.repeat(row_keys, lengths)
        self.counts += np.bincount(ids, minlength=len(self.counts))
        strong, drawn = values >= self._least[ids], keys <= self._largest_key[ids]
        if self.features is not None:
            wanted = np.isin(ids, self.features)
            strong &= wanted
            drawn &= wanted
        messages = part("messages", np.int32) if f"{prefix}feature_messages" in names else np.zeros(len(ids), np.int32)
        places = Places(
            ids, values, np.repeat(rows, lengths), keys, part("starts", np.int32), part("ends", np.int32), messages
        )
        self._compacted = False
        self._strongest = _joined(self._strongest, places.at(strong))
        self._sample = _joined(self._sample, places.at(drawn))
        if max(len(self._strongest.ids), len(self._sample.ids)) > max(_PENDING, 2 * STRONGEST * len(self.counts)):
            self._compact()
        return self

    def merge(self, other: FeatureSpans) -> FeatureSpans:
        """The state of both sets of rows, as a new object.

        Raises:
            FeatureSpaceMismatch: the spaces, features or seeds differ.
        """
        require_same_space(FeatureSpace.parse(self.feature_space), FeatureSpace.parse(other.feature_space))
        if self.seed != other.seed or not _same(self.features, other.features):
            raise FeatureSpaceMismatch("spans of different features or seeds cannot be merged")
        both = FeatureSpans.from_bytes(self.to_bytes())
        both._grow(len(other.counts))
        both.counts[: len(other.counts)] += other.counts
        both.n_rows += other.n_rows
        both._strongest = _joined(both._strongest, other._strongest)
        both._sample = _joined(both._sample, other._sample)
        both._compacted = False
        both._add_silent(other._silent)
        both._compact()
        return both

    def strongest(self) -> Places:
        """The strongest places of each feature, by feature and falling activation; a text counts once."""
        self._compact()
        return self._strongest

    def sample(self) -> Places:
        """Random places of each feature, by feature; a text counts once."""
        self._compact()
        return self._sample

    def silent_rows(self) -> SilentRows:
        """Random rows with all their features; a text counts once."""
        return self._silent

    def save(self, path: str | Path) -> None:
        """Write one safetensors file."""
        write_atomically(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> FeatureSpans:
        """Read a file written by `save`."""
        return cls.from_bytes(Path(path).read_bytes())

    def to_bytes(self) -> bytes:
        """The content of the file that `save` writes."""
        from safetensors.numpy import save

        self._compact()
        tensors: dict[str, NDArray[Any]] = {"counts": self.counts}
        if self.features is not None:
            tensors["features"] = self.features
        for name, group in self._groups().items():
            tensors |= {f"{name}.{part}": getattr(group, part) for part in group._fields}
        facts = {"feature_space": self.feature_space, "n_rows": self.n_rows, "seed": self.seed}
        return bytes(save({name: np.ascontiguousarray(t) for name, t in tensors.items()}, {"spans": json.dumps(facts)}))

    @classmethod
    def from_bytes(cls, content: bytes) -> FeatureSpans:
        """Read what `to_bytes` wrote."""
        from safetensors.numpy import load

        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = json.loads(header["__metadata__"]["spans"])
        state = cls(facts["feature_space"], features=tensors.get("features"), seed=facts["seed"])
        state.n_rows = facts["n_rows"]
        state._grow(len(tensors["counts"]))
        state.counts += tensors["counts"]
        groups = {
            name: type(group)(*(tensors[f"{name}.{part}"] for part in group._fields))
            for name, group in state._groups().items()
        }
        state._strongest, state._sample, state._silent = groups["strongest"], groups["sample"], groups["silent"]
        state._set_bars()
        return state

    def _groups(self) -> dict[str, Any]:
        return {"strongest": self._strongest, "sample": self._sample, "silent": self._silent}

    def _row_keys(self, batch: Mapping[str, Any], column: ColumnChoice) -> NDArray[np.uint64]:
        salt = self.seed.to_bytes(8, "little", signed=True)
        rows = RowReader.of_batch(batch, column, FeatureSpace.parse(self.feature_space).parts).read(batch, [])
        keys = [hashlib.blake2b(_encoded(row), digest_size=8, key=salt).digest() for row in rows]
        return np.frombuffer(b"".join(keys), dtype="<u8").astype(np.uint64)

    def _grow(self, size: int) -> None:
        more = size - len(self.counts)
        if more > 0:
            self.counts = np.concatenate([self.counts, np.zeros(more, np.int64)])
            self._least = np.concatenate([self._least, np.zeros(more, np.float32)])
            self._largest_key = np.concatenate([self._largest_key, np.full(more, _NO_KEY)])

    def _add_silent(self, more: SilentRows) -> None:
        known = self._silent
        # The rows with the smallest hashes are a random sample that any order and any split into shards gives alike.
        if len(known.keys) == SILENT_ROWS:
            more = _rows_at(more, np.flatnonzero(more.keys <= known.keys[-1]))
        both = SilentRows(*_concatenated(known, more))
        order = np.lexsort((both.rows, both.keys))
        first = _first_of_each(both.keys[order])
        self._silent = _rows_at(both, order[first][:SILENT_ROWS])

    def _compact(self) -> None:
        """Keep only what can still be among the strongest, or in the sample."""
        if self._compacted:
            return
        self._compacted = True
        # The bits of positive floats sort as the floats do.
        weakness = (np.uint32(2**32 - 1) - self._strongest.values.view(np.uint32)).astype(np.uint64)
        self._strongest = _best(self._strongest, weakness, STRONGEST)
        self._sample = _best(self._sample, self._sample.keys, SAMPLED)
        self._set_bars()

    def _set_bars(self) -> None:
        last = self._strongest.at(ranks(self._strongest.ids) == STRONGEST - 1)
        self._least[last.ids] = last.values
        last = self._sample.at(ranks(self._sample.ids) == SAMPLED - 1)
        self._largest_key[last.ids] = last.keys


def require_all_activations(space: FeatureSpace) -> None:
    """Raise ColumnError unless the feature columns hold every positive activation."""
    if space.threshold != 0:
        raise ColumnError(
            f"the feature columns hold only activations above {format_threshold(space.threshold)}, so a row where a "
            f"feature fires below that would pass for one where it does not fire; extract with "
            f"FeatureExtractor(threshold=0)"
        )


def _best(places: Places, order_by: NDArray[np.uint64], size: int) -> Places:
    """Of each feature the first places in an order, each text once."""
    # One number a feature and text: another pair with the same one is less likely than a damaged disk.
    pairs = places.keys ^ (places.ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    order = _order(places, order_by)
    if not _first_of_each(np.sort(pairs)).all():
        order = order[np.sort(np.unique(pairs[order], return_index=True)[1])]
    return places.at(order[ranks(places.ids[order]) < size])


def _order(places: Places, order_by: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Places by feature, then in an order, then by row."""
    # Feature and order in one number: sorting by it takes a third of the time of sorting by several keys.
    bits = np.uint64(64 - int(places.ids.max(initial=0)).bit_length())
    highest = int(order_by.max(initial=0)).bit_length()
    # Bits that do not fit are dropped; ties that this makes are put in their exact order below.
    shortened = order_by >> np.uint64(max(0, highest - int(bits)))
    keys = (places.ids.astype(np.uint64) << bits) | shortened if bits < 64 else shortened
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    same = keys[1:] == keys[:-1]
    if same.any():
        ties = np.append(same, False) | np.insert(same, 0, False)
        places_there = order[ties]
        exact = np.lexsort((places.rows[places_there], order_by[places_there], keys[ties]))
        order[ties] = places_there[exact]
    return order


def ranks(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each entry among the neighbours with its id."""
    index = np.arange(len(ids))
    return index - np.maximum.accumulate(np.where(_first_of_each(ids), index, 0)) if len(ids) else index


def _first_of_each(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether an entry differs from the one before."""
    return np.concatenate([[True], ids[1:] != ids[:-1]]) if len(ids) else np.zeros(0, dtype=bool)


def _rows_at(rows: SilentRows, index: NDArray[np.int64]) -> SilentRows:
    ends = rows.counts.cumsum()
    parts = [rows.ids[ends[i] - rows.counts[i] : ends[i]] for i in index]
    ids = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    return SilentRows(rows.keys[index], rows.rows[index], rows.counts[index], ids)


def _joined(first: Places, second: Places) -> Places:
    return Places(*_concatenated(first, second))


def _no_places() -> Places:
    kinds: list[Any] = [np.int64, np.float32, np.int64, np.uint64, np.int32, np.int32, np.int32]
    return Places(*(np.zeros(0, kind) for kind in kinds))


def _concatenated(first: Places | SilentRows, second: Places | SilentRows) -> list[Any]:
    return [np.concatenate([one, other]) for one, other in zip(first, second, strict=True)]


def _same(first: NDArray[np.int64] | None, second: NDArray[np.int64] | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def _encoded(row: Row) -> bytes:
    text = row if isinstance(row, str) else json.dumps(row, sort_keys=True, default=str)
    return text.encode(errors="surrogatepass")


def _listed(column: Any) -> Any:
    return column.to_pylist() if hasattr(column, "to_pylist") else column
