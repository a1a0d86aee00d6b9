"""How a text is written, in counts: its words, and what of them is lists, markdown and greetings."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")

_LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+•‣◦]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
"""A line that begins with a bullet, or with a number and a full stop or bracket."""

_MARKDOWN = re.compile(
    r"""
      ^\#{1,6}[ ]+\S               # a heading
    | ^[ \t]*>[ ]                  # a quotation
    | ^[ \t]*\|.*\|[ \t]*$         # a line of a table
    | ```                          # the fence of a block of code
    | (?<!`)`[^`\n]+`(?!`)         # code within a line
    | \*\*[^*\n]+\*\*              # bold
    | (?<![*\w])\*[^*\s][^*\n]*\*(?![*\w])  # italics
    | \[[^\[\]\n]*\]\([^()\s]*\)   # a link
    """,
    re.MULTILINE | re.VERBOSE,
)

_GREETING = re.compile(
    r"""\b(?:
      hello | hi | hey | greetings | welcome | dear | good[ ](?:morning|afternoon|evening|day)
    | thanks | thank[ ]you | you['\u2019]?re[ ]welcome | my[ ]pleasure | please | sorry | apologies | i[ ]apologi[sz]e
    | sure(?=[!,.]) | certainly | of[ ]course | absolutely | great[ ]question
    | (?:happy|glad)[ ]to[ ]help | (?:hope|hopefully)[ ](?:this|that|it)[ ]helps | let[ ]me[ ]know | feel[ ]free
    | (?:best|kind|warm)[ ]regards | sincerely | good[ ]luck | goodbye | take[ ]care
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


class StyleCounts(NamedTuple):
    """What of a text is style rather than content."""

    length: int
    """Words: runs of letters and digits, with apostrophes and hyphens in them."""
    lists: int
    """Lines that are an item of a list: they begin with a bullet, or with a number and a full stop or bracket."""
    markdown: int
    """Headings, quotations, lines of tables, fences, code within a line, bold, italics and links."""
    greetings: int
    """English greetings, thanks, excuses, offers of help and closings, such as "hello", "of course", "feel free"."""


def style_counts(text: str) -> StyleCounts:
    """Count a text's words, list items, marks of markdown, and greetings.

    Args:
        text: any text.

    Example:
        >>> style_counts("Of course! **Two** fruits:\\n- apples\\n- pears\\n\\nLet me know.")
        StyleCounts(length=9, lists=2, markdown=1, greetings=2)
    """
    patterns = (_WORD, _LIST_ITEM, _MARKDOWN, _GREETING)
    return StyleCounts(*(sum(1 for _ in pattern.finditer(text)) for pattern in patterns))
