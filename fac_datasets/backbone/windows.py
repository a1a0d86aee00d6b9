"""Rendered rows become windows: tokenized, own tokens marked, split where long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.backbone.rendering import NOTHING, RenderedRow, render_row, require_render
from fac_datasets.backbone.tokenizing import SpecialTokens, tokenize
from fac_datasets.errors import OptionError, RowError
from fac_datasets.rows.row import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_OVERLAP = 4
"""One part in this many of a window repeats the end of the window before, as context only."""


class Window(NamedTuple):
    """A stretch of one row's tokens that fits the backbone."""

    row: int
    """Index of the row in the batch."""
    token_ids: NDArray[np.int64]
    """Tokens to run, [n_tokens]."""
    own: NDArray[np.bool_]
    """Whether a token belongs to the row's own text and is pooled from this window, [n_tokens]."""
    starts: NDArray[np.int32]
    """First character of each token, in the text or in its message, [n_tokens]; meaningful for own tokens."""
    ends: NDArray[np.int32]
    """Character behind each token, [n_tokens]; meaningful for own tokens."""
    messages: NDArray[np.int32]
    """Index of the message of each token, [n_tokens]; 0 for a text."""
    prefix: int = 0
    """Tokens before the row's first own token, which each of its windows starts with."""


def row_windows(
    tokenizer: Any,
    rows: Sequence[Row],
    *,
    render: str,
    max_length: int,
    roles: Sequence[str] | None = None,
    truncate: bool = False,
    escape_special: bool = False,
    refused: list[RowError] | None = None,
) -> Iterator[Window]:
    """Turn rows into windows of at most `max_length` tokens, with the own tokens of each marked.

    A rendered row that fits is one window. A longer one becomes several: each starts with the tokens before the first
    own token (template and beginning-of-text), so that no own token stands where attention sinks form, and repeats a
    quarter of the window before as context. Every own token is pooled from exactly one window.

    Args:
        tokenizer: a fast tokenizer of transformers.
        rows: texts, texts of parts, lists of messages, or None.
        render: `"chat"` or `"raw"`.
        max_length: tokens in a window, at least 16.
        roles: roles whose messages are the row's own; None means all but `system` and `developer`, and of an `Answer`
            the last.
        truncate: keep only the first window.
        escape_special: read special tokens that a text spells as plain characters, not as the template's own.
        refused: takes the error of each row that cannot be read, which then yields no window.

    Yields:
        Windows in the order of the rows; a row without own tokens yields none.

    Raises:
        RowError: a row cannot be read, and `refused` is not given.
    """
    if max_length < 16:
        raise OptionError(f"max_length={max_length} leaves no room for text; the least is 16 tokens")
    require_render(render)
    special = SpecialTokens(tokenizer) if escape_special else None
    rendered = []
    for i, row in enumerate(rows):
        try:
            if special is not None:
                special.require_none_beside(row, i)
            rendered.append(render_row(tokenizer, row, render=render, roles=roles, index=i))
        except RowError as error:
            if refused is None:
                raise
            refused.append(error)
            rendered.append(NOTHING)
    filled = [i for i, row in enumerate(rendered) if row.contents]
    if not filled:
        return
    encodings = tokenize(
        tokenizer, [rendered[i] for i in filled], add_special_tokens=render == "raw", escape_special=escape_special
    )
    for i, (token_ids, offsets) in zip(filled, encodings, strict=True):
        whole = _mark_own_tokens(i, rendered[i], token_ids, offsets)
        # A text may spell a special token, which never pools.
        whole.own[np.isin(whole.token_ids, tokenizer.all_special_ids)] = False
        if render == "raw":
            whole = _with_beginning(tokenizer, whole)
        if whole.own.any():
            yield from _split(_within_template(whole), max_length, truncate)


def _mark_own_tokens(
    row: int, rendered: RenderedRow, token_ids: NDArray[np.int64], offsets: NDArray[np.int64]
) -> Window:
    own = np.zeros(len(token_ids), dtype=bool)
    starts = np.zeros(len(token_ids), dtype=np.int32)
    ends = np.zeros(len(token_ids), dtype=np.int32)
    messages = np.zeros(len(token_ids), dtype=np.int32)
    for message, begin, end, stripped in rendered.contents:
        inside = (offsets[:, 0] < end) & (offsets[:, 1] > begin) & (offsets[:, 1] > offsets[:, 0])
        own |= inside
        starts[inside] = np.maximum(offsets[inside, 0], begin) - begin + stripped
        ends[inside] = np.minimum(offsets[inside, 1], end) - begin + stripped
        messages[inside] = message
    return Window(row, token_ids, own, starts, ends, messages)


def beginning(tokenizer: Any, token_ids: Sequence[int] | NDArray[np.int64]) -> list[int]:
    """The special token that goes before the tokens of a text without a template, unless they begin with one.

    The first position is an attention sink, whose features say nothing of the text.

    Args:
        tokenizer: of the backbone.
        token_ids: of the text.

    Returns:
        One token, the end token where the tokenizer has none for beginnings; none where it has neither, where the text
        begins with a special token, and where there is no text.

    Example:
        >>> from types import SimpleNamespace
        >>> tokenizer = SimpleNamespace(bos_token_id=1, eos_token_id=2, all_special_ids=[1, 2])
        >>> beginning(tokenizer, [504, 282]), beginning(tokenizer, [1, 504, 282])
        ([1], [])
    """
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None or not len(token_ids) or token_ids[0] in tokenizer.all_special_ids:
        return []
    return [int(first)]


def _with_beginning(tokenizer: Any, window: Window) -> Window:
    first = beginning(tokenizer, window.token_ids)
    if not first:
        return window
    zero = np.zeros(len(first), dtype=np.int32)
    return Window(
        window.row,
        np.concatenate([np.array(first, dtype=np.int64), window.token_ids]),
        np.concatenate([zero.astype(bool), window.own]),
        np.concatenate([zero, window.starts]),
        np.concatenate([zero, window.ends]),
        np.concatenate([zero, window.messages]),
    )


def _within_template(window: Window) -> Window:
    """Without what the template puts behind the last own token, which causal attention never carries back to it."""
    first, last = np.flatnonzero(window.own)[[0, -1]]
    return _take(window, np.arange(last + 1), pooled_from=0)._replace(prefix=int(first))


def _split(whole: Window, max_length: int, truncate: bool) -> Iterator[Window]:
    n_tokens = len(whole.token_ids)
    if n_tokens <= max_length or truncate:
        first = _take(whole, np.arange(min(n_tokens, max_length)), pooled_from=0)
        if first.own.any():
            yield first
        return
    prefix = min(whole.prefix, max_length // 2)
    whole = whole._replace(prefix=prefix)
    body = max_length - prefix
    overlap = body // WINDOW_OVERLAP
    done = prefix
    while done < n_tokens:
        begin = prefix if done == prefix else done - overlap
        end = min(begin + body, n_tokens)
        window = _take(
            whole, np.concatenate([np.arange(prefix), np.arange(begin, end)]), pooled_from=prefix + done - begin
        )
        if window.own.any():
            yield window
        done = end


def _take(whole: Window, positions: NDArray[np.int64], pooled_from: int) -> Window:
    own = whole.own[positions].copy()
    own[:pooled_from] = False
    return Window(
        whole.row,
        whole.token_ids[positions],
        own,
        whole.starts[positions],
        whole.ends[positions],
        whole.messages[positions],
        whole.prefix,
    )
