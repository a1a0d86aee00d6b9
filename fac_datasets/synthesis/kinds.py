"""Kinds of synthetic data: how a generator is asked, and how its answer becomes a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fac_datasets.errors import SynthesisError


@dataclass(frozen=True)
class DataKind:
    """One kind of data; another kind is another entry in KINDS."""

    name: str
    system: str
    """System message of every prompt."""
    ask: str
    """What is asked for before each example and before the answer."""
    contrast: str
    """Put before the examples where a good and a bad one are known; takes `bad`."""
    read: Callable[[str, bool], str | None]
    """The row's text in a generated answer, told whether the generator finished it; None where there is none."""


_SENTENCE_END = re.compile(r"[.!?…؟][\"')”’]*(?=\s|$)|[。！？][」』”’]*|\n")

EXAMPLE_CHARACTERS = 240
"""Longer examples are cut to this many characters."""


def example_of(text: str, place: int = 0) -> str:
    """A text as an example in a prompt: whole, or the part around a character where it is long."""
    text = text.strip()
    if len(text) <= EXAMPLE_CHARACTERS:
        return text
    begin = max(0, place - EXAMPLE_CHARACTERS // 2)
    begin = text.find(" ", begin) + 1 if begin else 0
    return text[begin : begin + EXAMPLE_CHARACTERS].rsplit(" ", 1)[0]


def _whole_sentences(answer: str, finished: bool) -> str | None:
    """The answer, up to its last line or sentence end where the token limit cut it off."""
    text = answer.strip()
    if not finished:
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        text = text[: ends[-1]].strip() if ends else ""
    return text or None


KINDS: Mapping[str, DataKind] = {
    "text": DataKind(
        name="text",
        system="You write short texts like the ones you are shown.",
        ask="Write one.",
        contrast="Not like this: {bad}\nWrite one that is closer to the others.",
        read=_whole_sentences,
    )
}


def data_kind(name: str) -> DataKind:
    """The kind of that name.

    Raises:
        SynthesisError: there is no such kind.
    """
    if name not in KINDS:
        raise SynthesisError(f"there is no data kind {name!r}; there are {sorted(KINDS)}")
    return KINDS[name]


def few_shot_messages(kind: DataKind, examples: Sequence[str], bad: str | None = None) -> tuple[tuple[str, str], ...]:
    """A prompt that shows examples as earlier answers, which small models follow better than descriptions.

    Args:
        kind: of the data.
        examples: the best last, next to the answer.
        bad: an example of what misses the point.
    """
    messages = [("system", kind.system)]
    for example in examples:
        messages += [("user", kind.ask), ("assistant", example)]
    last = kind.ask if bad is None else kind.contrast.format(bad=bad)
    return (*messages, ("user", last))
