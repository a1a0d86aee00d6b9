"""Spans as they are shown to a language model: as data, which cannot pass for instructions or for a chat template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import regex

MARK = "**"
"""Stands on both sides of the token where a feature peaks; no chat template has it in a token."""

_INVISIBLE = regex.compile(
    r"(?![\t\n]|(?<=[\p{L}\p{M}\p{S}])[\u200c\u200d](?=[\p{L}\p{M}\p{S}])|(?<=\p{S})\ufe0f)"
    r"[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]"
)
"""Characters that nobody sees, in which a text for models alone can be hidden. Joiners between letters or symbols, and
the selector behind a symbol that makes it an emoji, stay: scripts and emoji need them."""

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


def visible(text: str) -> str:
    """A text in which every character that nobody sees is replaced by one that everybody does."""
    shown: str = _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return shown


def harmless(text: str) -> str:
    """A text without invisible characters, marks of ours, and tokens of chat templates."""
    text = visible(text)
    text = re.sub(r"\*(?=\*)", "* ", text)
    return _TEMPLATE.sub(lambda found: " ".join(found[0]) if len(found[0]) > 1 else f"{found[0]} ", text)


def marked_excerpts(spans: Sequence[Mapping[str, Any]]) -> str:
    """Spans with their peaks marked, for a prompt."""
    return listed([excerpt(span, marked=True) for span in spans])
