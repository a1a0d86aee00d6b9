"""Where sentences end."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"[.!?…؟][\"')”’]*(?=\s|$)|[。！？][」』”’]*|\n")


def whole_sentences(text: str) -> str:
    """A text that was cut off, up to its last whole line or sentence; empty where none is whole.

    Example:
        >>> whole_sentences("One. Two is")
        'One.'
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""
