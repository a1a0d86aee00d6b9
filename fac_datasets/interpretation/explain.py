"""Names for features, and whether they fit: from peak tokens alone, or by any text generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.generation.journal import Journal
from fac_datasets.interpretation.evidence import with_evidence
from fac_datasets.interpretation.excerpts import excerpt, harmless, listed, quoted
from fac_datasets.interpretation.questions import Prompt, Unanswered, ask, known, opened, read_verdict, values_of
from fac_datasets.interpretation.table import add_columns, require_columns

if TYPE_CHECKING:
    import datasets

CANNOT_TELL = "cannot tell"
"""Stands in `fits` where there is no name because the spans have nothing in common."""

_NAME_TOKENS = 3
"""Different peak tokens in a name."""

_LONGEST_NAME = 200
"""Characters of a name that a generator may give."""

_OF_NAME = (
    *("fits", "fits_reason", "verifier", "relevant", "relevance_reason", "guideline", "judge", "auroc"),
    *("detection", "detection_low", "detection_high", "fuzzing", "fuzzing_low", "fuzzing_high"),
)
"""Columns that say something about a name, and mean nothing of another one."""

Span = Mapping[str, Any]


class Explanation(NamedTuple):
    """What an explainer says of a feature."""

    name: str | None
    """The name; None where there is none."""
    problem: str | None = None
    """Why there is none: `"cannot tell"`, `"unparsable"` or `"refused"`."""


class Explainer(ABC):
    """Finds names for features from their spans."""

    name: str
    """What gave the names, for the column `explainer`."""

    @abstractmethod
    def explain(self, spans: Sequence[Sequence[Span]]) -> list[Explanation]:
        """A name for each feature.

        Args:
            spans: of each feature, the strongest first; `text`, `start` and `end` of the peak in it, `activation`.
        """


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


class LLMExplainer(Explainer):
    """Has a text generator name features from marked excerpts; "cannot tell" is an answer.

    Args:
        generator: any.
        journal: keeps the answers, so that none is asked for twice; a path or a Journal. Without one, a failure
            loses them.

    Example:
        >>> from fac_datasets import LocalGenerator
        >>> LLMExplainer(LocalGenerator()).name
        'SmolLM2-135M-Instruct@...'
    """

    def __init__(self, generator: TextGenerator, journal: str | Path | Journal | None = None) -> None:
        self.generator, self.journal = generator, journal
        self.name = generator.name

    def explain(self, spans: Sequence[Sequence[Span]]) -> list[Explanation]:
        """See `Explainer.explain`.

        Raises:
            GenerationError: the generator gives no answers; those until then are in the journal, if there is one.
        """
        shown = [place for place, of_feature in enumerate(spans) if of_feature]
        result = [Explanation(None, CANNOT_TELL)] * len(spans)
        with opened(self.journal) as journal:
            answers = ask(
                self.generator, journal, self.requests([spans[i] for i in shown]), _read_name, what="name features"
            )
        for place, answer in zip(shown, answers, strict=True):
            result[place] = Explanation(None, answer.problem) if isinstance(answer, Unanswered) else answer
        return result

    @staticmethod
    def requests(spans: Sequence[Sequence[Span]]) -> list[Request]:
        """The questions that are asked about features."""
        prompt = Prompt.load("explain")
        return [prompt.request(excerpts=excerpts_of(of_feature)) for of_feature in spans]


def explain(table: datasets.Dataset, explainer: Explainer) -> datasets.Dataset:
    """Give each feature a name.

    Args:
        table: a feature table.
        explainer: finds the names.

    Returns:
        The table with `explanation` (null where there is no name), `explainer`, and in `fits` why there is none:
        `cannot tell`, `unparsable` or `refused`. Verdicts and scores of earlier names are removed.

    Raises:
        ColumnError: this is no feature table.
        GenerationError: the explainer's generator gives no answers; its journal, if any, holds those until then.

    Example:
        >>> explain(table, TopTokensExplainer())[0]["explainer"]
        'top tokens'
    """
    from datasets import Value

    require_columns(table, "spans")
    found = explainer.explain(table["spans"])
    table = table.remove_columns([name for name in _OF_NAME if name in table.column_names])
    if "evidence" in table.column_names:
        table = with_evidence(table, "llm", np.zeros(len(table), dtype=bool))
    return add_columns(
        table,
        {
            "explanation": ([one.name for one in found], Value("string")),
            "explainer": ([explainer.name] * len(found), Value("string")),
            "fits": ([one.problem for one in found], Value("string")),
        },
    )


def verify_explanations(
    table: datasets.Dataset, generator: TextGenerator, journal: str | Path | Journal | None = None
) -> datasets.Dataset:
    """Ask whether each name fits the spans that it was made from.

    Args:
        table: a feature table with names.
        generator: judges.
        journal: keeps the answers, so that none is asked for twice; a path or a Journal. Without one, a failure
            loses them.

    Returns:
        The table with `fits` (`yes`, `probably`, `maybe`, `no`, `unparsable` or `refused`; as it was where there is no
        name), `fits_reason` and `verifier`.

    Raises:
        ColumnError: the table has no names.
        GenerationError: the generator gives no answers; those until then are in the journal, if there is one.

    Example:
        >>> verified = verify_explanations(table.select(range(1)), generator)
        >>> set(verified["fits"]) <= {"yes", "probably", "maybe", "no", "unparsable", "cannot tell"}
        True
    """
    from datasets import Value

    require_columns(table, "spans", "explanation", "fits")
    named = [place for place, name in enumerate(table["explanation"]) if name]
    with opened(journal) as book:
        answers = ask(generator, book, verification_requests(table), read_verdict, what="verify names")
    fits: list[str | None] = list(table["fits"])
    reasons: list[str | None] = [None] * len(table)
    for place, answer in zip(named, answers, strict=True):
        fits[place], reasons[place] = answer
    return add_columns(
        table,
        {
            "fits": (fits, Value("string")),
            "fits_reason": (reasons, Value("string")),
            "verifier": ([generator.name] * len(table), Value("string")),
        },
    )


def verification_requests(table: Iterable[Mapping[str, Any]]) -> list[Request]:
    """The questions that `verify_explanations` asks, one for each name."""
    prompt = Prompt.load("verify")
    return [
        prompt.request(name=quoted(row["explanation"]), excerpts=excerpts_of(row["spans"]))
        for row in table
        if row["explanation"]
    ]


def naming_requests(table: datasets.Dataset, generator: TextGenerator, journal: Journal) -> list[Request]:
    """The questions of naming all features and of verifying the names.

    Names are those that the journal holds; where the generator was not asked yet, peak tokens stand in for them.

    Args:
        table: a feature table.
        generator: names and verifies.
        journal: holds earlier answers.
    """
    spans = [of_feature for of_feature in table["spans"] if of_feature]
    requests = LLMExplainer.requests(spans)
    named = []
    for of_feature, request, stand_in in zip(spans, requests, TopTokensExplainer().explain(spans), strict=True):
        found = known(generator, journal, request, _read_name)
        explanation = stand_in if found is None else found
        name = None if isinstance(explanation, Unanswered) else explanation.name
        named.append({"explanation": name, "spans": of_feature})
    return [*requests, *verification_requests(named)]


def unverified(table: datasets.Dataset) -> int:
    """How many names were never verified."""
    require_columns(table, "explanation", "fits")
    return sum(bool(name) and fits is None for name, fits in zip(table["explanation"], table["fits"], strict=True))


def excerpts_of(spans: Sequence[Span]) -> str:
    """Spans with their peaks marked, for a prompt."""
    return listed([excerpt(span, marked=True) for span in spans])


def _in_quotes(word: str) -> str:
    return f"'{word}'" if '"' in word else f'"{word}"'


def _read_name(answer: dict[str, Any]) -> Explanation:
    name, reason = values_of(answer, "name", "reason")
    if name is None:
        return Explanation(None, CANNOT_TELL)
    if not isinstance(name, str) or not isinstance(reason, str) or not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise ValueError(f"{name!r} is no name")
    return Explanation(" ".join(harmless(name).split()))
