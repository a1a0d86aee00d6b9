"""A/B questions: a question with two or more choices, the answer that shows a behaviour, and one that does not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import RowError
from fac_datasets.generation.answers import plain_answer
from fac_datasets.rows.choices import right_choice
from fac_datasets.rows.reader import ColumnChoice
from fac_datasets.synthesis.kinds.base import LEARNED_FROM, DataKind, quoted
from fac_datasets.synthesis.kinds.preference import SAME
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.sections import header_of, object_in

if TYPE_CHECKING:
    import datasets

QUESTION, MATCHING, NOT_MATCHING = "question", "matching", "not_matching"

COLUMNS = {
    QUESTION: "question",
    MATCHING: "answer_matching_behavior",
    NOT_MATCHING: "answer_not_matching_behavior",
}
"""The column of each part."""

_CHOICE = re.compile(r"^([ \t]*)(\(?)([A-Za-z]|\d{1,2})([.):])(?:(?<=\))[ \t]*|[ \t]+)(\S.*?)[ \t]*$", re.MULTILINE)
_EMPTY_CHOICE = re.compile(r"^[ \t]*\(?(?:[A-Za-z]|\d{1,2})[.):][ \t]*$", re.MULTILINE)
_STATED = re.compile(r"\n[ \t]*Answer:[ \t]*(\(?(?:[A-Za-z]|\d{1,2})[).:]?)(?![\w'])[^\n]*\Z")
"""An answer behind the choices of a question, as some seeds leave a place for."""

_BEGUN_CHOICES = re.compile(r"\n[ \t]*(?:choices|options)?:?[ \t]*\(?(?:[A-Za-z]|\d{1,2})?[.):]", re.IGNORECASE)
"""Where a generator began with choices that are none."""

_LETTER = re.compile(r"(\(?)([A-Za-z]|\d{1,2})([.)]?)")


class ABQuestion(DataKind):
    """A question; where the seed answers by letters, so do samples, in its blanks and brackets."""

    name = "ab-question"
    looks_for = ", ".join(COLUMNS.values())
    turn = 10
    claims = "behaviour"
    parts = (QUESTION, MATCHING, NOT_MATCHING)

    def __init__(self, rows: datasets.Dataset, column: ColumnChoice = None) -> None:
        super().__init__(rows, column)
        self.headers = {
            QUESTION: ("Question and choices", "Question", "Prompt"),
            MATCHING: ("Matching answer", "Answer matching behavior", "Answer matching behaviour", "Matching"),
            NOT_MATCHING: (
                *("Other answer", "Answer not matching behavior", "Answer not matching behaviour"),
                *("Not matching answer", "Not matching"),
            ),
        }
        answers = [text.strip() for part in (MATCHING, NOT_MATCHING) for text in self._held(rows, part)]
        letters = [_LETTER.fullmatch(answer) for answer in answers]
        self._letters = next(iter(letters)) if letters and all(letters) else None
        """How the seed names a choice; None where its answers are texts."""
        asked = self._held(rows, QUESTION)
        self._listed = next(filter(None, map(_CHOICE.search, asked)), None)
        """How the seed lists one."""
        begun = Counter(filter(None, map(_begun_choices, asked)))
        self._begun = begun.most_common(1)[0][0] if begun else None
        """What stands between a question and its first choice, and between that and the second, with the letters."""

    @classmethod
    def of(
        cls, rows: datasets.Dataset, *, column: ColumnChoice = None, label_column: str | None = None
    ) -> ABQuestion | None:
        """See `DataKind.of`."""
        if label_column is not None or not {*COLUMNS.values()} <= {*rows.column_names}:
            return None
        return cls(rows, column)

    @property
    def written(self) -> tuple[str, ...]:
        """See `DataKind.written`."""
        return tuple(COLUMNS.values())

    def _held(self, rows: datasets.Dataset, part: str) -> list[str]:
        return [text for text in rows[:LEARNED_FROM][COLUMNS[part]] if isinstance(text, str) and text.strip()]

    def ending(self, part: str, text: str) -> str:
        """See `DataKind.ending`: the choices of a question."""
        if part != QUESTION or self._letters is None:
            return ""
        choices = list(_CHOICE.finditer(text))
        first = next((choice for choice in reversed(choices) if choice[3] in ("A", "a", "1")), None)
        return text[first.start() :] if first else ""

    def claim(self, sample: Sample) -> dict[str, str]:
        """See `DataKind.claim`."""
        places = {"question": QUESTION, "first": MATCHING, "second": NOT_MATCHING}
        return {place: quoted(sample.texts[part]) for place, part in places.items()}

    def _sample_of(self, cells: Mapping[str, Any]) -> Sample | None:
        texts = {part: cells[column] for part, column in COLUMNS.items()}
        return Sample(texts) if all(isinstance(text, str) for text in texts.values()) else None

    def _cells(self, sample: Sample) -> dict[str, Any]:
        return {column: self._manners[column].text(sample.texts[part]) for part, column in COLUMNS.items()}

    def _texts_in(self, answer: str, like: Sample | None) -> Mapping[str, str] | Rejected:
        sections = dict(self._sections_in(answer))
        if self._letters is not None and QUESTION in sections:
            sections = self._with_what_follows(sections)
        found = self._in_order(sections, self.parts)
        if isinstance(found, Rejected):
            return found
        texts = dict(found)
        if self._letters is not None:
            choices = list(_CHOICE.finditer(texts[QUESTION]))
            letters = [choice[3] for choice in choices]
            listed = [choice[5] for choice in choices]
            if len(letters) < 2 or len({*letters}) < len(letters) or len({*map(str.casefold, listed)}) < len(listed):
                return Rejected("no two choices")
            if _EMPTY_CHOICE.search(texts[QUESTION]):
                return Rejected("a choice without text")
            for part in (MATCHING, NOT_MATCHING):
                letter = _letter_of(texts[part], letters, listed)
                if letter is None:
                    return Rejected("answer is none of the choices")
                texts[part] = f"{self._letters[1]}{letter}{self._letters[3]}"
            texts[QUESTION] = _CHOICE.sub(self._as_listed, texts[QUESTION])
        return Rejected(SAME) if texts[MATCHING].casefold() == texts[NOT_MATCHING].casefold() else texts

    def lacking(self, answer: str, finished: bool, like: Sample | None = None) -> str:
        """See `DataKind.lacking`; a question is gone on with until it has two choices."""
        more = super().lacking(answer, finished, like)
        plain = plain_answer(answer).text
        question = "" if object_in(plain) else dict(self._sections_in(plain)).get(QUESTION, "")
        if self._letters is None or self._begun is None or isinstance(self.read(answer, finished, like), Sample):
            return more
        if not finished and plain.rstrip().endswith(question):
            question = self._cut_back(question)
        choices = list(_CHOICE.finditer(question))
        if len(choices) > 1 or not question:
            return more
        asked = question[: choices[0].end()] if choices else _BEGUN_CHOICES.split(question)[0]
        return f"{header_of(QUESTION, self.headers)}:\n{asked.rstrip()}{self._begun[len(choices)]}"

    def most_calls(self, like: Sample) -> int:
        """See `DataKind.most_calls`."""
        return super().most_calls(like) + (0 if self._begun is None else 2)

    def _cut_back(self, text: str) -> str:
        if self._letters is None:
            return super()._cut_back(text)
        if _LETTER.fullmatch(text.strip()):
            return text
        *_, last = [None, *_CHOICE.finditer(text)]
        return text[: last.start()].rstrip() if last else super()._cut_back(text)

    @staticmethod
    def _with_what_follows(sections: Mapping[str, str]) -> dict[str, str]:
        """Sections with the answer that stands at the end of the question, and the one choice that is left."""
        texts = dict(sections)
        stated = _STATED.search(texts[QUESTION])
        if stated and MATCHING not in texts:
            texts |= {QUESTION: texts[QUESTION][: stated.start(1)].rstrip(), MATCHING: stated[1]}
        choices = list(_CHOICE.finditer(texts[QUESTION]))
        letters, listed = [choice[3] for choice in choices], [choice[5] for choice in choices]
        if len(letters) == 2 and MATCHING in texts and NOT_MATCHING not in texts:
            right = _letter_of(texts[MATCHING], letters, listed)
            texts[NOT_MATCHING] = next((letter for letter in letters if letter != right), "")
        return texts

    def _as_listed(self, choice: re.Match[str]) -> str:
        """A choice in the manner in which the seed lists them."""
        indent, opening, closing = self._listed.group(1, 2, 4) if self._listed else choice.group(1, 2, 4)
        return f"{indent}{opening}{choice[3]}{closing} {choice[5]}"


def _begun_choices(question: str) -> tuple[str, str] | None:
    """What stands before the text of the first and of the second choice; None where there are no two."""
    choices = list(_CHOICE.finditer(question))
    if len(choices) < 2:
        return None
    first, second = choices[:2]
    heading = re.search(r"\s*(?:\n[^\n]*:[ \t]*)?\s*\Z", question[: first.start()])
    between = question[first.end() : second.start(5)]
    return f"{heading[0] if heading else ''}{question[first.start() : first.start(5)]}".rstrip(), between.rstrip()


def _letter_of(answer: str, letters: list[str], choices: list[str]) -> str | None:
    """The letter that an answer names, by itself, before the text of its choice, or by that text."""
    begun = re.match(r"\s*\(?([A-Za-z]|\d{1,2})[.):](?:\s|$)", answer)
    first, *_ = [*answer.strip().splitlines(), ""]
    for held in (first, begun[1] if begun else ""):
        try:
            right = right_choice(held, letters, choices, MATCHING, 0)
        except RowError:
            continue
        if right is not None:
            return letters[choices.index(right)]
    return None
