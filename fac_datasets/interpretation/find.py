"""Rows in which features fire most: features by id, by words of their names, or those of an example."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.coverage.active_rows import feature_batches, flatten, require_column, row_features
from fac_datasets.coverage.names import in_words, names_at_hand, one_line
from fac_datasets.errors import OptionError, RowError
from fac_datasets.feature_space import FeatureSpace, dataset_space, require_same_but_threshold
from fac_datasets.interpretation.excerpts import excerpt
from fac_datasets.interpretation.spans import ranks
from fac_datasets.rows.inputs import feature_ids
from fac_datasets.rows.one_dataset import require_dataset
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import own_texts
from fac_datasets.rows.tables import dataset_of

if TYPE_CHECKING:
    import datasets
    from numpy.typing import NDArray

    from fac_datasets.features.extractor import FeatureExtractor

LIKE = 10
"""Features of an example, at most."""

CONTEXT = 80
"""Characters of a span on either side of the peak, at most."""

_ROWS = 1000
"""Rows read at once."""

_NEAR = 3
"""Names told where none has the words."""

FeatureChoice = int | str | Sequence[int] | Sequence[str]
"""Ids of features, or words of their names."""


class _Peaks(NamedTuple):
    """Where features peak in rows, [n] each."""

    ids: NDArray[np.int64]
    values: NDArray[np.float32]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    messages: NDArray[np.int64]
    """Message or part of each; 0 for texts."""

    def at(self, index: NDArray[Any]) -> _Peaks:
        """Some of the peaks, by mask or by index."""
        return _Peaks(*(part[index] for part in self))


def find_rows(
    dataset: datasets.Dataset,
    features: FeatureChoice | NDArray[np.int64] | None = None,
    *,
    like: str | None = None,
    top: int = 20,
    feature_names: Mapping[int, str] | datasets.Dataset | None = None,
    extractor: FeatureExtractor | None = None,
    column: ColumnChoice = None,
) -> datasets.Dataset:
    """The rows of a dataset in which features fire most, with the place where each peaks.

    A feature fires in a row where the feature columns hold it, so above their cut-off.

    Of an example (`like=`) those 10 features count that it activates most beside the rows of the dataset: with the
    largest

        v / m * log((N + 1) / n),

    v the feature's activation in the example, m its mean activation over the n of the N rows in which it fires. As in
    tf-idf, a feature that fires in nearly all rows weighs next to nothing, however strong it is. Those that no row has
    come last, by falling v.

    Args:
        dataset: texts or chats with feature columns and their spans.
        features: ids; or words, in one text or several, all of which have to occur in a feature's name as whole words,
            whatever their case.
        like: a text, in place of `features`: those that it activates most beside the rows.
        top: rows of each feature, at most.
        feature_names: names by id, or a feature table with names; by default those that ship with the embedded SAE.
        extractor: the one that made the feature columns, to read the example.
        column: of the texts; by default the one known name that is present.

    Returns:
        A dataset of `feature_id`; `name`, or None; `n_rows`, in how many rows the feature fires; `row`; `activation`;
        and `span`, an excerpt around the peak (`text`, and `start` and `end` of the token where the feature peaks).
        Features stand in the order given, those with the words by id, and those of an example as it activates them;
        the rows of each by falling activation, of equal ones the lower first. A feature that fires in no row has one
        entry, with `n_rows` 0 and None for row, activation and span. `found_in_words` shows it as text.

    Raises:
        OptionError: an option has no meaning, no feature has a name with the words, or the example activates none.
        ColumnError: the dataset has no feature columns with spans, or it is not clear what its texts are.
        DatasetError: it is several splits, or a stream, whose rows are not kept for their texts.
        RowError: a row has no features, or damaged ones; see `coverage`.
        FeatureSpaceMismatch: the extractor or the table of names is of another space.

    Example:
        >>> found = find_rows(anchor, like="It rains in Paris.", extractor=extractor, top=3)
        >>> found.column_names
        ['feature_id', 'name', 'n_rows', 'row', 'activation', 'span']
        >>> find_rows(anchor, found["feature_id"][0], top=1)["row"] == found["row"][:1]
        True
    """
    require_choice(features, like, top)
    require_dataset(dataset, "the dataset")
    prefix = RowReader(dataset.features, column).prefix
    space = dataset_space(dataset, prefix)
    names = names_at_hand(feature_names, None, space).names
    for part in ("starts", "ends"):
        require_column(dataset.column_names, f"{prefix}feature_{part}")
    if like is None:
        wanted = features_named(features, names)
    else:
        wanted = _features_of_example(like, dataset, prefix, space, extractor)
    counts, peaks = _strongest(dataset, prefix, wanted, top)
    spans = _spans(peaks, dataset, RowReader(dataset.features, column, space.parts))
    found = []
    for feature in wanted.tolist():
        known = {"feature_id": feature, "name": names.get(feature), "n_rows": counts[feature]}
        places = np.flatnonzero(peaks.ids == feature)
        if not len(places):
            found.append({**known, "row": None, "activation": None, "span": None})
        found += [
            {**known, "row": int(peaks.rows[i]), "activation": float(peaks.values[i]), "span": spans[i]} for i in places
        ]
    return _table(found)


def found_in_words(found: datasets.Dataset) -> list[str]:
    """What `find_rows` found as lines of text: each feature, and its rows with the token marked where it peaks.

    Texts are shown as `**` marks them for a language model: on one line, without characters that control a terminal.

    Example:
        >>> print(*found_in_words(find_rows(anchor, 7, feature_names={7: "rain"})), sep="\\n")
        7 (rain): fires in ...
    """
    lines: list[str] = []
    feature = None
    for row in found:
        if row["feature_id"] != feature:
            feature = row["feature_id"]
            n_rows = row["n_rows"]
            rows = f"{n_rows:,} row{'s' if n_rows > 1 else ''}" if n_rows else "no row"
            lines.append(f"{in_words([feature], {feature: row['name'] or ''})}: fires in {rows}")
        if row["row"] is not None:
            shown = one_line(excerpt(row["span"], marked=True))
            lines.append(f"  row {row['row']:,}, {row['activation']:.2f}: {shown}")
    return lines


def require_choice(features: Any, like: Any, top: Any) -> None:
    """Raise OptionError unless features are named in one way, and the number of rows is one."""
    if (features is None) == (like is None):
        raise OptionError("name features by id or by words of their names, or give an example with like=: one of them")
    if like is not None and not isinstance(like, str):
        raise OptionError(f"like= is of type {type(like).__name__}; give a text")
    if not isinstance(top, int | np.integer) or isinstance(top, bool) or top < 1:
        raise OptionError(f"top={top!r} is no number of rows; choose a whole number from 1")


def features_named(features: Any, names: Mapping[int, str]) -> NDArray[np.int64]:
    """Ids that are given, each once, or those of the features whose names have all the given words.

    Args:
        features: see `find_rows`.
        names: of features, by id.

    Raises:
        OptionError: there are none.

    Example:
        >>> features_named("Hot tea", {4: "tea", 7: '"tea" after "hot"'})
        array([7])
    """
    if isinstance(features, int | np.integer) and not isinstance(features, bool):
        features = [features]
    texts = [features] if isinstance(features, str) else features
    if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
        return _with_words(" ".join(texts).casefold().split(), names)
    ids = feature_ids(features, "features")
    if not len(ids):
        raise OptionError("features= names none; give ids, words of names, or an example with like=")
    return np.array([*dict.fromkeys(ids.tolist())], dtype=np.int64)


def _with_words(words: list[str], names: Mapping[int, str]) -> NDArray[np.int64]:
    if not words:
        raise OptionError("features= holds no word; give words of names, ids, or an example with like=")
    if not names:
        raise OptionError(
            f"no names are known of these features, in which {' '.join(words)!r} could occur; give a table that "
            f"explain() named with feature_names= (--names), or ids"
        )
    patterns = [_whole(word) for word in words]
    folded = {feature: name.casefold() for feature, name in names.items()}
    found = [feature for feature, name in folded.items() if all(pattern.search(name) for pattern in patterns)]
    if not found:
        near = _nearest(words, folded)
        told = f"near are {in_words(near, names)}" if near else "none comes near"
        every = "the word" if len(words) == 1 else "all the words"
        raise OptionError(f"no feature has a name with {every} {' '.join(words)!r}; {told}")
    return np.array(sorted(found), dtype=np.int64)


def _whole(word: str) -> re.Pattern[str]:
    """Finds a word where it is no part of a longer one; a word is whatever stands between blanks."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    behind = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return re.compile(before + re.escape(word) + behind)


