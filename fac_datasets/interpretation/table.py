"""The feature table: one row a feature, with the spans that show what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from fac_datasets.coverage.active_rows import flatten
from fac_datasets.errors import ColumnError, OptionError
from fac_datasets.feature_space import FeatureSpace, dataset_space
from fac_datasets.interpretation.spans import FeatureSpans, Places, SilentRows, ranks, require_all_activations
from fac_datasets.rows.inputs import feature_ids
from fac_datasets.rows.one_dataset import require_dataset
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import own_texts

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

KEPT = 32
"""Strongest spans of a feature, shown and held out together."""


LOWER = 16
"""Held-out spans of a feature that are drawn from all its activations."""


SILENT = 32
"""Spans of rows in which a feature does not fire."""


QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of a feature's activation over the rows where it fires."""


_ROWS = 500
"""Rows read at once."""


_BLANKS = np.array([ord(character) for character in " \t\n\r\u00a0"], dtype=np.uint32)


def feature_table(
    dataset: datasets.Dataset,
    *,
    top: int = 10,
    span_tokens: int = 10,
    features: Sequence[int] | NDArray[np.int64] | None = None,
    column: ColumnChoice = None,
    seed: int = 0,
) -> datasets.Dataset:
    """One row a feature that the dataset activates, with spans that show where it fires.

    Args:
        dataset: texts or chats with feature columns extracted at threshold 0.
        top: strongest spans shown; at most 32.
        span_tokens: tokens of a span, which ends with the token where the feature peaks.
        features: these ids, also those that never fire; by default all that fire.
        column: column of the texts; by default the one known name that is present.
        seed: of the random sample.

    Returns:
        A dataset with `feature_id, feature_space, firing_rate` (share of rows), `max_activation, quantiles` (10, 25,
        50, 75, 90 % of the activation over the rows where the feature fires; estimated from 64 of them where there are
        more), and three lists of spans, in which equal spans stand once: `spans`, the strongest, and where these are
        fewer than `top` different ones among 48 rows, others of 64 random rows; `held_out_spans`, the next strongest up
        to 32 and up to 16 drawn from all activations, for scoring what was learnt from `spans`; `silent_spans`, up to
        32 from rows where the feature does not fire. A span has `text`, the peak's `start` and `end` in it,
        `activation`, `row`, and `cut`, which says whether the text goes on within the word of the peak.

    Raises:
        ColumnError: the dataset has no feature columns with spans, or they do not hold every activation.
        DatasetError: it is several splits, or a stream, whose rows are not kept for their texts.
        OptionError: an option has no meaning.
        RowError: a row has no features, or damaged ones; see `coverage`.

    Example:
        >>> table = feature_table(anchor, features=report.missing)
        >>> table.column_names[:4]
        ['feature_id', 'feature_space', 'firing_rate', 'max_activation']
    """
    require_dataset(dataset, "the dataset")
    wanted = None if features is None else feature_ids(features, "features")
    reader = RowReader(dataset.features, column)
    columns, prefix = reader.columns, reader.prefix
    space = dataset_space(dataset, prefix)
    require_all_activations(space)
    state = FeatureSpans(space, features=wanted, seed=seed)
    names = [name for name in dataset.column_names if name in columns or name.startswith(f"{prefix}feature_")]
    first = 0
    for batch in dataset.select_columns(names).with_format("arrow").iter(batch_size=_ROWS):
        state.update(batch, first, column=column, prefix=prefix)
        first += len(batch)
    return spans_table(state, dataset, top=top, span_tokens=span_tokens, column=column)


