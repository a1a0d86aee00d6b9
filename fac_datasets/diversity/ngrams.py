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

from fac_datasets.errors import OptionError
from fac_datasets.rows.inputs import texts_of

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
    lower case, as nltk's `wordpunct_tokenize` splits lower-cased text (from nltk 3.10 on; before, marks were none of
    it). Languages that are written without spaces need a tokenizer of their own.

    Example:
        >>> words("Don't panic, Zoë!")
        ['don', "'", 't', 'panic', ',', 'zoë', '!']
    """
    ((_, flat),) = _words([text])
    found: list[str] = flat.to_pylist()
    return found


def tokens_of(texts: Any, tokenize: Tokenize | None = None) -> Tokens:
    """The tokens of texts.

    Args:
        texts: any number; see `fac_datasets.rows.inputs.texts_of`.
        tokenize: used in place of `words`.

    Raises:
        OptionError: `tokenize` is no function, or gives something else than lists of texts or of whole numbers.
        ColumnError, DatasetError, RowError: see `fac_datasets.rows.inputs.texts_of`.
    """
    require_tokenizer(tokenize)
    if tokenize is None:
        return _numbered(_words(texts_of(texts)))
    return tokens_of_lists(token_lists(texts, tokenize))


def require_tokenizer(tokenize: Any) -> None:
    """Raise OptionError unless it is a function or None."""
    if tokenize is not None and not callable(tokenize):
        raise OptionError(f"tokenize={tokenize!r} is no function; give one from a text to the list of its tokens")


def token_lists(texts: Any, tokenize: Tokenize) -> Iterator[Sequence[Any]]:
    """The tokens of each text, by a function of the caller's."""
    for text in texts_of(texts):
        tokens = tokenize(text)
        if isinstance(tokens, str) or not hasattr(tokens, "__len__"):
            raise OptionError(f"tokenize gives {type(tokens).__name__} in place of a list of tokens")
        yield tokens


def tokens_of_lists(lists: Iterable[Sequence[Any]]) -> Tokens:
    """The tokens of texts that others have split."""

    def parts() -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
        rest = iter(lists)
        while some := list(islice(rest, _TEXTS_AT_ONCE)):
            lengths = np.fromiter(map(len, some), np.int64, len(some))
            yield lengths, _tokens(some)

    return _numbered(parts())


def _tokens(lists: list[Sequence[Any]]) -> pa.Array:
    try:
        tokens = pa.array([token for tokens in lists for token in tokens])
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise OptionError(f"tokens must all be texts, or all be whole numbers of 64 bits: {error}") from error
    if len(tokens) and not (pa.types.is_string(tokens.type) or pa.types.is_integer(tokens.type)):
        raise OptionError(f"tokens must all be texts, or all be whole numbers of 64 bits; these are {tokens.type}")
    return tokens


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


def _words(texts: list[str]) -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
    """How many words each text of a part has, and the words."""
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        lowered = [text.lower() for text in texts[start : start + _TEXTS_AT_ONCE]]
        points = np.frombuffer("".join(lowered).encode("utf-32-le"), np.uint32)
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
    if not encoded:
        return Tokens(np.empty(0, np.int64), n_tokens, 0)
    chunks = pa.chunked_array(encoded).unify_dictionaries().chunks
    ids = np.concatenate([chunk.indices.to_numpy() for chunk in chunks]).astype(np.int64)
    return Tokens(ids, n_tokens, len(chunks[0].dictionary))


def _distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The values numbered in the order in which they first occur."""
    numbered: NDArray[np.int64] = pa.array(values).dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbered
