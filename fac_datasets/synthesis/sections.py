"""Answers of several parts: written as sections under plain headers or as JSON, and found again in what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Headers = Mapping[str, Sequence[str]]
"""Headers of each part: the one that is written, then others that generators write in its place."""


def numbered(part: str, number: int) -> str:
    """The name of the part that stands for the nth time.

    Example:
        >>> numbered("prompt", 1), numbered("prompt", 2)
        ('prompt', 'prompt_2')
    """
    return part if number == 1 else f"{part}_{number}"


def unnumbered(part: str) -> tuple[str, int]:
    """The part that such a name is of, and for which time.

    Example:
        >>> unnumbered("prompt_2")
        ('prompt', 2)
    """
    name, _, number = part.rpartition("_")
    return (name, int(number)) if name and number.isdecimal() else (part, 1)


def as_sections(texts: Mapping[str, str], headers: Headers) -> str:
    """Texts by part as sections.

    Example:
        >>> as_sections({"prompt": "Hi.", "prompt_2": "Yes?"}, {"prompt": ["Prompt"]})
        'Prompt:\\nHi.\\n\\nPrompt 2:\\nYes?'
    """
    return "\n\n".join(f"{header_of(part, headers)}:\n{text}" for part, text in texts.items())


def header_of(part: str, headers: Headers) -> str:
    """The header that is written over a part."""
    name, number = unnumbered(part) if part not in headers else (part, 1)
    return headers[name][0] if number == 1 else f"{headers[name][0]} {number}"


def sections_in(answer: str, headers: Headers) -> list[tuple[str, str]]:
    """Parts and texts of the sections in an answer, in their order; none where it has no headers.

    Headers may be marked up, numbered, in letters of any case, and have the text behind them in the same line. Other
    headers than those that were shown are looked for only where the first of those is missing. Where the first header
    comes again without a number, the generator went on with another sample, which is left out.

    Example:
        >>> sections_in("**Prompt:** Hi.\\n### Response\\nHello.", {"prompt": ["Prompt"], "response": ["Response"]})
        [('prompt', 'Hi.'), ('response', 'Hello.')]
    """
    first = {part: names[:1] for part, names in headers.items()}
    found = _sections(answer, first)
    leading = next(iter(headers))
    return found if any(part == leading for part, _ in found) else _sections(answer, headers)


def spells_header(text: str, headers: Headers) -> bool:
    """Whether a text holds what would be read as a header that is shown."""
    return bool(_headers_in(text, {part: names[:1] for part, names in headers.items()}))


def _sections(answer: str, headers: Headers) -> list[tuple[str, str]]:
    found = _headers_in(answer, headers)
    leading = next(iter(headers))
    firsts = [place for place, (part, number, _) in enumerate(found) if part == leading and number == 1]
    end = found[firsts[1]][2].start() if len(firsts) > 1 else len(answer)
    kept = found[: firsts[1]] if len(firsts) > 1 else found
    ends = [*(match.start() for _, _, match in kept), end][1:]
    return [(part, answer[match.end() : end].strip()) for (part, _, match), end in zip(kept, ends, strict=True)]


def _headers_in(answer: str, headers: Headers) -> list[tuple[str, int, re.Match[str]]]:
    """Part, number and place of each header."""
    parts = {name.casefold(): part for part, names in headers.items() for name in names}
    # The longest first, since one header may begin with another.
    name = "|".join(re.escape(each) for each in sorted(parts, key=len, reverse=True))
    named = rf"(?:{name})(?:[ \t]*#?\d+)?"
    pattern = re.compile(
        rf"^[ \t]*(?:#{{1,6}}[ \t]+\**(?P<a>{named})\**:?\**[ \t]*$|\*\*(?P<b>{named})(?::\*\*|\*\*:?)"
        rf"|__(?P<c>{named})(?::__|__:?)|(?P<d>{named}):(?!//))[ \t]*",
        re.IGNORECASE | re.MULTILINE,
    )
    found = []
    for match in pattern.finditer(answer):
        spelled = next(filter(None, match.groups()))
        number = re.search(r"[ \t]*#?(\d+)$", spelled)
        bare = spelled[: number.start()] if number else spelled
        found.append((parts[bare.casefold()], int(number[1]) if number else 1, match))
    return found


def object_in(answer: str) -> dict[str, Any] | None:
    """The JSON object that an answer consists of; None where it is something else."""
    if not answer.startswith("{"):
        return None
    try:
        held = json.loads(answer, strict=False)
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def sections_of_object(held: Mapping[str, Any], headers: Headers) -> list[tuple[str, str]]:
    """Parts and texts of an object, whose keys may be parts or headers; others are left out.

    Example:
        >>> sections_of_object({"prompt": "Hi.", "Prompt 2": "Yes?", "note": 3}, {"prompt": ["Prompt"]})
        [('prompt', 'Hi.'), ('prompt', 'Yes?')]
    """
    parts = {spelled.casefold(): part for part, names in headers.items() for spelled in (part, *names)}
    found = []
    for key, text in held.items():
        bare = re.sub(r"[ _]\d+$", "", key).casefold()
        part = parts.get(key.casefold()) or parts.get(bare)
        if part is not None and isinstance(text, str):
            found.append((part, text.strip()))
    return found
