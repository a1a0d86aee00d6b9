"""Text from data as HTML that shows it and does nothing else.

Argilla's web UI puts the text of a field into the page as HTML, runs scripts in it and loads its images. Here every
character that means something to HTML or to Markdown becomes a character reference, so that a field of type Markdown
shows the text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MEANINGFUL = re.compile(r"[!-/:-@\[-`{-~]")
"""ASCII punctuation: all that HTML and Markdown give a meaning to."""

_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Control characters, and those that hide or turn others; joiners stay, as scripts and emoji are written with them."""


def shown(text: str) -> str:
    r"""A text as HTML on one line.

    Example:
        >>> shown("<b>\nno")
        '&#60;b&#62;<br>no'
    """
    text = _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))
    text = _MEANINGFUL.sub(lambda found: f"&#{ord(found[0])};", text)
    text = re.sub(r"(?<= ) |^ ", "&nbsp;", text, flags=re.MULTILINE)
    return text.replace("\t", "&emsp;").replace("\n", "<br>")


def shown_with_peak(text: str, start: int, end: int) -> str:
    """A text as HTML with its characters [start, end) marked.

    Example:
        >>> shown_with_peak("a cup of tea", 9, 12)
        'a cup of <mark><b>tea</b></mark>'
    """
    return f"{shown(text[:start])}<mark><b>{shown(text[start:end])}</b></mark>{shown(text[end:])}"


def numbered(lines: Sequence[str]) -> str:
    """Lines of HTML as a numbered list."""
    return "<ol>" + "".join(f"<li>{line}</li>" for line in lines) + "</ol>"


def two_columns(rows: Sequence[tuple[str, str]]) -> str:
    """Pairs of HTML as a table."""
    return "<table>" + "".join(f"<tr><td>{name}&emsp;</td><td>{value}</td></tr>" for name, value in rows) + "</table>"
