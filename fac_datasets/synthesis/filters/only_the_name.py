"""Samples that only say the name of the feature that they were made for."""

from __future__ import annotations

from collections.abc import Iterable

from fac_datasets.synthesis.filters.base import Filter, Sample
from fac_datasets.synthesis.words import words_of

AROUND = frozenset(
    words_of(
        "a an the this that these those it its and or of on in for to by with from at as about around after before "
        "is are was be being been do does has have some any another one all more such like very here there "
        "text texts sentence sentences word words phrase phrases example examples prompt question passage paragraph "
        "topic topics subject theme feature features concept idea name tokens token "
        "talks talk talking mentions mention mentioning describes describing contains containing contain discusses "
        "discussing uses using means meaning says refers related relating regarding concerning called named titled"
    )
)
"""Words that say nothing of their own around a name."""


class OnlyTheName(Filter):
    """Rejects samples all of whose words are those of their feature's name, or stand around a name.

    "A text about cooking and recipes." says nothing that its feature's name, "cooking, recipes", does not.
    """

    reason = "only the name"
    turn = 16

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        own = _own_words(sample.words)
        return bool(own) and own <= _own_words(words_of(sample.target_name))


def _own_words(words: Iterable[str]) -> set[str]:
    """Words that say something, without the ending of the plural."""
    return {word.removesuffix("s") for word in words if word not in AROUND}
