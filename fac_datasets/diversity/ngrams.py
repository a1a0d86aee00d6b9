"""Texts become words, and words n-grams, in arrays: no Python object for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import regex
from numpy.typing import NDArray

from fac_datasets.errors import ColumnError, DatasetError, OptionError, RowError

Tokenize = Callable[[str], Sequence[str] | Sequence[int]]
"""Takes a text and gives its tokens, texts or whole numbers."""

_TEXTS_AT_ONCE = 2_000
"""Texts that are split at the same time: few enough for their characters to stay in a processor's cache."""


class Tokens(NamedTuple):
    """The tokens of texts, as numbers."""

    ids: NDArray[np.int64]
    """Which token stands where, text after text, in [0, n_types), [n_tokens]."""
    lengths: NDArray[np.int64]
    """Tokens of each text, [n_texts]."""
    n_types: int
    """Different tokens."""


class NGrams(NamedTuple):
    """The n-grams of texts, as numbers."""

    ids: NDArray[np.int64]
    """Which n-gram stands where, text after text, [n_ngrams]."""
    rows: NDArray[np.int64]
    """Text of each, rising, [n_ngrams]."""

    def counts(self) -> NDArray[np.int64]:
        """How often each different n-gram occurs."""
        counts = np.bincount(self.ids) if len(self.ids) else np.empty(0, np.int64)
        return counts[counts > 0]


def words(text: str) -> list[str]:
    """The words of a text, as all measures take them where no other way is given.

    A word is a run of Unicode word characters (letters, marks, digits, underscores), or a run of other visible ones, in
    lower case, as nltk's `wordpunct_tokenize` splits. Languages that are written without spaces need a tokenizer of
    their own.

    Example:
        >>> words("Don't panic, Zoë!")
        ['don', "'", 't', 'panic', ',', 'zoë', '!']
    """
    ((_, flat),) = _words([text])
    found: list[str] = flat.to_pylist()
    return found


def tokens_of(texts: Sequence[str], tokenize: Tokenize | None = None) -> Tokens:
    """The tokens of texts.

    Args:
        texts: any number.
        tokenize: used in place of `words`.

    Raises:
        DatasetError: there are no texts.
        RowError: a row is no text.
    """
    if tokenize is None:
        return _numbered(_words(texts))
    return tokens_of_lists(tokenize(text) for text in require_texts(texts))


def tokens_of_lists(lists: Iterable[Sequence[Any]]) -> Tokens:
    """The tokens of texts that others have split."""

    def parts() -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
        rest = iter(lists)
        while some := list(islice(rest, _TEXTS_AT_ONCE)):
            lengths = np.fromiter(map(len, some), np.int64, len(some))
            try:
                yield lengths, pa.array([token for tokens in some for token in tokens])
            except pa.ArrowException as error:
                raise OptionError(f"tokens must all be texts, or all be whole numbers: {error}") from error

    return _numbered(parts())


def ngrams(tokens: Tokens, n: int) -> NGrams:
    """All n-grams that lie within a text; n is at least 1."""
    if n > tokens.lengths.max():
        return NGrams(np.empty(0, np.int64), np.empty(0, np.int64))
    ids = tokens.ids
    for start in range(1, n):
        # Numbered anew at each length, so that no product leaves 64 bits.
        ids = _distinct(ids[:-1] * max(1, tokens.n_types) + tokens.ids[start:])
    rows = np.repeat(np.arange(len(tokens.lengths)), tokens.lengths)
    ends = tokens.lengths.cumsum()
    starts_one = np.arange(len(ids)) + n <= ends[rows[: len(ids)]]
    return NGrams(ids[starts_one], rows[: len(ids)][starts_one])


def require_texts(texts: Sequence[str], first: int = 0) -> Sequence[str]:
    """The texts, unless one is something else.

    Args:
        texts: any number.
        first: row that the first one stands in.

    Raises:
        RowError: a row is no text.
        ColumnError: there is one text in place of a list.
    """
    if isinstance(texts, str):
        raise ColumnError("one text is given in place of a list of texts; put it into a list")
    for row, text in enumerate(texts, first):
        if not isinstance(text, str):
            raise RowError(row, f"holds {type(text).__name__}; expected a text", of_batch=False)
    return texts


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """Of each code point whether it is white space (0), part of a word (1) or something else (2)."""
    surrogates = range(0xD800, 0xE000)
    every = "".join(" " if point in surrogates else chr(point) for point in range(0x110000))
    kinds = np.full(len(every), 2, np.uint8)
    for pattern, kind in ((r"\w+", 1), (r"\s+", 0)):
        for run in regex.finditer(pattern, every):
            kinds[run.start() : run.end()] = kind
    return kinds


def _words(texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
    """How many words each text of a part has, and the words."""
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        lowered = [text.lower() for text in require_texts(texts[start : start + _TEXTS_AT_ONCE], start)]
        try:
            points = np.frombuffer("".join(lowered).encode("utf-32-le"), np.uint32)
        except UnicodeEncodeError as error:
            raise OptionError(f"a text is not valid Unicode ({error.reason}); repair it or leave it out") from error
        ends = np.fromiter(map(len, lowered), np.int64, len(lowered)).cumsum()
        kinds = _kinds()[points]
        starts_run = np.ones(len(points), dtype=bool)
        np.not_equal(kinds[1:], kinds[:-1], out=starts_run[1:])
        starts_run[ends[ends < len(points)]] = True
        visible = kinds > 0
        starts_word = starts_run & visible
        n_words = np.diff(np.concatenate([[0], starts_word.cumsum()])[ends], prepend=0)
        # Without white space each word ends where the next begins, as Arrow stores strings.
        kept = points.compress(visible)
        n_bytes = np.ones(len(kept), np.uint8)
        for limit in (0x7F, 0x7FF, 0xFFFF):
            n_bytes += kept > limit
        bounds = np.append(np.flatnonzero(starts_word.compress(visible)), len(kept))
        offsets = np.concatenate([[0], n_bytes.cumsum(dtype=np.int64)])[bounds]
        content = kept.tobytes().decode("utf-32-le").encode()
        buffers = pa.py_buffer(offsets), pa.py_buffer(content)
        yield n_words, pa.LargeStringArray.from_buffers(len(bounds) - 1, *buffers)


def _numbered(parts: Iterable[tuple[NDArray[np.int64], pa.Array]]) -> Tokens:
    lengths, encoded = [np.empty(0, np.int64)], []
    for of_texts, flat in parts:
        lengths.append(of_texts)
        if len(flat):
            encoded.append(flat.dictionary_encode())
    n_tokens = np.concatenate(lengths)
    if not len(n_tokens):
        raise DatasetError("there are no texts; diversity needs at least one")
    if not encoded:
        return Tokens(np.empty(0, np.int64), n_tokens, 0)
    chunks = pa.chunked_array(encoded).unify_dictionaries().chunks
    ids = np.concatenate([chunk.indices.to_numpy() for chunk in chunks]).astype(np.int64)
    return Tokens(ids, n_tokens, len(chunks[0].dictionary))


def _distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The values numbered in the order in which they first occur."""
    numbered: NDArray[np.int64] = pa.array(values).dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbered
