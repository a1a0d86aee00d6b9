"""Plain texts: a text, a text of several columns, or a chat in which only the user speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError, RowError
from fac_datasets.rows.reader import ColumnChoice, RowReader
from fac_datasets.rows.row import Row, TextParts
from fac_datasets.synthesis.kinds.base import LEARNED_FROM, DataKind
from fac_datasets.synthesis.samples import Sample
from fac_datasets.synthesis.turns import USER

if TYPE_CHECKING:
    import datasets


class Text(DataKind):
    """See the file."""

    name = "text"
    looks_for = "a text (text, prompt, instruction), several texts named with column=, or messages of a user alone"
    turn = 50

    def __init__(self, rows: datasets.Dataset, column: ColumnChoice = None) -> None:
        super().__init__(rows, column)
        reader = RowReader(self.features, column)
        # One side of a pair without the other is a text beside others.
        is_side = reader.schema.is_pair
        self._texts = reader.schema.columns if is_side else reader.schema.columns_of(list(self.features))
        first = rows.select_columns(list(reader.columns))[:LEARNED_FROM]
        read = [row for row in reader.read(first, []) if row]
        self._is_chat = bool(read) and all(isinstance(row, list) for row in read)
        several = not self._is_chat and len(self._texts) > 1
        self.parts = self._texts if several else ("text",)
        self.headers = {part: [part if several else "Text"] for part in self.parts}

    @classmethod
    def of(cls, rows: datasets.Dataset, *, column: ColumnChoice = None, label_column: str | None = None) -> Text | None:
        """See `DataKind.of`."""
        if label_column is not None:
            return None
        return cls(rows, column) if holds_texts(rows, column) else None

    @property
    def written(self) -> tuple[str, ...]:
        """See `DataKind.written`."""
        return self._texts

    def _sample_of(self, cells: Mapping[str, Any]) -> Sample | None:
        (row,) = self.reader.read({name: [cells[name]] for name in self.reader.columns})
        if isinstance(row, TextParts):
            return Sample({part: text for part, text in zip(row.names, row.texts, strict=True) if text.strip()})
        text = _one_text(row)
        return None if text is None else Sample({self.parts[0]: text})

    def _cells(self, sample: Sample) -> dict[str, Any]:
        if self._is_chat:
            (column,) = self._texts
            (text,) = sample.texts.values()
            return {column: self._manners[column].chat([{"role": USER, "content": text}])}
        if len(self.parts) == 1:
            return {self._texts[0]: self._manners[self._texts[0]].text(sample.texts[self.parts[0]])}
        return {part: self._manners[part].text(sample.texts.get(part, "")) for part in self.parts}


def holds_texts(rows: datasets.Dataset, column: ColumnChoice) -> bool:
    """Whether what is read of rows is texts, or what a user alone says.

    Raises:
        RowError: no row can be read.
    """
    try:
        reader = RowReader(rows.features, column)
    except ColumnError:
        return False
    if reader.schema.is_pair and {"chosen", "rejected"} <= {*rows.column_names}:
        return False
    found: list[Row] = []
    refused: list[RowError] = []
    for batch in rows.select_columns(list(reader.columns)).with_format("arrow").iter(LEARNED_FROM):
        found = [row for row in reader.read(batch, refused) if row]
        if found:
            break
    if not found and refused:
        raise refused[0]
    if not found:
        return not reader.has_parts or reader.schema.name in reader.columns
    if any(isinstance(row, list) for row in found):
        return len(reader.schema.columns) == 1 and all(_one_text(row) is not None for row in found)
    names = reader.schema.columns_of(rows.column_names)
    return all(not isinstance(row, TextParts) or {*row.names} <= {*names} for row in found)


def _one_text(row: Row) -> str | None:
    """The text of a row, or what its one message of a user says; None of any other chat."""
    if row is None or isinstance(row, str):
        return row
    if isinstance(row, TextParts):
        return row.whole
    return row[0]["content"] if len(row) == 1 and row[0]["role"] == USER else None
