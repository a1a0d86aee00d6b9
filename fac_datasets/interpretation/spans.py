"""The feature table: one row a feature, with the spans that activate it most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.columns import dataset_of, normalise_message, read_rows, resolve_column
from fac_datasets.coverage import flatten
from fac_datasets.errors import ColumnError
from fac_datasets.feature_space import dataset_space

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

SPAN_WORDS = 10
"""Words of a span; the last holds the peak."""

NAME_TOKENS = 3
"""Different peak tokens in a feature's name."""


class _Peaks(NamedTuple):
    """The strongest rows of each wanted feature, by feature and falling activation."""

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    messages: NDArray[np.int64]


def feature_table(
    dataset: datasets.Dataset,
    *,
    top: int = 10,
    features: Sequence[int] | NDArray[np.int64] | None = None,
    column: str | None = None,
) -> datasets.Dataset:
    """One row a feature that the dataset activates, with its strongest spans and a name made of its peak tokens.

    Args:
        dataset: texts or chats with feature columns that hold spans.
        top: spans a feature.
        features: only these ids; by default all that are active.
        column: column of the texts; by default the one known name that is present.

    Returns:
        A dataset with `feature_id, feature_space, firing_rate` (share of rows), `max_activation, spans` (`text`, the
        peak's `start` and `end` in it, `activation`, `row`), `explanation` and `explainer`.

    Raises:
        ColumnError: the dataset has no feature columns with spans.

    Example:
        >>> table = feature_table(anchor, features=report.missing)
        >>> table.column_names[:4]
        ['feature_id', 'feature_space', 'firing_rate', 'max_activation']
    """
    columns = resolve_column(dataset.features, column)
    prefix = f"{columns[0]}_" if columns[0] in ("chosen", "rejected") else ""
    if f"{prefix}feature_starts" not in dataset.column_names:
        raise ColumnError(
            f"there is no column '{prefix}feature_starts'; a feature table needs FeatureExtractor(spans=True)"
        )
    space = dataset_space(dataset, prefix)
    peaks, counts = _strongest_rows(dataset, prefix, top, features)
    texts = _texts_of(dataset, columns, peaks)
    rows = []
    for group in np.split(np.arange(len(peaks.ids)), np.flatnonzero(np.diff(peaks.ids)) + 1):
        if not len(group):
            continue
        spans = [
            _span(texts[(int(peaks.rows[i]), int(peaks.messages[i]))], int(peaks.starts[i]), int(peaks.ends[i]))
            | {"activation": float(peaks.values[i]), "row": int(peaks.rows[i])}
            for i in group
        ]
        feature = int(peaks.ids[group[0]])
        rows.append(
            {
                "feature_id": feature,
                "feature_space": str(space),
                "firing_rate": counts[feature] / len(dataset),
                "max_activation": spans[0]["activation"],
                "spans": spans,
                "explanation": peak_tokens_name(spans),
                "explainer": "peak tokens",
            }
        )
    return dataset_of(rows, _schema())


def _schema() -> datasets.Features:
    from datasets import Features, List, Value

    return Features(
        {
            "feature_id": Value("int32"),
            "feature_space": Value("string"),
            "firing_rate": Value("float32"),
            "max_activation": Value("float32"),
            "spans": List(
                {
                    "text": Value("string"),
                    "start": Value("int32"),
                    "end": Value("int32"),
                    "activation": Value("float32"),
                    "row": Value("int64"),
                }
            ),
            "explanation": Value("string"),
            "explainer": Value("string"),
        }
    )


def _strongest_rows(
    dataset: datasets.Dataset, prefix: str, top: int, features: Sequence[int] | NDArray[np.int64] | None
) -> tuple[_Peaks, dict[int, int]]:
    """The `top` strongest rows of each feature in one pass, and in how many rows each is stored."""
    names = [f"{prefix}feature_{part}" for part in ("ids", "activations", "starts", "ends")]
    if f"{prefix}feature_messages" in dataset.column_names:
        names.append(f"{prefix}feature_messages")
    wanted = None if features is None else np.unique(np.asarray(features, dtype=np.int64))
    kept: list[NDArray[Any]] | None = None
    counts: Counter[int] = Counter()
    start = 0
    for batch in dataset.select_columns(names).with_format("arrow").iter(batch_size=2_000):
        lengths, ids = flatten(batch.column(names[0]), np.int64)
        parts = [flatten(batch.column(name), kind)[1] for name, kind in zip(names[1:], _KINDS, strict=False)]
        if len(parts) == 3:
            parts.append(np.zeros(len(ids), dtype=np.int64))
        rows = start + np.repeat(np.arange(len(lengths)), lengths)
        start += len(lengths)
        table = [ids, rows, *parts]
        if wanted is not None:
            inside = np.isin(ids, wanted)
            table = [part[inside] for part in table]
        counts.update(dict(zip(*(part.tolist() for part in np.unique(table[0], return_counts=True)), strict=True)))
        if kept is not None:
            table = [np.concatenate(pair) for pair in zip(kept, table, strict=True)]
        order = np.lexsort((table[1], -table[2], table[0]))
        ids = table[0][order]
        first = np.concatenate([[True], ids[1:] != ids[:-1]]) if len(ids) else np.empty(0, dtype=bool)
        rank = np.arange(len(ids)) - np.maximum.accumulate(np.where(first, np.arange(len(ids)), 0))
        kept = [part[order[rank < top]] for part in table]
    assert kept is not None
    return _Peaks(*kept), counts


_KINDS: tuple[type, ...] = (np.float32, np.int64, np.int64, np.int64)


def _texts_of(dataset: datasets.Dataset, columns: tuple[str, ...], peaks: _Peaks) -> dict[tuple[int, int], str]:
    """The text, or the message, of each peak."""
    rows = np.unique(peaks.rows)
    contents = read_rows(dataset.select_columns(list(columns))[rows], columns) if len(rows) else []
    texts = {}
    for row, content in zip(rows.tolist(), contents, strict=True):
        if isinstance(content, str):
            texts[(row, 0)] = content
        else:
            texts |= {(row, i): normalise_message(m, row)["content"] for i, m in enumerate(content)}
    return texts


def _span(text: str, start: int, end: int) -> dict[str, Any]:
    """The last words up to the peak, and where the peak stands in them."""
    begin = start
    for _ in range(SPAN_WORDS):
        stripped = text[:begin].rstrip()
        begin = max(stripped.rfind(" "), stripped.rfind("\n")) + 1
        if not begin:
            break
    return {"text": text[begin:end], "start": start - begin, "end": end - begin}


def peak_tokens_name(spans: Sequence[dict[str, Any]]) -> str:
    """The commonest peak tokens of a feature's spans, such as `"coffee", "tea"`."""
    tokens = Counter(span["text"][span["start"] : span["end"]].strip() for span in spans)
    return ", ".join(f'"{token}"' for token, _ in tokens.most_common(NAME_TOKENS) if token)