def _nearest(words: Sequence[str], folded: Mapping[int, str]) -> list[int]:
    """The features whose names have most of some words, or words spelt much like them."""
    held = {feature: {*re.findall(r"\w+", name)} for feature, name in folded.items()}
    known = sorted(set().union(*held.values()))
    alike = [{word: 1.0} | _alike(word, known) for word in words]
    scores = {
        feature: sum(max((near.get(part, 0.0) for part in parts), default=0.0) for near in alike)
        for feature, parts in held.items()
    }
    best = sorted((feature for feature, score in scores.items() if score), key=lambda i: (-scores[i], i))
    return best[:_NEAR]


def _alike(word: str, known: Sequence[str]) -> dict[str, float]:
    """Known words spelt like one, with how much."""
    found = difflib.get_close_matches(word, known, n=5)
    return {other: difflib.SequenceMatcher(None, word, other).ratio() for other in found}


def _features_of_example(
    text: str, dataset: datasets.Dataset, prefix: str, space: FeatureSpace, extractor: FeatureExtractor | None
) -> NDArray[np.int64]:
    """The features that a text activates most beside the rows of a dataset; see `find_rows`."""
    if extractor is None:
        raise OptionError("like= needs extractor=, the one that made the feature columns")
    require_same_but_threshold(space, extractor.feature_space)
    columns = extractor.extract([text])
    ids, values = np.asarray(columns["feature_ids"][0], np.int64), np.asarray(columns["feature_activations"][0])
    if not len(ids):
        raise OptionError(f"like={one_line(text)[:60]!r} activates no feature; give a text of some words")
    # Ids of an extractor rise.
    counts, sums = np.zeros(len(ids), np.int64), np.zeros(len(ids))
    n_rows = 0
    for batch in feature_batches(dataset, prefix):
        there = row_features(batch, prefix, first_row=n_rows)
        known = np.isin(there.ids, ids)
        places = np.searchsorted(ids, there.ids[known])
        counts += np.bincount(places, minlength=len(ids))
        sums += np.bincount(places, there.values[known], minlength=len(ids))
        n_rows += len(there.lengths)
    fired = counts > 0
    scores = np.zeros(len(ids))
    scores[fired] = values[fired] * counts[fired] / sums[fired] * np.log((n_rows + 1) / counts[fired])
    order = np.lexsort((ids, -values, -scores))
    return ids[order][:LIKE]


