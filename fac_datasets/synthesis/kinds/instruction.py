"""Instructions with responses: columns of both, or chats of one or several turns, with their system prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError
from fac_datasets.generation.base import Outcome
from fac_datasets.generation.refusals import is_refusal
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import Chat
from fac_datasets.rows.writing import is_text
from fac_datasets.synthesis.derived import Derived
from fac_datasets.synthesis.kinds.base import LEARNED_FROM, DataKind, one_text, quoted
from fac_datasets.synthesis.kinds.text import holds_texts
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


class Instruction(DataKind):
    """Of a system prompt and the turns behind it, the turns are written, and the system prompt is kept."""

    name = "instruction"
    looks_for = (
        "a prompt beside its response (instruction and output, prompt and response or completion, question and answer, "
        "query and response), or chats (messages, conversations)"
    )
    turn = 30
    claims = "response"
    prompt_sections = ("context",)
    parts = (PROMPT, RESPONSE)

    def __init__(self, rows: datasets.Dataset, column: ColumnChoice, reader: RowReader) -> None:
        super().__init__(rows, column)
        self.headers = {PROMPT: PROMPT_HEADERS, RESPONSE: RESPONSE_HEADERS}
        self._whole = reader
        self._is_chat = len(reader.schema.columns) == 1
        self._columns = reader.schema.columns_of(list(self.features))
        # Alpaca's `text` beside its parts, a `prompt` beside `messages`: what is read already, in other words.
        beside = [name for name in reader.columns if name not in self._columns and is_text(self.features[name])]
        first = rows.select(range(min(len(rows), LEARNED_FROM) if beside else 0))
        texts = [sample.texts if sample else {} for sample in map(self._sample_of, first)]
        self._derived = {name: Derived.of(texts, first[name]) for name in beside}

    @classmethod
    def of(
        cls, rows: datasets.Dataset, *, column: ColumnChoice = None, label_column: str | None = None
    ) -> Instruction | None:
        """See `DataKind.of`."""
        if label_column is not None:
            return None
        for choice in (None, column) if column is not None else (None,):
            try:
                reader = RowReader(rows.features, choice)
            except ColumnError:
                continue
            named = {column} if isinstance(column, str) else {*(column or ())}
            if _answers(rows, reader, choice) and named <= {*reader.columns}:
                return cls(rows, column, reader)
        return None

    @property
    def written(self) -> tuple[str, ...]:
        """See `DataKind.written`."""
        derived = [name for name, how in self._derived.items() if how.templates]
        return (*self._columns, *derived)

    @property
    def can_be_opened(self) -> bool:
        """See `DataKind.can_be_opened`."""
        return True

    def read(self, answer: str, finished: bool, like: Sample | None = None) -> Sample | Rejected:
        """See `DataKind.read`; a response that declines is none, unless that of the row does too."""
        found = super().read(answer, finished, like)
        if isinstance(found, Sample) and _declines(found) and not (like and _declines(like)):
            return Rejected(Outcome.DECLINED)
        return found

    def asks(self, sample: Sample) -> tuple[tuple[str, str], ...]:
        """See `DataKind.asks`."""
        messages = messages_of(sample)
        if messages[-1]["role"] == "assistant":
            messages.pop()
        return tuple((each["role"], each["content"]) for each in messages)

    def answered(self, sample: Sample, answer: str, finished: bool) -> Sample | Rejected:
        """See `DataKind.answered`."""
        text = one_text(answer, finished)
        if isinstance(text, Rejected):
            return text
        prompts = sum(part.partition("_")[0] == PROMPT for part in sample.texts)
        last = RESPONSE if prompts == 1 else f"{RESPONSE}_{prompts}"
        return self._valid(replace(sample, texts={**sample.texts, last: text}))

    def claim(self, sample: Sample) -> dict[str, str]:
        """See `DataKind.claim`."""
        *asked, answered = messages_of(sample)
        return {"chat": quoted(asked), "response": quoted(answered["content"])}

    def _sample_of(self, cells: Mapping[str, Any]) -> Sample | None:
        (row,) = self._whole.read({name: [cells[name]] for name in self._whole.columns}, [])
        found = parts_of(row) if isinstance(row, list) else None
        if not found or len(found[0]) < 2 or len(found[0]) % 2:
            return None
        return Sample(found[0], system=found[1])

    def _cells(self, sample: Sample) -> dict[str, Any]:
        messages = messages_of(sample)
        if self._is_chat:
            cells = {self._columns[0]: self._manners[self._columns[0]].chat(messages)}
        else:
            types = {name: self.features[name] for name in self._columns}
            # A row without a system prompt has an empty one, as rows without an input have.
            empty = {name: "" for name in self._whole.schema.optional if name in types}
            cells = empty | self._whole.schema.write(Chat(messages), types)
            cells = {name: self._in_its_manner(name, cell) for name, cell in cells.items() if name in types}
        return {**cells, **{name: how.cell(sample.texts) for name, how in self._derived.items() if how.templates}}

    def _in_its_manner(self, name: str, cell: Any) -> Any:
        manner = self._manners[name]
        if isinstance(cell, str) and cell:
            return manner.text(cell)
        return manner.called(cell)

    def _texts_in(self, answer: str, like: Sample | None) -> Mapping[str, str] | Rejected:
        return in_turn(self._sections_in(answer), [RESPONSE])


def _answers(rows: datasets.Dataset, reader: RowReader, column: ColumnChoice) -> bool:
    """Whether a schema has a prompt and a response: columns of both, or chats in which not only users speak."""
    schema = reader.schema
    if schema.is_pair or not reader.has_parts:
        return False
    if len(schema.columns) == 1:
        return not holds_texts(rows, column)
    return schema.answers


def _declines(sample: Sample) -> bool:
    return is_refusal([*sample.texts.values()][-1])
