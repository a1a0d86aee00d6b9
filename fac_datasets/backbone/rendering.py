"""A row as the backbone reads it: rendered as a chat or raw, with the place of each content that is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fac_datasets.errors import BackboneError, OptionError, RowError
from fac_datasets.rows.text_columns import as_text, normalise_message

Message = Mapping[str, Any]


Row = str | Sequence[Message] | None
"""What a row holds: a text, a list of chat messages, or nothing."""


MAX_CHARACTERS = 1_000_000
"""A longer row is refused: it is nearly always damage, and would take minutes."""


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
