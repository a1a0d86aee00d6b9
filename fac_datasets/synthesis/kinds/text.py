"""Plain texts."""

from __future__ import annotations

import re

from fac_datasets.synthesis.kinds.base import DataKind

_SENTENCE_END = re.compile(r"[.!?…؟][\"')”’]*(?=\s|$)|[。！？][」』”’]*|\n")


def _whole_sentences(answer: str, finished: bool) -> str | None:
    """The answer, up to its last line or sentence end where the token limit cut it off."""
    text = answer.strip()
    if not finished:
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        text = text[: ends[-1]].strip() if ends else ""
    return text or None


TEXT = DataKind(
    name="text",
    system="You write short texts like the ones you are shown.",
    ask="Write one.",
    contrast="Not like this: {bad}\nWrite one that is closer to the others.",
    read=_whole_sentences,
)
