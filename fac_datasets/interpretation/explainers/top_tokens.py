"""Names from peak tokens alone, without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fac_datasets.interpretation.excerpts import harmless
from fac_datasets.interpretation.explainers.base import CANNOT_TELL, Explainer, Explanation, Span

_NAME_TOKENS = 3
"""Different peak tokens in a name."""


class TopTokensExplainer(Explainer):
    """Names a feature by its commonest peak tokens, and by the word before them where that is nearly always the same.

    Example:
        >>> spans = [{"text": "a cup of coffee", "start": 9, "end": 15}, {"text": "cup of tea", "start": 7, "end": 10}]
        >>> TopTokensExplainer().explain([spans])[0].name
        '"coffee", "tea" after "of"'
    """

    name = "top tokens"

    def explain(self, spans: Sequence[Sequence[Span]]) -> list[Explanation]:
        """See `Explainer.explain`."""
        return [self._explain(of_feature) for of_feature in spans]

    def _explain(self, spans: Sequence[Span]) -> Explanation:
        tokens = Counter(harmless(span["text"][span["start"] : span["end"]]).strip() for span in spans)
        words = [_in_quotes(token) for token, _ in tokens.most_common(_NAME_TOKENS) if token]
        if not words:
            return Explanation(None, CANNOT_TELL)
        before = Counter((harmless(span["text"][: span["start"]]).split() or [""])[-1] for span in spans)
        word, count = before.most_common(1)[0]
        after = f" after {_in_quotes(word)}" if word and len(spans) > 1 and 2 * count > len(spans) else ""
        return Explanation(", ".join(words) + after)


def _in_quotes(word: str) -> str:
    return f"'{word}'" if '"' in word else f'"{word}"'
