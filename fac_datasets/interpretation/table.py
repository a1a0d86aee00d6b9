"""The feature table: one row a feature, with the spans that show what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from fac_datasets.backbone import load_tokenizer
from fac_datasets.columns import normalise_message, read_rows, resolve_column
from fac_datasets.embedded import EMBEDDED_BACKBONE_NAME
from fac_datasets.errors import BackboneError, ColumnError, OptionError
from fac_datasets.feature_space import FeatureSpace, dataset_space
from fac_datasets.interpretation.spans import FeatureSpans, Places, SilentRows, ranks, require_all_activations

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

_ROWS = 2_000


def feature_table(
    dataset: datasets.Dataset,
    *,
    top: int = 10,
    span_tokens: int = 10,
    features: Sequence[int] | NDArray[np.int64] | None = None,
    column: str | None = None,
    backbone: str | None = None,
    seed: int = 0,
) -> datasets.Dataset:
    """One row a feature that the dataset activates, with spans that show where it fires.

    Args:
        dataset: texts or chats with feature columns extracted at threshold 0.
        top: strongest spans shown; at most 32.
        span_tokens: tokens of a span, which ends with the token where the feature peaks.
        features: these ids, also those that never fire; by default all that fire.
        column: column of the texts; by default the one known name that is present.
        backbone: whose tokenizer counts the tokens; by default that of the feature space.
        seed: of the random sample.

    Returns:
        A dataset with `feature_id, feature_space, firing_rate` (share of rows), `max_activation, quantiles` (10, 25,
        50, 75, 90 % of the activation over the rows where the feature fires; estimated from 64 of them where there are
        more), and three lists of spans (`text`, the peak's `start` and `end` in it, `activation`, `row`), in which
        equal spans stand once: `spans`, the strongest; `held_out_spans`, the next strongest up to 32 and up to 16 drawn
        from all activations, for scoring what was learnt from `spans`; `silent_spans`, up to 32 from rows where the
        feature does not fire.

    Raises:
        ColumnError: the dataset has no feature columns with spans, or they do not hold every activation.

    Example:
        >>> table = feature_table(anchor, features=report.missing)
        >>> table.column_names[:4]
        ['feature_id', 'feature_space', 'firing_rate', 'max_activation']
    """
    columns = resolve_column(dataset.features, column)
    prefix = f"{columns[0]}_" if columns[0] in ("chosen", "rejected") else ""
    space = dataset_space(dataset, prefix)
    require_all_activations(space)
    wanted = None if features is None else np.asarray(features, dtype=np.int64)
    state = FeatureSpans(space, features=wanted, seed=seed)
    names = [name for name in dataset.column_names if name in columns or name.startswith(f"{prefix}feature_")]
    first = 0
    for batch in dataset.select_columns(names).with_format("arrow").iter(batch_size=_ROWS):
        state.update(batch, first, column=column, prefix=prefix)
        first += len(batch)
    return spans_table(state, dataset, top=top, span_tokens=span_tokens, column=column, backbone=backbone)


def spans_table(
    state: FeatureSpans,
    dataset: datasets.Dataset,
    *,
    top: int = 10,
    span_tokens: int = 10,
    column: str | None = None,
    backbone: str | None = None,
) -> datasets.Dataset:
    """The feature table of a finished, perhaps merged, state; see `feature_table`.

    Args:
        state: of one pass over the dataset.
        dataset: all rows, with the texts.
        top: see `feature_table`.
        span_tokens: see `feature_table`.
        column: see `feature_table`.
        backbone: see `feature_table`.

    Raises:
        OptionError: an option has no meaning.
        ColumnError: the dataset has another number of rows than the state has seen.
    """
    if not 1 <= top <= KEPT or span_tokens < 1:
        raise OptionError(f"top={top} is not in [1, {KEPT}], or span_tokens={span_tokens} is less than 1")
    if len(dataset) != state.n_rows:
        raise ColumnError(f"the spans are of {state.n_rows:,} rows, but the dataset has {len(dataset):,}")
    ids = np.flatnonzero(state.counts) if state.features is None else state.features
    space = FeatureSpace.parse(state.feature_space)
    texts = _Texts(dataset, resolve_column(dataset.features, column), _tokenizer(space, backbone), span_tokens)
    strongest, sample, silent = state.strongest(), state.sample(), state.silent_rows()
    texts.read(np.concatenate([strongest.rows, sample.rows, silent.rows]))
    strong = _once(texts.spans(strongest))
    strong = strong.at(ranks(strong.ids) < KEPT)
    rank = ranks(strong.ids)
    lower = _spread(_others(_once(texts.spans(sample)), strong), LOWER)
    held_out = _sorted(_Spans(*(_concatenate(pair) for pair in zip(strong.at(rank >= top), lower, strict=True))))
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
        "spans": _listed(strong.at(rank < top), ids),
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


def _tokenizer(space: FeatureSpace, backbone: str | None) -> Any:
    if backbone is None and space.backbone == EMBEDDED_BACKBONE_NAME:
        backbone = "embedded"
    if backbone == "embedded":
        from fac_datasets.embedded import embedded_backbone_folder

        backbone = str(embedded_backbone_folder())
    try:
        return load_tokenizer(backbone or space.backbone)
    except BackboneError as error:
        raise BackboneError(
            f"spans are counted in tokens of {space.backbone}, whose tokenizer was not found; name its folder or Hub "
            f"id with backbone=... (--backbone): {error}"
        ) from error


class _Spans(NamedTuple):
    """Cut-out spans of features."""

    ids: NDArray[np.int64]
    values: NDArray[np.float32]
    rows: NDArray[np.int64]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    texts: pa.Array

    def at(self, index: NDArray[Any]) -> _Spans:
        numbers = index.nonzero()[0] if index.dtype == bool else index
        parts: list[Any] = [
            part.take(pa.array(numbers)) if isinstance(part, pa.Array) else part[numbers] for part in self
        ]
        return _Spans(*parts)


class _Texts:
    """Texts and messages of rows, tokenized, from which spans are cut."""

    def __init__(self, dataset: datasets.Dataset, columns: tuple[str, ...], tokenizer: Any, span_tokens: int) -> None:
        self.dataset, self.columns = dataset.select_columns(list(columns)), columns
        self.tokenizer, self.span_tokens = tokenizer, span_tokens

    def read(self, rows: NDArray[np.int64]) -> None:
        """Read and tokenize these rows."""
        places: list[tuple[int, int]] = []
        contents: list[str] = []
        tokens, token_counts = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
        rows = np.unique(rows)
        base = 0
        for begin in range(0, len(rows), _ROWS):
            numbers = rows[begin : begin + _ROWS]
            texts: list[str] = []
            for row, content in zip(numbers.tolist(), read_rows(self.dataset[numbers], self.columns), strict=True):
                messages = [content or ""] if isinstance(content, str | None) else _messages(content, row)
                places += [(row, message) for message in range(len(messages))]
                texts += messages
            lengths = np.fromiter(map(len, texts), np.int64, len(texts))
            offsets, counts = self._tokens(texts)
            tokens.append(offsets + np.repeat(base + lengths.cumsum() - lengths, counts)[:, None])
            token_counts.append(counts)
            base += int(lengths.sum())
            contents += texts
        pairs = np.array(places, dtype=np.int64).reshape(-1, 2)
        self._rows, self._messages = pairs[:, 0], pairs[:, 1]
        lengths = np.fromiter(map(len, contents), np.int64, len(contents))
        self._begins = lengths.cumsum() - lengths
        self._token_starts, self._token_ends = np.concatenate(tokens).T
        counts = np.concatenate(token_counts)
        self._first_tokens, self._token_counts = counts.cumsum() - counts, counts
        self._joined = "".join(contents)

    def spans(self, places: Places) -> _Spans:
        """The tokens up to each place's peak, and the peak."""
        index = np.searchsorted(self._rows, places.rows) + places.messages
        peaks, ends = self._begins[index] + places.starts, self._begins[index] + places.ends
        return self._cut(places.ids, places.values, places.rows, index, peaks, ends)

    def random(self, rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> _Spans:
        """A random span of each row that has any token, equal ones once; the row's place stands for the feature."""
        first, last = np.searchsorted(self._rows, rows), np.searchsorted(self._rows, rows, side="right")
        token = self._first_tokens[first]
        n_tokens = self._first_tokens[last - 1] + self._token_counts[last - 1] - token
        filled = n_tokens > 0
        token = (token + (keys % np.maximum(n_tokens, 1).astype(np.uint64)).astype(np.int64))[filled]
        index = np.searchsorted(self._first_tokens, token, side="right") - 1
        peaks, ends = self._token_starts[token], self._token_ends[token]
        nothing = np.zeros(len(token), np.float32)
        return _once(self._cut(np.flatnonzero(filled), nothing, rows[filled], index, peaks, ends), by_feature=False)

    def _tokens(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First character of each token and the one behind it, [n_tokens, 2], and how many tokens each text has."""
        if not texts:
            return np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
        encodings = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        counts = np.fromiter(map(len, encodings), np.int64, len(encodings))
        flat = np.fromiter(chain.from_iterable(chain.from_iterable(encodings)), np.int64, 2 * int(counts.sum()))
        return flat.reshape(-1, 2), counts

    def _cut(
        self,
        ids: NDArray[np.int64],
        values: NDArray[np.float32],
        rows: NDArray[np.int64],
        index: NDArray[np.int64],
        peaks: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> _Spans:
        token = np.searchsorted(self._token_starts, peaks, side="right") - 1
        first = np.maximum(self._first_tokens[index], token - self.span_tokens + 1)
        begins = np.minimum(np.maximum(self._token_starts[first], self._begins[index]), peaks)
        joined = self._joined
        texts = [joined[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        # Many tokens start with the space before a word, which is no part of the span.
        bare = [text.lstrip() for text in texts]
        blank = np.fromiter(map(len, texts), np.int64, len(texts)) - np.fromiter(map(len, bare), np.int64, len(bare))
        shown = np.where(begins + blank <= peaks, blank, 0)
        texts = [text if skipped else whole for text, whole, skipped in zip(bare, texts, shown.tolist(), strict=True)]
        begins = begins + shown
        return _Spans(
            ids,
            values,
            rows,
            (peaks - begins).astype(np.int32),
            (ends - begins).astype(np.int32),
            pa.array(texts, pa.string()),
        )


def _messages(content: Any, row: int) -> list[str]:
    return [normalise_message(message, row)["content"] for message in content]


def _once(spans: _Spans, *, by_feature: bool = True) -> _Spans:
    """Equal spans (of a feature) once, the first of them."""
    pairs = _pairs(spans.ids if by_feature else np.zeros_like(spans.ids), spans.texts)
    return spans.at(np.sort(np.unique(pairs, return_index=True)[1]))


def _others(spans: _Spans, known: _Spans) -> _Spans:
    """The spans that are not among the known ones of their feature."""
    pairs = _pairs(np.concatenate([known.ids, spans.ids]), pa.concat_arrays([known.texts, spans.texts]))
    return spans.at(~np.isin(pairs[len(known.ids) :], pairs[: len(known.ids)]))


def _pairs(ids: NDArray[np.int64], texts: pa.Array) -> NDArray[np.int64]:
    """One number for each different pair of feature and text."""
    codes = texts.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    pairs: NDArray[np.int64] = ids * (int(codes.max(initial=0)) + 1) + codes
    return pairs


def _spread(spans: _Spans, most: int) -> _Spans:
    """Of each feature some spans, evenly over its activations."""
    spans = _sorted(spans)
    rank = ranks(spans.ids)
    counts = np.bincount(spans.ids)[spans.ids] if len(spans.ids) else rank
    taken = np.minimum(counts, most)
    return spans.at(((rank + 1) * taken // np.maximum(counts, 1)) > (rank * taken // np.maximum(counts, 1)))


def _sorted(spans: _Spans) -> _Spans:
    return spans.at(np.lexsort((spans.rows, -spans.values, spans.ids)))


def _concatenate(pair: tuple[Any, Any]) -> Any:
    return pa.concat_arrays(pair) if isinstance(pair[0], pa.Array) else np.concatenate(pair)


def _listed(spans: _Spans, ids: NDArray[np.int64]) -> pa.Array:
    """Spans, sorted by feature, as lists, one a feature."""
    places = np.searchsorted(spans.ids, ids), np.searchsorted(spans.ids, ids, side="right")
    structs = pa.StructArray.from_arrays(
        [spans.texts, *(pa.array(part) for part in (spans.starts, spans.ends, spans.values, spans.rows))],
        ["text", "start", "end", "activation", "row"],
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


def add_columns(table: datasets.Dataset, columns: Mapping[str, tuple[Any, Any]]) -> datasets.Dataset:
    """A table with columns added or replaced, each with its values and its type."""
    table = table.remove_columns([name for name in columns if name in table.column_names])
    for name, (values, kind) in columns.items():
        table = table.add_column(name, list(values), feature=kind)
    return table


def require_columns(table: datasets.Dataset, *names: str) -> None:
    """Raise ColumnError unless a feature table has these columns."""
    makers = {"explanation": "explain", "fits": "explain", "evidence": "judge_relevance or contrast_relevance"}
    for name in names:
        if name not in table.column_names:
            raise ColumnError(
                f"the table has no column {name!r}, which {makers.get(name, 'feature_table')} makes; its columns are "
                f"{table.column_names}"
            )
