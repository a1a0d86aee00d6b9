"""Samples in another language than the one that is asked for."""

from __future__ import annotations

from functools import cache
from typing import Any, Self

from fac_datasets.errors import MissingExtra, OptionError
from fac_datasets.synthesis.filters.base import Demands, Filter, Sample

LEAST = 0.001
"""Probability of the language from which on a sample passes. English names, single words and code have more, whole
sentences of other languages less; short texts that could be of any language pass."""

_NO_LANGUAGE = "zxx"
"""Code of what is in no language, such as code and addresses."""


class Language(Filter):
    """Rejects samples that are certainly in another language.

    Args:
        language: code of ISO 639-1, such as `"en"`.

    Raises:
        OptionError: the language is not known.
        MissingExtra: py3langid is not installed.
    """

    reason = "other language"
    turn = 50

    def __init__(self, language: str) -> None:
        self._rank = _identifier().rank
        known = sorted(code for code, _ in self._rank("") if code != _NO_LANGUAGE)
        if language not in known:
            raise OptionError(f"language={language!r} is none of {', '.join(known)}")
        self._language = language

    @classmethod
    def for_run(cls, demands: Demands) -> Self | None:
        """See `Filter.for_run`."""
        return None if demands.language is None else cls(demands.language)

    def rejects(self, sample: Sample) -> bool:
        """See `Filter.rejects`."""
        ranked = self._rank(sample.text)
        return bool(ranked[0][0] != _NO_LANGUAGE and dict(ranked)[self._language] < LEAST)


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MissingExtra("telling languages needs py3langid: pip install 'fac-datasets[language]'") from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
