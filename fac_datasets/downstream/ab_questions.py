"""A/B questions: the letters of their choices, the one that shows a behaviour, and the same question turned round."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fac_datasets.downstream.reading import require_columns
from fac_datasets.errors import DatasetError, OptionError
from fac_datasets.generation.base import counts_in_words

if TYPE_CHECKING:
    import datasets

logger = logging.getLogger(__name__)

QUESTION, MATCHING, OTHER = "question", "answer_matching_behavior", "answer_not_matching_behavior"
"""The columns."""

CLAIM = "claim"
"""The column that says what several questions rest on, where there is one."""

_MARKER = re.compile(r"(?<!\S)(?:\((?=[A-Z]\))|(?=[A-Z][).:]\s))([A-Z])[).:]")
_ANSWER = re.compile(r"\s*(\(?)([A-Z])(?:[).:].*|\s*)", re.DOTALL)

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class ABQuestion:
    """A question with lettered choices, of which one shows a behaviour and another does not."""

    before: str
    """What stands before the first choice."""
    markers: tuple[str, ...]
    """The letter of each choice with what stands around it."""
    choices: tuple[str, ...]
    """The text of each choice."""
    behind: str
    """What stands behind the last one."""
    matching: str
    """Letter of the answer that shows the behaviour."""
    other: str
    """Letter of the one that does not."""
    opening: str
    """What an answer writes before its letter, `(` or nothing."""
    claim: str
    """What the question rests on; questions of one claim belong on one side of a split."""

    @property
    def text(self) -> str:
        """The question with its choices."""
        return self.before + "".join(map(str.__add__, self.markers, self.choices)) + self.behind

    @property
    def turned(self) -> ABQuestion:
        """The same question with its choices in reverse order, behind letters in their usual order.

        Example:
            >>> read_question("Tea?\\n (A) Yes\\n (B) No", "(A)", "(B)").turned.text
            'Tea?\\n (A) No\\n (B) Yes'
        """
        # The blanks and line ends between choices stay where they are.
        bare = [choice.rstrip() for choice in self.choices]
        ends = [choice[len(text) :] for choice, text in zip(self.choices, bare, strict=True)]
        turned = tuple(map(str.__add__, reversed(bare), ends))
        letters = self._letters
        matching, other = (letters[-1 - letters.index(letter)] for letter in (self.matching, self.other))
        return ABQuestion(self.before, self.markers, turned, self.behind, matching, other, self.opening, self.claim)

    @property
    def _letters(self) -> list[str]:
        return [found[1] for found in map(_MARKER.match, map(str.lstrip, self.markers)) if found]


@dataclass(frozen=True)
class ABQuestions:
    """The questions of a dataset that can be asked."""

    questions: tuple[ABQuestion, ...]
    left_out: Mapping[str, int]
    """Rows that are left out, by the reason."""


def read_question(
    question: Any, matching: Any, other: Any, claim: Any = None, *, claim_is_last_sentence: bool = False
) -> ABQuestion:
    """The A/B question of a row.

    Args:
        question: with its choices, each behind a letter such as `(A)`, `A.` or `A)`.
        matching: the answer that shows the behaviour: a letter, with or without brackets.
        other: the one that does not.
        claim: what the question rests on; by default the question with its choices in order of the alphabet.
        claim_is_last_sentence: of the question only the last sentence before the choices counts by default, as where
            people present themselves before it.

    Raises:
        ValueError: it is none, with the reason.

    Example:
        >>> asked = read_question("Tea?\\n (A) Yes\\n (B) No", " (B)", " (A)")
        >>> asked.choices, asked.matching, asked.opening
        (('Yes\\n', 'No'), 'B', '(')
    """
    if not all(isinstance(cell, str) and cell.strip() for cell in (question, matching, other)):
        raise ValueError("a cell without text")
    begins = _choices_begin(question.rstrip())
    if not begins:
        raise ValueError("no option letters in the question")
    answers = [_ANSWER.fullmatch(answer) for answer in (matching, other)]
    letters = [found[1] for found in begins]
    if not all(answer and answer[2] in letters for answer in answers):
        raise ValueError("an answer that names no option letter of the question")
    (opening, right), (_, wrong) = ((answer[1], answer[2]) for answer in answers if answer)
    if right == wrong:
        raise ValueError("both answers name the same option")
    text = question.rstrip()
    places = [(text[: found.start()].rstrip(" \t"), found) for found in begins]
    starts = [len(before) for before, _ in places]
    # What stands in a paragraph of its own behind the last choice, such as `Answer:`, is none of it.
    last_end = text.find("\n\n", begins[-1].end())
    ends = [*starts[1:], len(text) if last_end < 0 else last_end]
    markers, choices = [], []
    for start, found, end in zip(starts, begins, ends, strict=True):
        blank = len(text[found.end() : end]) - len(text[found.end() : end].lstrip(" \t"))
        markers.append(text[start : found.end() + blank])
        choices.append(text[found.end() + blank : end])
    if not all(choice.strip() for choice in choices):
        raise ValueError("a choice without text")
    before = text[: starts[0]]
    asked = _last_sentence(before) if claim_is_last_sentence else before.strip()
    own = "\n".join([asked, *sorted(choice.strip() for choice in choices)])
    named = str(claim) if claim is not None else own
    return ABQuestion(before, tuple(markers), tuple(choices), text[ends[-1] :], right, wrong, opening, named)


def read_questions(
    dataset: datasets.Dataset, claim_column: str | None = None, *, claim_is_last_sentence: bool = False
) -> ABQuestions:
    """The A/B questions of a dataset; rows that are none are left out and counted.

    Args:
        dataset: with the columns question, answer_matching_behavior and answer_not_matching_behavior.
        claim_column: says what each question rests on; by default `claim` where there is one, else every question
            stands for itself.
        claim_is_last_sentence: the claim is the last sentence before the choices, with these; see `read_question`.

    Raises:
        ColumnError: a column is missing.
        OptionError: a claim column is named besides.
        DatasetError: no row is an A/B question.

    Example:
        >>> import datasets
        >>> rows = {"question": ["Tea?\\n (A) Yes\\n (B) No"], "answer_matching_behavior": ["(A)"],
        ...         "answer_not_matching_behavior": ["(B)"]}
        >>> len(read_questions(datasets.Dataset.from_dict(rows)).questions)
        1
    """
    if claim_column and claim_is_last_sentence:
        raise OptionError(
            f"claim_column={claim_column!r} (--claim-column) and claim_is_last_sentence (--claim-is-last-sentence) "
            f"both say what the claim is; give one of them"
        )
    column = None if claim_is_last_sentence else claim_column or (CLAIM if CLAIM in dataset.column_names else None)
    names = [QUESTION, MATCHING, OTHER, *([column] if column else [])]
    require_columns(
        dataset,
        *names,
        of="the set of A/B questions",
        otherwise="give its columns these names, and name that of the claims with claim_column= (--claim-column)",
    )
    found: list[ABQuestion] = []
    left_out: Counter[str] = Counter()
    for cells in dataset.select_columns(names):
        try:
            found.append(read_question(*(cells[name] for name in names), claim_is_last_sentence=claim_is_last_sentence))
        except ValueError as problem:
            left_out[str(problem)] += 1
    if not found:
        raise DatasetError(
            f"none of {len(dataset)} rows is an A/B question: {counts_in_words(left_out) or 'there are none'}; a "
            f"question lists its choices behind letters such as (A), and each answer names one"
        )
    if left_out:
        logger.warning("%d of %d rows are left out: %s", left_out.total(), len(dataset), counts_in_words(left_out))
    return ABQuestions(tuple(found), dict(left_out))


def without_claims_of(questions: Sequence[ABQuestion], others: Sequence[ABQuestion]) -> tuple[list[ABQuestion], int]:
    """Questions whose claim none of the others rests on, and how many are left out.

    Example:
        >>> asked = read_question("Tea?\\n (A) Yes\\n (B) No", "(A)", "(B)")
        >>> without_claims_of([asked], [asked.turned])
        ([], 1)
    """
    known = {question.claim for question in others}
    kept = [question for question in questions if question.claim not in known]
    return kept, len(questions) - len(kept)


def split_by_claim(
    questions: Sequence[ABQuestion], share: float, seed: int
) -> tuple[list[ABQuestion], list[ABQuestion]]:
    """Questions in two parts that have no claim in common, in their order.

    Args:
        questions: to split.
        share: of the claims, about, that the second part has; at least one where there are two.
        seed: draws which.

    Example:
        >>> asked = [read_question(f"{i}?\\n (A) Yes\\n (B) No", "(A)", "(B)") for i in range(10)]
        >>> first, second = split_by_claim(asked, 0.2, seed=0)
        >>> len(first), len(second)
        (8, 2)
    """
    import numpy as np

    claims = sorted({question.claim for question in questions})
    n_drawn = min(max(1, round(share * len(claims))), len(claims) - 1)
    drawn = {claims[place] for place in np.random.default_rng(seed).permutation(len(claims))[:n_drawn]}
    first = [question for question in questions if question.claim not in drawn]
    return first, [question for question in questions if question.claim in drawn]


def _last_sentence(text: str) -> str:
    """The last sentence of a text, without a heading of choices behind it such as `Choices:`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    while len(lines) > 1 and lines[-1].endswith(":"):
        lines.pop()
    return _SENTENCE_END.split(lines[-1])[-1] if lines else ""


def _choices_begin(text: str) -> list[re.Match[str]]:
    """The markers of the last run of choices, from A on; none where there are no two."""
    found: list[re.Match[str]] = []
    for marker in _MARKER.finditer(text):
        if marker[1] == "A":
            found = [marker]
        elif found and ord(marker[1]) == ord(found[-1][1]) + 1:
            found.append(marker)
    return found if len(found) > 1 else []
