"""What a kind of synthetic data is: how a generator is asked, and how its answer becomes a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DataKind:
    """One kind of data; another kind is another file in this folder."""

    name: str
    system: str
    """System message of every prompt."""
    ask: str
    """What is asked for before each example and before the answer."""
    contrast: str
    """Put before the examples where a good and a bad one are known; takes `bad`."""
    read: Callable[[str, bool], str | None]
    """The row's text in a generated answer, told whether the generator finished it; None where there is none."""


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
