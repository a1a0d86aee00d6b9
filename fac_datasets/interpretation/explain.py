"""Giving features names, and asking whether they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.generation.journal import Journal
from fac_datasets.interpretation.evidence import with_evidence
from fac_datasets.interpretation.excerpts import quoted
from fac_datasets.interpretation.questions import (
    ANSWER_TOKENS,
    VERDICT,
    Prompt,
    Unanswered,
    ask,
    known,
    opened,
    read_verdict,
)
from fac_datasets.rows.tables import add_columns, require_columns

if TYPE_CHECKING:
    import datasets

from fac_datasets.interpretation.excerpts import marked_excerpts
from fac_datasets.interpretation.explainers.base import Explainer
from fac_datasets.interpretation.explainers.llm import LLMExplainer, read_name
from fac_datasets.interpretation.explainers.top_tokens import TopTokensExplainer

_OF_NAME = (
    *("fits", "fits_reason", "verifier", "relevant", "relevance_reason", "guideline", "judge", "auroc"),
    *("detection", "detection_low", "detection_high", "fuzzing", "fuzzing_low", "fuzzing_high"),
)
"""Columns that say something about a name, and mean nothing of another one."""


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
    table: datasets.Dataset,
    generator: TextGenerator,
    journal: str | Path | Journal | None = None,
    *,
    answer_tokens: int = ANSWER_TOKENS,
) -> datasets.Dataset:
    """Ask whether each name fits the spans that it was made from.

    Args:
        table: a feature table with names.
        generator: judges.
        journal: keeps the answers, so that none is asked for twice; a path or a Journal. Without one, a failure
            loses them.
        answer_tokens: tokens of an answer; a model that reasons before it answers needs thousands.

    Returns:
        The table with `fits` (`yes`, `probably`, `maybe`, `no`, `unparsable` or `refused`; as it was where there is no
        name), `fits_reason` and `verifier`.

    Raises:
        ColumnError: the table has no names.
        OptionError: none of the first answers came to its end within `answer_tokens`.
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
        answers = ask(
            generator,
            book,
            verification_requests(table),
            read_verdict,
            what="verify names",
            answer_tokens=answer_tokens,
        )
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
        prompt.request(VERDICT, name=quoted(row["explanation"]), excerpts=marked_excerpts(row["spans"]))
        for row in table
        if row["explanation"]
    ]


def naming_requests(
    table: datasets.Dataset, generator: TextGenerator, journal: Journal, *, answer_tokens: int = ANSWER_TOKENS
) -> list[Request]:
    """The questions of naming all features and of verifying the names.

    Names are those that the journal holds; where the generator was not asked yet, peak tokens stand in for them.

    Args:
        table: a feature table.
        generator: names and verifies.
        journal: holds earlier answers.
        answer_tokens: tokens of an answer.
    """
    spans = [of_feature for of_feature in table["spans"] if of_feature]
    requests = LLMExplainer.requests(spans)
    named = []
    for of_feature, request, stand_in in zip(spans, requests, TopTokensExplainer().explain(spans), strict=True):
        found = known(generator, journal, request, read_name, answer_tokens=answer_tokens)
        explanation = stand_in if found is None else found
        name = None if isinstance(explanation, Unanswered) else explanation.name
        named.append({"explanation": name, "spans": of_feature})
    return [*requests, *verification_requests(named)]


def unverified(table: datasets.Dataset) -> int:
    """How many names were never verified."""
    require_columns(table, "explanation", "fits")
    return sum(bool(name) and fits is None for name, fits in zip(table["explanation"], table["fits"], strict=True))
