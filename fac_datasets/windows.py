"""Rows become windows: rendered as a chat or raw, tokenized, own tokens marked, split where long, batched by length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.columns import as_text, normalise_message
from fac_datasets.errors import BackboneError, OptionError, RowError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Message = Mapping[str, Any]
Row = str | Sequence[Message] | None
"""What a row holds: a text, a list of chat messages, or nothing."""

MAX_CHARACTERS = 1_000_000
"""A longer row is refused: it is nearly always damage, and would take minutes."""

WORTH_SHARING = 512
"""Tokens that a shared head must save."""

_PADDING = 0.05
"""A batch ends where more of it would be padding."""

_LEAST_BATCH = 256
"""Tokens of a batch up to which its padding does not matter."""

_HEAD_COPIES = 4
"""Tokens of a batch with its copies of a shared head, in token budgets."""

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
    head: int = 0
    """Tokens before the row's first own token, which each of its windows starts with."""


class RenderedRow(NamedTuple):
    """A row as the backbone reads it."""

    text: str
    """The whole rendered string."""
    contents: list[tuple[int, int, int, int]]
    """Of each pooled content: message index, first and last character in `text`, and the characters that the template
    stripped from the content's start."""


def require_render(render: str) -> None:
    """Raise OptionError unless this is a way to render text."""
    if render not in ("chat", "raw"):
        raise OptionError(f"render={render!r} is neither 'chat' nor 'raw'")


