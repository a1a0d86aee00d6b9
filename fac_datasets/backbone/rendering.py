"""A row as the backbone reads it: rendered as a chat or raw, with the place of each content that is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fac_datasets.errors import BackboneError, OptionError, RowError
from fac_datasets.rows.messages import NOT_POOLED, Messages
from fac_datasets.rows.row import Answer, Chat, Row, TextParts, own_texts

MAX_CHARACTERS = 1_000_000
"""A longer row is refused: it is nearly always damage, and would take minutes."""


class RenderedRow(NamedTuple):
    """A row as the backbone reads it."""

    text: str
    """The whole rendered string."""
    contents: list[tuple[int, int, int, int]]
    """Of each pooled content: message index, first and last character in `text`, and the characters that the template
    stripped from the content's start."""
    texts: list[tuple[int, int]]
    """First and last character of every text of the row in `text`, pooled or not; the rest is the template's."""


NOTHING = RenderedRow("", [], [])
"""A row without own text."""


def require_render(render: str) -> None:
    """Raise OptionError unless this is a way to render text."""
    if render not in ("chat", "raw"):
        raise OptionError(f"render={render!r} is neither 'chat' nor 'raw'")


def render_row(tokenizer: Any, row: Row, *, render: str, roles: Sequence[str] | None, index: int) -> RenderedRow:
    """Render one row and locate the contents that are its own; see `row_windows`."""
    if not isinstance(row, str | TextParts | Chat | None):
        row = Messages().chat(row, index)
    texts = own_texts(row)
    length = sum(map(len, texts))
    if length > MAX_CHARACTERS:
        raise RowError(
            index, f"holds {length:,} characters; the limit is {MAX_CHARACTERS:,}: split it into several rows"
        )
    for text in texts:
        if not text.isascii():
            _require_unicode(text, index)
    if isinstance(row, Chat):
        pooled = [bool(message["content"].strip()) for message in row]
        if roles:
            pooled = [own and message["role"] in roles for own, message in zip(pooled, row, strict=True)]
        elif isinstance(row, Answer):
            pooled[:-1] = [False] * (len(row) - 1)
        else:
            pooled = [own and message["role"] not in NOT_POOLED for own, message in zip(pooled, row, strict=True)]
        if not any(pooled):
            return NOTHING
        return _render_chat(tokenizer, row, pooled, index) if render == "chat" else _joined(row, pooled)
    if not any(text.strip() for text in texts):
        return NOTHING
    whole = row.whole if isinstance(row, TextParts) else row or ""
    places = _places(row) if isinstance(row, TextParts) else [(0, 0, len(whole), 0)]
    if render == "raw":
        return RenderedRow(whole, places, [(0, len(whole))])
    rendered = _render_chat(tokenizer, [{"role": "user", "content": whole}], [True], index)
    return rendered._replace(contents=_within(places, rendered.contents))


def _joined(messages: Chat, pooled: Sequence[bool]) -> RenderedRow:
    """The messages of a chat with blank lines between them."""
    parts = TextParts.joined({str(number): message["content"] for number, message in enumerate(messages)})
    own = [place for place in _places(parts) if pooled[place[0]]]
    return RenderedRow(parts.whole, own, [(0, len(parts.whole))])


def _places(parts: TextParts) -> list[tuple[int, int, int, int]]:
    """Where the parts that hold anything stand in the whole text; see `RenderedRow.contents`."""
    places = []
    position = len(parts.between[0])
    for number, (text, behind) in enumerate(zip(parts.texts, parts.between[1:], strict=True)):
        if text.strip():
            places.append((number, position, position + len(text), 0))
        position += len(text) + len(behind)
    return places


def _within(
    places: Sequence[tuple[int, int, int, int]], contents: Sequence[tuple[int, int, int, int]]
) -> list[tuple[int, int, int, int]]:
    """Places in a text, as places in what a template made of it, which may have stripped its ends."""
    ((_, begin, end, stripped),) = contents
    found = []
    for number, first, last, _ in places:
        moved = begin - stripped
        cut = max(begin - (first + moved), 0)
        if first + moved + cut < min(last + moved, end):
            found.append((number, first + moved + cut, min(last + moved, end), cut))
    return found


def _require_unicode(text: str, index: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(
            index, f"is no valid text: {error.reason} at character {error.start}; repair it or leave it out"
        ) from error


def _render_chat(tokenizer: Any, messages: Sequence[dict[str, Any]], pooled: Sequence[bool], index: int) -> RenderedRow:
    """Apply the chat template and locate each content by the template's own text around it."""
    text = _apply_template(tokenizer, messages, index)
    pieces = _template_pieces(tokenizer, messages, index)
    contents: list[tuple[int, int, int, int]] = []
    texts: list[tuple[int, int]] = []
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
        texts.append((position, end))
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
    return RenderedRow(text, contents, texts)


def _apply_template(tokenizer: Any, messages: Sequence[Mapping[str, Any]], index: int) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template([*messages], tokenize=False))
    except (TemplateError, TypeError) as error:
        raise RowError(
            index, f'cannot be rendered by the chat template ({error}); use render="raw" on a text column'
        ) from error
    except ValueError as error:
        raise BackboneError(f'the tokenizer cannot render chats ({error}); use render="raw"') from error


def _template_pieces(tokenizer: Any, messages: Sequence[Mapping[str, Any]], index: int) -> list[str]:
    """The template's text before, between and behind the contents, found by rendering placeholders in their place."""
    marks = [f"\ue000{i}\ue001" for i in range(len(messages))]
    placed = [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
    rest = _apply_template(tokenizer, placed, index)
    pieces = []
    for mark in marks:
        piece, _, rest = rest.partition(mark)
        pieces.append(piece)
    return [*pieces, rest]