def _strongest(
    dataset: datasets.Dataset, prefix: str, wanted: NDArray[np.int64], top: int
) -> tuple[dict[int, int], _Peaks]:
    """In how many rows each feature fires, and where it does so most, by feature, falling activation and row."""
    counts = dict.fromkeys(wanted.tolist(), 0)
    parts = ["ids", "activations", "starts", "ends"]
    has_messages = f"{prefix}feature_messages" in dataset.column_names
    names = [f"{prefix}feature_{part}" for part in parts + ["messages"] * has_messages]
    kept = _Peaks(*(np.zeros(0, kind) for kind in (np.int64, np.float32, *[np.int64] * 4)))
    first = 0
    for batch in dataset.select_columns(names).with_format("arrow").iter(batch_size=_ROWS):
        lengths, ids, values = row_features(batch, prefix, first_row=first)
        is_wanted = np.isin(ids, wanted)
        places = [_places(batch, name, lengths, first)[is_wanted] for name in names[2:]]
        if not has_messages:
            places.append(np.zeros(int(is_wanted.sum()), np.int64))
        rows = np.repeat(np.arange(first, first + len(lengths)), lengths)[is_wanted]
        new = _Peaks(ids[is_wanted], values[is_wanted], rows, *places)
        for feature, count in zip(*(part.tolist() for part in np.unique(new.ids, return_counts=True)), strict=True):
            counts[feature] += count
        joined: list[Any] = [np.concatenate([*pair]) for pair in zip(kept, new, strict=True)]
        both = _Peaks(*joined)
        both = both.at(np.lexsort((both.rows, -both.values, both.ids)))
        kept = both.at(ranks(both.ids) < top)
        first += len(lengths)
    return counts, kept


def _places(batch: Any, name: str, lengths: NDArray[np.int64], first_row: int) -> NDArray[np.int64]:
    """A column of places, one for each feature of each row of a batch."""
    found, places = flatten(batch[name], np.int64)
    if (odd := found != lengths).any():
        row = int(odd.argmax())
        raise RowError(
            first_row + row,
            f"has {lengths[row]} features and {found[row]} numbers in {name}; extract its features anew",
            of_batch=False,
        )
    return places


def _spans(peaks: _Peaks, dataset: datasets.Dataset, reader: RowReader) -> list[dict[str, Any]]:
    """An excerpt around each peak."""
    wanted = np.unique(peaks.rows)
    texts: dict[int, list[str]] = {}
    held = dataset.select_columns(list(reader.columns)).with_format("arrow")
    for begin in range(0, len(wanted), _ROWS):
        numbers = wanted[begin : begin + _ROWS]
        texts |= zip(numbers.tolist(), map(own_texts, reader.read(held[numbers])), strict=True)
    places = zip(*(part.tolist() for part in (peaks.rows, peaks.messages, peaks.starts, peaks.ends)), strict=True)
    return [_around(texts[row], row, message, start, end) for row, message, start, end in places]


def _around(texts: Sequence[str], row: int, message: int, start: int, end: int) -> dict[str, Any]:
    """The text around a token, with whole words at either end where these are not long."""
    text = texts[message] if 0 <= message < len(texts) else ""
    if not 0 <= start < end <= len(text):
        raise RowError(
            row,
            f"has a feature that peaks at characters {start} to {end} of a text of {len(text)}: the text is another "
            f"one than that whose features these are; extract them anew",
            of_batch=False,
        )
    before, behind = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
    if start > CONTEXT:
        before = re.sub(r"\A\S*\s+", "", before) or before
    if end + CONTEXT < len(text):
        behind = re.sub(r"\s+\S*\Z", "", behind) or behind
    return {"text": before + text[start:end] + behind, "start": len(before), "end": len(before) + end - start}


def _table(found: list[dict[str, Any]]) -> datasets.Dataset:
    from datasets import Features, Value

    kinds = {"feature_id": "int64", "name": "string", "n_rows": "int64", "row": "int64", "activation": "float32"}
    span = {"text": Value("string"), "start": Value("int32"), "end": Value("int32")}
    return dataset_of(found, Features({**{name: Value(kind) for name, kind in kinds.items()}, "span": span}))
