"""Spans as they are shown to a language model: as data, which cannot pass for instructions or for a chat template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "**"
"""Stands on both sides of the token where a feature peaks; no chat template has it in a token."""

_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ue000-\uf8ff]")
"""Control characters, and those that change the direction or look of others."""

_TEMPLATE = re.compile(r"<\||\|>|<(?=[^<>\s]{1,40}>)|\[(?=/?[A-Z_]{2,40}\])")
"""Where something begins or ends that looks like a token of a chat template: all in angle brackets, or in capitals in
square ones."""


def excerpt(span: Mapping[str, Any], *, marked: bool) -> str:
    """A span's text without characters that mean something to a chat template, its peak marked on request."""
    text = str(span["text"])
    if not marked:
        return harmless(text)
    start, end = int(span["start"]), int(span["end"])
    return MARK.join([harmless(text[:start]), harmless(text[start:end]), harmless(text[end:])])


def quoted(name: str) -> str:
    """A name as a JSON string."""
    return json.dumps(harmless(name), ensure_ascii=False)


def listed(excerpts: Sequence[str]) -> str:
    """Excerpts as numbered JSON strings, one a line, so that none can end its own quotation."""
    return "\n".join(f"{number}. {json.dumps(text, ensure_ascii=False)}" for number, text in enumerate(excerpts, 1))


def harmless(text: str) -> str:
    """A text without control characters, marks of ours, and tokens of chat templates."""
    text = _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)
    text = re.sub(r"\*(?=\*)", "* ", text)
    return _TEMPLATE.sub(lambda found: " ".join(found[0]) if len(found[0]) > 1 else f"{found[0]} ", text)
