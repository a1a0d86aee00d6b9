"""Words of a text, by which texts are compared whatever their case, punctuation and disguise."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

RUN_WORDS = 5
"""Words of a run."""

# Chinese, Japanese, Thai, Lao, Khmer and Burmese put no spaces between words: each of their characters counts as one.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")

_LOOKALIKES = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d"
    "\u03b1\u03b2\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7",
    "abekmhopctyxijshdqwabeikvoptux",
)
"""Letters of Cyrillic and Greek that look like Latin ones, small or capital."""


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case; of scripts without spaces the characters.

    What cannot be seen makes no difference: invisible characters are left out, and letters of other scripts that look
    like Latin ones are taken for these, in all words alike.

    Example:
        >>> words_of("The c\u0430t\u200b sat, twice!") == words_of("the cat sat twice")
        True
    """
    plain = unicodedata.normalize("NFKC", text)
    if not plain.isascii():
        if not any(map(str.isspace, plain)):
            # Where nothing else parts the words, the space of no width does.
            plain = plain.replace("\u200b", " ")
        plain = "".join(character for character in plain if unicodedata.category(character) != "Cf")
    return _WORD.findall(plain.casefold().translate(_LOOKALIKES))


def runs_of_words(words: Sequence[str], size: int = RUN_WORDS) -> list[tuple[str, ...]]:
    """All runs of as many words, in their order."""
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
