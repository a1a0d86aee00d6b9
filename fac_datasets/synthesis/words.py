"""Words of a text and runs of them, by which texts are compared."""

from __future__ import annotations

import re
from collections.abc import Sequence

RUN_WORDS = 5
"""Words of a run."""

# Chinese and Japanese put no spaces between words, so each of their characters counts as one.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case; of Chinese and Japanese the characters."""
    return _WORD.findall(text.lower())


def runs_of_words(words: Sequence[str]) -> list[tuple[str, ...]]:
    """All runs of `RUN_WORDS` words, in their order."""
    return [tuple(words[i : i + RUN_WORDS]) for i in range(len(words) - RUN_WORDS + 1)]
