"""What one row holds: a text, a text of named parts, or a chat; and the texts that are its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Message = Mapping[str, Any]
"""A message of a chat, with `role` and `content`."""


class TextParts(NamedTuple):
    """A text made of several parts, each of a column."""

    names: tuple[str, ...]
    """Columns of the parts."""
    texts: tuple[str, ...]
    """The parts that are there; positions of features count within a part."""
    between: tuple[str, ...]
    """What stands before the first part, between them, and behind the last: one more than there are parts."""

    @classmethod
    def joined(cls, parts: Mapping[str, str | None]) -> TextParts:
        """Parts by column, with blank lines between those that are not empty.

        Example:
            >>> TextParts.joined({"title": "Pears", "body": "They are ripe."}).whole
            'Pears\\n\\nThey are ripe.'
        """
        texts = [text or "" for text in parts.values()]
        between = [""]
        for number, text in enumerate(texts[1:], start=1):
            between.append("\n\n" if text and any(texts[:number]) else "")
        return cls(tuple(parts), tuple(texts), (*between, "") if texts else ("",))

    @property
    def whole(self) -> str:
        """The text."""
        return self.between[0] + "".join(
            text + behind for text, behind in zip(self.texts, self.between[1:], strict=True)
        )


class Chat(list[dict[str, Any]]):
    """Messages with `role` and a text `content`, in the one form that `Messages` makes of all conventions."""


class Answer(Chat):
    """A chat of which only the last message is the row's own, such as one side of a preference."""


Row = str | TextParts | Sequence[Message] | None
"""What a row holds: a text, a text of parts, a list of messages, or nothing."""


def own_texts(row: Row) -> list[str]:
    """The texts of a row that positions of features count in: of each part or message, or of the one text.

    Example:
        >>> own_texts(Chat([{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]))
        ['Hi.', 'Hello.']
    """
    if row is None or isinstance(row, str):
        return [row or ""]
    if isinstance(row, TextParts):
        return list(row.texts)
    return [message["content"] for message in row]


def plain_text(row: Row) -> str:
    """A row as one text: the messages of a chat a line each, of an answer the last alone, and nothing as no text.

    Example:
        >>> plain_text(Chat([{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]))
        'Hi.\\nHello.'
    """
    if isinstance(row, TextParts):
        return row.whole
    texts = own_texts(row)
    return "\n".join(texts[-1:] if isinstance(row, Answer) else texts)