def spans_table(
    state: FeatureSpans,
    dataset: datasets.Dataset,
    *,
    top: int = 10,
    span_tokens: int = 10,
    column: ColumnChoice = None,
) -> datasets.Dataset:
    """The feature table of a finished, perhaps merged, state; see `feature_table`.

    Args:
        state: of one pass over the dataset.
        dataset: all rows, with the texts.
        top: see `feature_table`.
        span_tokens: see `feature_table`.
        column: see `feature_table`.

    Raises:
        OptionError: an option has no meaning.
        ColumnError: the dataset has another number of rows than the state has seen.
    """
    if not 1 <= top <= KEPT or span_tokens < 1:
        raise OptionError(f"top={top} is not in [1, {KEPT}], or span_tokens={span_tokens} is less than 1")
    if len(dataset) != state.n_rows:
        raise ColumnError(f"the spans are of {state.n_rows:,} rows, but the dataset has {len(dataset):,}")
    ids = np.flatnonzero(state.counts) if state.features is None else state.features
    texts = _Texts(
        dataset, RowReader(dataset.features, column, FeatureSpace.parse(state.feature_space).parts), span_tokens
    )
    strongest, sample, silent = state.strongest(), state.sample(), state.silent_rows()
    texts.read(np.concatenate([strongest.rows, sample.rows, silent.rows]))
    strong = _once(texts.spans(strongest))
    strong = strong.at(ranks(strong.ids) < KEPT)
    rank = ranks(strong.ids)
    # A feature that always fires on the same words has few different spans among its strongest rows.
    missing = np.maximum(0, top - np.bincount(strong.ids, minlength=int(sample.ids.max(initial=-1)) + 1))
    others = _others(sample, strongest)
    weak = texts.spans(others.at((missing[others.ids] > 0) | _evenly(others.ids, LOWER)))
    weak = _once(weak.at(~np.isin(weak.pairs, strong.pairs)))
    # At most half of them is shown, so that some are held out.
    is_shown = ranks(weak.ids) < np.minimum(missing[weak.ids], (np.bincount(weak.ids)[weak.ids] + 1) // 2)
    lower = weak.at(~is_shown)
    lower = lower.at(_evenly(lower.ids, LOWER))
    shown = _together(strong.at(rank < top), weak.at(is_shown))
    held_out = _together(strong.at(rank >= top), lower)
    counts = np.zeros(int(ids.max(initial=-1)) + 1, np.int64)
    counts[: len(state.counts)] = state.counts[: len(counts)]
    highest = np.zeros(len(counts), np.float32)
    np.maximum.at(highest, strongest.ids, strongest.values)
    columns = {
        "feature_id": pa.array(ids.astype(np.int32)),
        "feature_space": pa.array([state.feature_space] * len(ids)),
        "firing_rate": pa.array((counts[ids] / max(1, state.n_rows)).astype(np.float32)),
        "max_activation": pa.array(highest[ids]),
        "quantiles": _quantiles(sample, ids),
        "spans": _listed(shown, ids),
        "held_out_spans": _listed(held_out, ids),
        "silent_spans": _listed(_silent_spans(texts, silent, ids), ids),
    }
    return _dataset(columns)


def _dataset(columns: dict[str, Any]) -> datasets.Dataset:
    import datasets
    from datasets import Features, List, Value

    span = {
        "text": Value("string"),
        "start": Value("int32"),
        "end": Value("int32"),
        "activation": Value("float32"),
        "row": Value("int64"),
        "cut": Value("bool"),
    }
    features = Features(
        {
            "feature_id": Value("int32"),
            "feature_space": Value("string"),
            "firing_rate": Value("float32"),
            "max_activation": Value("float32"),
            "quantiles": List(Value("float32")),
            "spans": List(span),
            "held_out_spans": List(span),
            "silent_spans": List(span),
        }
    )
    return datasets.Dataset(datasets.table.InMemoryTable(pa.table(columns).cast(features.arrow_schema)))


class _Spans(NamedTuple):
    """Cut-out spans of features."""

    ids: NDArray[np.int64]
    values: NDArray[np.float32]
    rows: NDArray[np.int64]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    texts: NDArray[np.object_]
    cut: NDArray[np.bool_]
    """Whether the text goes on within the word that a span ends with."""

    def at(self, index: NDArray[Any]) -> _Spans:
        """Some of the spans, by mask or by index."""
        return _Spans(*(part[index] for part in self))

    @property
    def pairs(self) -> NDArray[np.uint64]:
        """One number for each pair of feature and text; the same one for another pair is next to impossible."""
        hashes = np.fromiter(map(hash, self.texts), np.int64, len(self.texts)).view(np.uint64)
        return hashes ^ (self.ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))


