"""Relevance by a language model: does a named feature bear on a task that a guideline describes?"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fac_datasets.errors import OptionError
from fac_datasets.generation.base import Request, TextGenerator
from fac_datasets.generation.journal import Journal
from fac_datasets.interpretation.evidence import with_evidence
from fac_datasets.interpretation.excerpts import marked_excerpts, quoted
from fac_datasets.interpretation.explain import unverified
from fac_datasets.interpretation.questions import ANSWER_TOKENS, VERDICT, Prompt, ask, opened, read_verdict
from fac_datasets.rows.tables import add_columns, require_columns

if TYPE_CHECKING:
    import datasets

logger = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "guidelines"

_SHOWN = 5
"""Spans shown beside a name."""

_HOLDS = ("yes", "probably")
"""Verdicts that count as evidence."""


@dataclass(frozen=True)
class Guideline:
    """What a task needs, in words."""

    name: str
    text: str

    @classmethod
    def load(cls, name_or_path: str | Path) -> Guideline:
        """A guideline of this package by name, or any by file.

        Args:
            name_or_path: `"toxicity"`, `"helpfulness"`, `"instruction_following"`, `"sycophancy"`,
                `"survival_instinct"`, or a text file whose first line is `# ` and the name.

        Raises:
            OptionError: it is neither, or the file has no name or nothing else.

        Example:
            >>> Guideline.load("toxicity").name
            'Toxicity'
        """
        ours = sorted(path.stem for path in _FOLDER.glob("*.md"))
        path = _FOLDER / f"{name_or_path}.md" if str(name_or_path) in ours else Path(name_or_path)
        try:
            first, _, rest = path.read_text(encoding="utf-8").strip().partition("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(
                f"guideline {str(name_or_path)!r} is none of {ours} and no file that can be read: {error}"
            ) from error
        if not first.startswith("# ") or not first[2:].strip():
            raise OptionError(
                f"guideline {path.name} has no name; its first line must be '# ' and the name of the task"
            )
        if not rest.strip():
            raise OptionError(f"guideline {path.name} says nothing under its name")
        return cls(first[2:].strip(), rest.strip())


def judge_relevance(
    table: datasets.Dataset,
    guideline: str | Path | Guideline,
    generator: TextGenerator,
    journal: str | Path | Journal | None = None,
    *,
    answer_tokens: int = ANSWER_TOKENS,
) -> datasets.Dataset:
    """Have a text generator judge each named feature against a guideline.

    Args:
        table: a feature table with names.
        guideline: a Guideline, or what `Guideline.load` reads.
        generator: judges.
        journal: keeps the answers, so that none is asked for twice; a path or a Journal. Without one, a failure
            loses them.
        answer_tokens: tokens of an answer; a model that reasons before it answers needs thousands.

    Returns:
        The table with `relevant` (`yes`, `probably`, `maybe`, `no`, `unparsable` or `refused`; null where there is no
        name), `relevance_reason`, `guideline`, `judge`, and `llm` among the `evidence` of features whose `fits` and
        `relevant` are both yes or probably.

    Raises:
        OptionError: the guideline cannot be used, or none of the first answers came to its end within `answer_tokens`.
        ColumnError: the table has no names.
        GenerationError: the generator gives no answers; those until then are in the journal, if there is one.

    Example:
        >>> judged = judge_relevance(table.select(range(1)), "toxicity", generator)
        >>> set(judged["relevant"]) <= {"yes", "probably", "maybe", "no", "unparsable", None}
        True
    """
    from datasets import Value

    require_columns(table, "spans", "explanation", "fits")
    rules = guideline if isinstance(guideline, Guideline) else Guideline.load(guideline)
    if unverified(table):
        logger.warning(
            "%d names were never verified, and what is judged of them is no evidence: call verify_explanations first",
            unverified(table),
        )
    with opened(journal) as book:
        answers = ask(
            generator,
            book,
            relevance_requests(table, rules),
            read_verdict,
            what="judge relevance",
            answer_tokens=answer_tokens,
        )
    of_named = iter(answers)
    verdicts = [next(of_named) if name else (None, None) for name in table["explanation"]]
    table = add_columns(
        table,
        {
            "relevant": ([verdict for verdict, _ in verdicts], Value("string")),
            "relevance_reason": ([reason for _, reason in verdicts], Value("string")),
            "guideline": ([rules.name] * len(table), Value("string")),
            "judge": ([generator.name] * len(table), Value("string")),
        },
    )
    both = zip(table["fits"], table["relevant"], strict=True)
    return with_evidence(table, "llm", np.array([fits in _HOLDS and judged in _HOLDS for fits, judged in both], bool))


def relevance_requests(table: datasets.Dataset, guideline: Guideline) -> list[Request]:
    """The questions that `judge_relevance` asks, one for each name."""
    prompt = Prompt.load("relevance")
    return [
        prompt.request(
            VERDICT,
            name=quoted(row["explanation"]),
            excerpts=marked_excerpts(row["spans"][:_SHOWN]),
            guideline=guideline.name,
            rules=guideline.text,
        )
        for row in table
        if row["explanation"]
    ]