def row_windows(
    tokenizer: Any,
    rows: Sequence[Row],
    *,
    render: str,
    max_length: int,
    roles: Sequence[str] | None = None,
    truncate: bool = False,
    refused: list[RowError] | None = None,
) -> Iterator[Window]:
    """Turn rows into windows of at most `max_length` tokens, with the own tokens of each marked.

    A rendered row that fits is one window. A longer one becomes several: each starts with the tokens before the first
    own token (template and beginning-of-text), so that no own token stands where attention sinks form, and repeats a
    quarter of the window before as context. Every own token is pooled from exactly one window.

    Args:
        tokenizer: a fast tokenizer of transformers.
        rows: texts, lists of messages, or None.
        render: `"chat"` or `"raw"`.
        max_length: tokens in a window, at least 16.
        roles: roles whose messages are the row's own; None means all but `system`.
        truncate: keep only the first window.
        refused: takes the error of each row that cannot be read, which then yields no window.

    Yields:
        Windows in the order of the rows; a row without own tokens yields none.

    Raises:
        RowError: a row cannot be read, and `refused` is not given.
    """
    if max_length < 16:
        raise OptionError(f"max_length={max_length} leaves no room for text; the least is 16 tokens")
    require_render(render)
    rendered = []
    for i, row in enumerate(rows):
        try:
            rendered.append(render_row(tokenizer, row, render=render, roles=roles, index=i))
        except RowError as error:
            if refused is None:
                raise
            refused.append(error)
            rendered.append(RenderedRow("", []))
    filled = [i for i, row in enumerate(rendered) if row.contents]
    if not filled:
        return
    encodings = tokenizer(
        [rendered[i].text for i in filled],
        add_special_tokens=render == "raw",
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    for i, token_ids, offsets in zip(filled, encodings["input_ids"], encodings["offset_mapping"], strict=True):
        whole = _mark_own_tokens(i, rendered[i], np.asarray(token_ids, np.int64), np.asarray(offsets, np.int64))
        # A text may spell a special token; that never pools either.
        whole.own[np.isin(whole.token_ids, tokenizer.all_special_ids)] = False
        if render == "raw":
            whole = _with_beginning(tokenizer, whole)
        if whole.own.any():
            yield from _split(_within_template(whole), max_length, truncate)


def render_row(tokenizer: Any, row: Row, *, render: str, roles: Sequence[str] | None, index: int) -> RenderedRow:
    """Render one row and locate the contents that are its own; see `row_windows`."""
    text = as_text(row, index)
    if not text.strip():
        return RenderedRow("", [])
    if len(text) > MAX_CHARACTERS:
        raise RowError(
            index, f"holds {len(text):,} characters; the limit is {MAX_CHARACTERS:,}: split it into several rows"
        )
    if not text.isascii():
        _require_unicode(text, index)
    if isinstance(row, str):
        if render == "raw":
            return RenderedRow(row, [(0, 0, len(row), 0)])
        row = [{"role": "user", "content": row}]
    elif render == "raw":
        raise RowError(index, 'is a chat, which render="raw" cannot read; use render="chat"')
    messages = [normalise_message(message, index) for message in row or ()]
    pooled = [
        bool(message["content"].strip()) and (message["role"] in roles if roles else message["role"] != "system")
        for message in messages
    ]
    if not any(pooled):
        return RenderedRow("", [])
    return _render_chat(tokenizer, messages, pooled, index)


def _require_unicode(text: str, index: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(
            index, f"is no valid text: {error.reason} at character {error.start}; repair it or leave it out"
        ) from error


def _render_chat(tokenizer: Any, messages: list[dict[str, Any]], pooled: list[bool], index: int) -> RenderedRow:
    """Apply the chat template and locate each content by the template's own text around it."""
    text = _apply_template(tokenizer, messages, index)
    pieces = _template_pieces(tokenizer, messages, index)
    contents: list[tuple[int, int, int, int]] = []
    position = len(pieces[0])
    exact = text.startswith(pieces[0])
    for i, (message, piece) in enumerate(zip(messages, pieces[1:], strict=True)):
        verbatim = message["content"]
        # Many templates strip the content; the template's next piece tells which form it kept.
        for form in (verbatim, verbatim.strip()):
            end = position + len(form)
            if text.startswith(form, position) and text.startswith(piece, end):
                break
        else:
            exact = False
            break
        if pooled[i]:
            stripped = len(verbatim) - len(verbatim.lstrip()) if form != verbatim else 0
            contents.append((i, position, end, stripped))
        position = end + len(piece)
    if not exact or position != len(text):
        raise RowError(
            index,
            "holds a message whose text the chat template changes, so its own tokens cannot be told from the "
            'template\'s; use render="raw" on a text column',
        )
    return RenderedRow(text, contents)


def _apply_template(tokenizer: Any, messages: list[dict[str, Any]], index: int) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except TemplateError as error:
        raise RowError(
            index, f'cannot be rendered by the chat template ({error}); use render="raw" on a text column'
        ) from error
    except ValueError as error:
        raise BackboneError(f'the tokenizer cannot render chats ({error}); use render="raw"') from error


def _template_pieces(tokenizer: Any, messages: list[dict[str, Any]], index: int) -> list[str]:
    """The template's text before, between and behind the contents, found by rendering placeholders in their place."""
    marks = [f"\ue000{i}\ue001" for i in range(len(messages))]
    placed = [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
    rest = _apply_template(tokenizer, placed, index)
    pieces = []
    for mark in marks:
        piece, _, rest = rest.partition(mark)
        pieces.append(piece)
    return [*pieces, rest]


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


def _with_beginning(tokenizer: Any, window: Window) -> Window:
    """Put a special token first: the first position is an attention sink, whose features say nothing of the text."""
    beginning = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if beginning is None or not len(window.token_ids) or window.token_ids[0] in tokenizer.all_special_ids:
        return window
    zero = np.zeros(1, dtype=np.int32)
    return Window(
        window.row,
        np.concatenate([np.array([beginning], dtype=np.int64), window.token_ids]),
        np.concatenate([np.array([False]), window.own]),
        np.concatenate([zero, window.starts]),
        np.concatenate([zero, window.ends]),
        np.concatenate([zero, window.messages]),
    )


def _within_template(window: Window) -> Window:
    """Without what the template puts behind the last own token, which causal attention never carries back to it."""
    first, last = np.flatnonzero(window.own)[[0, -1]]
    return _take(window, np.arange(last + 1), pooled_from=0)._replace(head=int(first))


def _split(whole: Window, max_length: int, truncate: bool) -> Iterator[Window]:
    n_tokens = len(whole.token_ids)
    if n_tokens <= max_length or truncate:
        first = _take(whole, np.arange(min(n_tokens, max_length)), pooled_from=0)
        if first.own.any():
            yield first
        return
    head = min(whole.head, max_length // 2)
    whole = whole._replace(head=head)
    body = max_length - head
    overlap = body // WINDOW_OVERLAP
    done = head
    while done < n_tokens:
        begin = head if done == head else done - overlap
        end = min(begin + body, n_tokens)
        window = _take(whole, np.concatenate([np.arange(head), np.arange(begin, end)]), pooled_from=head + done - begin)
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
        whole.head,
    )


class Batch(NamedTuple):
    """Windows of similar length that run together."""

    windows: list[Window]
    indices: list[int]
    """Index of each among the windows that were batched."""
    head: int
    """Leading tokens that are the same in all of them and need to run only once; 0 where that is not worth it."""

    def halves(self) -> tuple[Batch, Batch]:
        """The batch in two."""
        middle = len(self.windows) // 2
        return (
            Batch(self.windows[:middle], self.indices[:middle], self.head),
            Batch(self.windows[middle:], self.indices[middle:], self.head),
        )


def batches_by_tokens(windows: Sequence[Window], batch_tokens: int, *, share_heads: bool) -> Iterator[Batch]:
    """Group windows of similar length, so that a padded batch holds at most `batch_tokens` tokens and little padding.

    Args:
        windows: in any order.
        batch_tokens: most tokens of a batch, padding included; a longer window is a batch of its own.
        share_heads: find heads that need to run only once.

    Yields:
        The longest windows of each head first.
    """
    for head, indices in _by_head(windows) if share_heads else [(0, list(range(len(windows))))]:
        indices.sort(key=lambda i: (-len(windows[i].token_ids), i))
        start = 0
        while start < len(indices):
            lengths = np.array([len(windows[i].token_ids) for i in indices[start : start + batch_tokens]])
            chosen = indices[start : start + _batch_size(lengths, head, batch_tokens)]
            yield Batch([windows[i] for i in chosen], chosen, head)
            start += len(chosen)


def _batch_size(lengths: NDArray[np.int64], head: int, batch_tokens: int) -> int:
    """How many of the next windows, with falling lengths, run together; at least 1."""
    sizes = np.arange(1, len(lengths) + 1)
    padded = sizes * (lengths[0] - head)
    # Every row of a batch attends to a copy of the shared head, which takes less than running it, but takes memory.
    fits = (padded <= batch_tokens) & (sizes * lengths[0] <= _HEAD_COPIES * batch_tokens)
    spare = padded <= (1 + _PADDING) * (lengths - head).cumsum()
    fits &= spare | (padded <= _LEAST_BATCH)
    return max(1, int(np.argmin(fits)) if not fits.all() else len(fits))


def _by_head(windows: Sequence[Window]) -> Iterator[tuple[int, list[int]]]:
    """The length of each head that is worth sharing, with the windows that start with it; the others with length 0."""
    same: dict[bytes, list[int]] = {}
    for i, window in enumerate(windows):
        same.setdefault(window.token_ids[: window.head].tobytes(), []).append(i)
    single: list[int] = []
    for indices in same.values():
        head = windows[indices[0]].head
        if head * (len(indices) - 1) >= WORTH_SHARING:
            yield head, indices
        else:
            single += indices
    if single:
        yield 0, single


def pad(windows: Sequence[Window], head: int = 0) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Token ids behind the head, padded on the right with 0, and whether each is an own token: [n_windows, longest].

    Attention is causal, so what stands on the right never reaches a real token.
    """
    longest = max(len(window.token_ids) for window in windows) - head
    token_ids = np.zeros((len(windows), longest), dtype=np.int64)
    own = np.zeros((len(windows), longest), dtype=bool)
    for i, window in enumerate(windows):
        token_ids[i, : len(window.token_ids) - head] = window.token_ids[head:]
        own[i, : len(window.own) - head] = window.own[head:]
    return token_ids, own