class _Texts:
    """Texts and messages of rows, and where their own tokens start, from which spans are cut."""

    def __init__(self, dataset: datasets.Dataset, reader: RowReader, span_tokens: int) -> None:
        self.reader, self.span_tokens = reader, span_tokens
        self.names = [f"{reader.prefix}feature_token_{part}" for part in ("starts", "messages")]
        self.names = [name for name in self.names if name in dataset.column_names]
        self.dataset = dataset.select_columns([*reader.columns, *self.names]).with_format("arrow")

    def read(self, rows: NDArray[np.int64]) -> None:
        """Read these rows."""
        rows = np.unique(rows)
        texts: list[str] = []
        text_rows, token_rows, token_messages, starts = ([np.zeros(0, np.int64)] for _ in range(4))
        for begin in range(0, len(rows), _ROWS):
            numbers = rows[begin : begin + _ROWS]
            batch = self.dataset[numbers]
            contents = [own_texts(row) for row in self.reader.read(batch)]
            text_rows.append(np.repeat(numbers, [len(messages) for messages in contents]))
            texts += chain.from_iterable(contents)
            counts, found = flatten(batch[self.names[0]], np.int64)
            token_rows.append(np.repeat(numbers, counts))
            starts.append(found)
            token_messages.append(
                flatten(batch[self.names[1]], np.int64)[1] if len(self.names) > 1 else np.zeros(len(found), np.int64)
            )
        self._rows = np.concatenate(text_rows)
        ends = np.fromiter(map(len, texts), np.int64, len(texts)).cumsum()
        self._begins = np.concatenate([[0], ends])
        self._token_texts = self._index(np.concatenate(token_rows), np.concatenate(token_messages))
        self._token_starts = self._begins[self._token_texts] + np.concatenate(starts)
        self._joined = "".join(texts)
        self._characters = np.frombuffer(self._joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)

    def spans(self, places: Places) -> _Spans:
        """The tokens up to each place's peak, and the peak."""
        texts = self._index(places.rows, places.messages)
        begins = self._begins[texts]
        peaks, ends = (begins + part.astype(np.int64) for part in (places.starts, places.ends))
        tokens = np.searchsorted(self._token_starts, peaks, side="right") - 1
        return self._cut(places.ids, places.values, places.rows, tokens, peaks, ends)

    def random(self, rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> _Spans:
        """A random span of each row that has any token, equal ones once; the row's place stands for the feature."""
        of_tokens = self._rows[self._token_texts]
        first, last = np.searchsorted(of_tokens, rows), np.searchsorted(of_tokens, rows, side="right")
        filled = np.flatnonzero(last > first)
        drawn = (keys[filled] % (last - first)[filled].astype(np.uint64)).astype(np.int64)
        tokens = first[filled] + drawn
        peaks, texts = self._token_starts[tokens], self._token_texts[tokens]
        # A token ends where the next one starts; of several that share a character, the last tells.
        following = np.searchsorted(self._token_starts, peaks, side="right")
        ends = np.minimum(np.append(self._token_starts, len(self._joined))[following], self._begins[texts + 1])
        nothing = np.zeros(len(tokens), np.float32)
        spans = self._cut(filled, nothing, rows[filled], tokens, peaks, ends)
        return spans.at(np.sort(np.unique(spans._replace(ids=np.zeros_like(filled)).pairs, return_index=True)[1]))

    def _index(self, rows: NDArray[np.int64], messages: NDArray[Any]) -> NDArray[np.int64]:
        """Place of each message among all that were read."""
        place: NDArray[np.int64] = np.searchsorted(self._rows, rows) + messages
        return place

    def _cut(
        self,
        ids: NDArray[np.int64],
        values: NDArray[np.float32],
        rows: NDArray[np.int64],
        tokens: NDArray[np.int64],
        peaks: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> _Spans:
        """Spans that end with these tokens, of the same text."""
        first = np.maximum(tokens - self.span_tokens + 1, 0)
        begins = np.minimum(np.maximum(self._token_starts[first], self._begins[self._token_texts[tokens]]), peaks)
        # Many tokens start with the space before a word, which is no part of the span.
        while (blank := (begins < peaks) & np.isin(self._characters[begins], _BLANKS)).any():
            begins = begins + blank
        texts = np.empty(len(begins), dtype=object)
        joined = self._joined
        texts[:] = [joined[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        cut = np.array(
            [
                joined[end - 1 : end].isalnum() and joined[end : min(end + 1, last)].isalnum()
                for end, last in zip(ends.tolist(), self._begins[self._token_texts[tokens] + 1].tolist(), strict=True)
            ],
            dtype=bool,
        )
        starts, stops = ((part - begins).astype(np.int32) for part in (peaks, ends))
        return _Spans(ids, values, rows, starts, stops, texts, cut)


def _once(spans: _Spans) -> _Spans:
    """Equal spans of a feature once, the first of them."""
    return spans.at(np.sort(np.unique(spans.pairs, return_index=True)[1]))


def _together(first: _Spans, second: _Spans) -> _Spans:
    """Spans of both, by feature and falling activation."""
    joined: list[Any] = [np.concatenate([*pair]) for pair in zip(first, second, strict=True)]
    both = _Spans(*joined)
    return both.at(np.lexsort((both.rows, -both.values, both.ids)))


def _others(sample: Places, strongest: Places) -> Places:
    """The sampled places that are not among the strongest, by feature and falling activation."""
    rows = np.uint64(1 + max(sample.rows.max(initial=0), strongest.rows.max(initial=0)))
    drawn, known = (part.ids.astype(np.uint64) * rows + part.rows.astype(np.uint64) for part in (sample, strongest))
    others = sample.at(~np.isin(drawn, known))
    return others.at(np.lexsort((others.rows, -others.values, others.ids)))


def _evenly(ids: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Which entries to take of each id, sorted by it, so that at most so many are evenly spread over its entries."""
    rank = ranks(ids)
    counts = np.bincount(ids)[ids] if len(ids) else rank
    taken = np.minimum(counts, most)
    chosen: NDArray[np.bool_] = (rank + 1) * taken // np.maximum(counts, 1) > rank * taken // np.maximum(counts, 1)
    return chosen


def _listed(spans: _Spans, ids: NDArray[np.int64]) -> pa.Array:
    """Spans, sorted by feature, as lists, one a feature."""
    places = np.searchsorted(spans.ids, ids), np.searchsorted(spans.ids, ids, side="right")
    structs = pa.StructArray.from_arrays(
        [
            pa.array(spans.texts, pa.string()),
            *(pa.array(part) for part in (spans.starts, spans.ends, spans.values, spans.rows, spans.cut)),
        ],
        ["text", "start", "end", "activation", "row", "cut"],
    )
    offsets = np.concatenate([places[0], places[1][-1:] if len(ids) else [0]]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, structs)


def _silent_spans(texts: _Texts, silent: SilentRows, ids: NDArray[np.int64]) -> _Spans:
    """For each feature spans of sampled rows in which it does not fire."""
    spans = texts.random(silent.rows, silent.keys)
    fires = np.zeros((len(silent.rows), int(max(ids.max(initial=-1), silent.ids.max(initial=-1))) + 1), dtype=bool)
    fires[np.repeat(np.arange(len(silent.rows)), silent.counts), silent.ids] = True
    quiet = ~fires[spans.ids][:, ids].T
    feature, place = (quiet & (quiet.cumsum(axis=1) <= SILENT)).nonzero()
    return spans.at(place)._replace(ids=ids[feature])


def _quantiles(sample: Places, ids: NDArray[np.int64]) -> pa.Array:
    """Quantiles of each feature's activations, a list a feature; empty where it never fires."""
    order = np.lexsort((sample.values, sample.ids))
    values, of = sample.values[order], sample.ids[order]
    first, last = np.searchsorted(of, ids), np.searchsorted(of, ids, side="right")
    fired = last > first
    place = first[fired, None] + np.array(QUANTILES) * (last - first - 1)[fired, None]
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, last[fired, None] - 1)
    found = values[low] + (values[high] - values[low]) * (place - low)
    offsets = np.concatenate([[0], (fired * len(QUANTILES)).cumsum()]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(found.ravel().astype(np.float32)))
