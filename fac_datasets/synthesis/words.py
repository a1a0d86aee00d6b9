"""Words of a text, by which texts are compared whatever their case, punctuation and disguise."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import regex

RUN_WORDS = 5
"""Words of a run."""

# Chinese, Japanese, Thai, Lao, Khmer and Burmese put no spaces between words: each of their characters counts as one.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")

_INVISIBLE = regex.compile(r"[\p{Cf}\p{Default_Ignorable_Code_Point}\u2800\U0001d159[\p{Cc}--\s]]", regex.V1)
"""What Unicode says is not shown, and the empty pattern of Braille, the empty head of a note, control characters."""

_MARKS = regex.compile(r"\p{M}+")
"""Accents, vowel points and signs: whoever copies can leave them out, or put them in."""

_UNBROKEN = regex.compile(r"\S+")

LONGEST_WORD = 24
"""Letters. What is longer, and has invisible characters, is several words that only these part."""

_LOOKALIKES = (
    ("\u0430\u0432\u0433\u0435\u043a\u043c\u043d\u043e\u043f\u0440\u0441\u0442\u0443\u0445\u044c", "abrekmhonpctyxb"),
    ("\u0455\u0456\u0458\u0461\u0475\u04af\u04bb\u04bd\u04cf\u0501\u050d\u051b\u051d\ua647", "sijwvyheldgqwi"),
    ("\u03b1\u03b2\u03b3\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c3\u03c4\u03c5", "abyeznikuvopotu"),
    ("\u03c7\u03c9\u03f3", "xwj"),
    ("\u0561\u0563\u0566\u0570\u0575\u0578\u057c\u057d\u0581\u0584\u0585", "wqqhjnnugfo"),
    ("\u0251\u0263\u0269", "ayi"),
    ("\u13a0\u13a1\u13a2\u13a5\u13a9\u13aa\u13ab\u13ac\u13b3\u13b7\u13bb\u13bd\u13c0\u13c2\u13c3", "drtiyajewmhyghz"),
    ("\u13cf\u13d2\u13d4\u13d5\u13d9\u13da\u13de\u13df\u13e2\u13e6\u13e7\u13f3\u13f4", "brwsvslcpkdgb"),
    ("\ua4d0\ua4d1\ua4d2\ua4d3\ua4d4\ua4d6\ua4d7\ua4d9\ua4da\ua4dc\ua4dd\ua4df\ua4e0\ua4e1\ua4e2", "bpddtgkjczfmnls"),
    ("\ua4e3\ua4e6\ua4e7\ua4ea\ua4eb\ua4ec\ua4ee\ua4f0\ua4f2\ua4f3\ua4f4", "rvhwxyaeiou"),
    ("\u2c85\u2c8f\u2c93\u2c95\u2c99\u2c9b\u2c9f\u2ca3\u2ca5\u2ca7\u2ca9\u2cad", "rhikmnopctyx"),
)
"""Letters of Cyrillic, Greek, Armenian, Latin, Cherokee, Lisu and Coptic that look like others, small or capital; after
Unicode's confusables.txt (UTS 39)."""

_LATIN = re.compile(
    r"(?:LATIN SMALL LETTER (?:DOTLESS |SCRIPT )?|LATIN LETTER SMALL CAPITAL |NEGATIVE \w+ LATIN CAPITAL LETTER )"
    r"([A-Z])(?: WITH .*)?"
)
"""Names of letters that are one of the alphabet's with a stroke or a hook, without its dot, or drawn otherwise."""


def _plain_letters() -> dict[int, str]:
    """What each letter that looks like a Latin one is taken for."""
    letters = {ord(letter): plain for those, these in _LOOKALIKES for letter, plain in zip(those, these, strict=True)}
    for block in (0xC0, 0x2B0), (0x1D00, 0x1DC0), (0x2C60, 0x2C80), (0xA720, 0xAB70), (0x1F150, 0x1F18A):
        for code in range(*block):
            if name := _LATIN.fullmatch(unicodedata.name(chr(code), "")):
                letters[code] = name[1].lower()
    return letters | {ord("\u00e6"): "ae", ord("\u0153"): "oe"}


_PLAIN_LETTERS = _plain_letters()


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case; of scripts without spaces the characters.

    How a text is disguised makes no difference: invisible characters are left out, or part words where nothing else
    does; accents and vowel signs are left out; and letters that look like Latin ones are taken for these. All this in
    all words alike, so that words of any language stay comparable.

    Example:
        >>> words_of("The c\u0430t\u200b s\u00e1t, twice!") == words_of("the cat sat_twice")
        True
    """
    plain = unicodedata.normalize("NFKD", text)
    if _INVISIBLE.search(plain):
        lone = len(plain.split()) == 1
        plain = _UNBROKEN.sub(lambda match: _INVISIBLE.sub(" " if lone or _is_long(match[0]) else "", match[0]), plain)
    return _WORD.findall(_MARKS.sub("", plain).casefold().translate(_PLAIN_LETTERS))


def _is_long(unbroken: str) -> bool:
    return len(_INVISIBLE.sub("", unbroken)) > LONGEST_WORD


def runs_of_words(words: Sequence[str], size: int = RUN_WORDS) -> list[tuple[str, ...]]:
    """All runs of as many words, in their order."""
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
