"""Preference pairs: a prompt, the better answer and the worse one, as texts, lists of messages or transcripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fac_datasets.rows.messages import NOT_POOLED
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import Chat
from fac_datasets.rows.schemas import PROMPT_COLUMNS
from fac_datasets.synthesis.kinds.base import DataKind, one_text, quoted
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.turns import (
    PROMPT,
    PROMPT_HEADERS,
    RESPONSE,
    RESPONSE_HEADERS,
    in_turn,
    messages_of,
    parts_of,
)

if TYPE_CHECKING:
    import datasets

CHOSEN, REJECTED = "chosen", "rejected"

SAME = "same answer on both sides"

MARGIN = "margin"
"""A column of numbers that trl's `RewardTrainer` reads; 0 asks for no more than that one answer is better."""


class Preference(DataKind):
    """A pair; where sides are transcripts or lists of messages, what was said before is its prompt."""

    name = "preference"
    looks_for = "chosen beside rejected, with or without a prompt"
    turn = 20
    claims = "order"
    prompt_sections = ("context",)

    def __init__(self, rows: datasets.Dataset, column: ColumnChoice = None) -> None:
        super().__init__(rows, column)
        self._sides = {side: RowReader(self.features, side) for side in (CHOSEN, REJECTED)}
        self._prompt = next((name for name in PROMPT_COLUMNS if name in self.features), None)
        self._has_system = "system" in self.features
        self._has_margin = str(getattr(self.features.get(MARGIN), "dtype", "")).startswith(("float", "int"))
        first = next((row for row in map(dict, rows.select_columns(list(self.features))) if self._pair(row)), None)
        pair = self._pair(first) if first else None
        asked = pair[0] if pair else []
        self._repeats = bool(self._prompt and first and asked and self._holds_prompt(first))
        self._has_prompt = bool(asked) or self._prompt is not None
        self.parts = (PROMPT, CHOSEN, REJECTED) if self._has_prompt else (CHOSEN, REJECTED)
        self.headers = {
            CHOSEN: ("Better answer", "Chosen", "Better response", "Best answer", "Good answer", "Answer A"),
            REJECTED: ("Worse answer", "Rejected", "Worse response", "Worst answer", "Bad answer", "Answer B"),
        }
        if self._has_prompt:
            self.headers = {PROMPT: PROMPT_HEADERS, **self.headers, RESPONSE: RESPONSE_HEADERS}

    @classmethod
    def of(
        cls, rows: datasets.Dataset, *, column: ColumnChoice = None, label_column: str | None = None
    ) -> Preference | None:
        """See `DataKind.of`."""
        if label_column is not None or not {CHOSEN, REJECTED} <= {*rows.column_names}:
            return None
        return cls(rows, column)

    @property
    def written(self) -> tuple[str, ...]:
        """See `DataKind.written`."""
        system = ["system"] if self._has_system else []
        margin = [MARGIN] if self._has_margin else []
        return (*([self._prompt] if self._prompt else []), *system, CHOSEN, REJECTED, *margin)

    def asks(self, sample: Sample) -> tuple[tuple[str, str], ...]:
        """See `DataKind.asks`."""
        before = {part: text for part, text in sample.texts.items() if part not in (CHOSEN, REJECTED)}
        return tuple((each["role"], each["content"]) for each in messages_of(replace(sample, texts=before)))

    def answered(self, sample: Sample, answer: str, finished: bool) -> Sample | Rejected:
        """See `DataKind.answered`; the answer becomes the better one."""
        text = one_text(answer, finished)
        if isinstance(text, Rejected):
            return text
        return self._valid(replace(sample, texts={**sample.texts, CHOSEN: text}))

    def claim(self, sample: Sample) -> dict[str, str]:
        """See `DataKind.claim`."""
        chat = quoted([{"role": role, "content": text} for role, text in self.asks(sample)])
        return {"chat": chat, "first": quoted(sample.texts[CHOSEN]), "second": quoted(sample.texts[REJECTED])}

    def _sample_of(self, cells: Mapping[str, Any]) -> Sample | None:
        pair = self._pair(cells)
        if pair is None:
            return None
        asked, chosen, rejected = pair
        found = parts_of(asked)
        if found is None or len(found[0]) % 2 != self._has_prompt:
            return None
        return Sample({**found[0], CHOSEN: chosen, REJECTED: rejected}, system=found[1])

    def _pair(self, cells: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str, str] | None:
        """What was said before, and both answers; None where they answer different things."""
        sides = [self._side(side, cells) for side in (CHOSEN, REJECTED)]
        if not all(side and side[-1]["role"] == "assistant" for side in sides):
            # Sides of plain texts without a prompt are read as what a user says.
            if self._prompt is None and all(len(side) == 1 for side in sides):
                return [], sides[0][0]["content"], sides[1][0]["content"]
            return None
        (*asked, chosen), (*also_asked, rejected) = sides
        if [*map(_said, asked)] != [*map(_said, also_asked)]:
            return None
        return asked, chosen["content"], rejected["content"]

    def _side(self, side: str, cells: Mapping[str, Any]) -> list[dict[str, Any]]:
        reader = self._sides[side]
        (row,) = reader.read({name: [cells[name]] for name in reader.columns}, [])
        return list(row) if isinstance(row, Chat) else []

    def _holds_prompt(self, cells: Mapping[str, Any]) -> bool:
        """Whether a side repeats the prompt that has a column of its own."""
        alone = RowReader({CHOSEN: self.features[CHOSEN]}, CHOSEN).read({CHOSEN: [cells[CHOSEN]]}, [])[0]
        return isinstance(alone, list) and len(alone) > 1

    def _cells(self, sample: Sample) -> dict[str, Any]:
        before = {part: text for part, text in sample.texts.items() if part not in (CHOSEN, REJECTED)}
        asked = messages_of(replace(sample, texts=before))
        cells: dict[str, Any] = {MARGIN: 0} if self._has_margin else {}
        if self._has_system:
            asked = [each for each in asked if each["role"] not in NOT_POOLED]
            cells["system"] = sample.system
        if self._prompt:
            cells[self._prompt] = self._manners[self._prompt].chat(asked)
        in_side: Sequence[dict[str, str]] = asked if self._repeats or not self._prompt else ()
        for side in (CHOSEN, REJECTED):
            answer = {"role": "assistant", "content": sample.texts[side]}
            cells[side] = self._manners[side].chat([*in_side, answer])
        return cells

    def _texts_in(self, answer: str, like: Sample | None) -> Mapping[str, str] | Rejected:
        sections, last = self._sections_in(answer), (CHOSEN, REJECTED)
        names = [part for part, _ in sections]
        # Behind the worse answer the generator went on with another sample.
        sections = sections[: names.index(REJECTED) + 1] if REJECTED in names else sections
        return in_turn(sections, last) if self._has_prompt else self._in_order(dict(sections), last)

    def _valid(self, sample: Sample) -> Sample | Rejected:
        better, worse = (" ".join(sample.texts[side].split()).casefold() for side in (CHOSEN, REJECTED))
        return Rejected(SAME) if better == worse else super()._valid(sample)


def _said(message: Mapping[str, Any]) -> tuple[str, str]:
    return message["role"], message["content"].strip()
