"""RowReader: which columns of a dataset make up its rows, and the rows of a batch in any library's form."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError, DatasetError, RowError
from fac_datasets.rows.cells import cells_of
from fac_datasets.rows.messages import PARTS, Messages
from fac_datasets.rows.row import Row, own_texts, plain_text
from fac_datasets.rows.schemas import READ_COLUMNS, SCHEMAS, Schema, chat, text, text_parts
from fac_datasets.rows.writing import is_text

if TYPE_CHECKING:
    import datasets

ColumnChoice = str | Sequence[str] | None
"""A column, several, or a template such as `"{question}\\n{answer}"`; None for a schema that is known."""

_BATCH_ROWS = 1000

_PREFERENCE = ("chosen", "rejected")

_ANSWERS = ("response", "answer", "completion", "output", "chosen", "rejected", "solution")
"""What the names of columns begin with that answer something, in schemas that are not known too."""

_BY_NAME = {schema.columns[0]: schema for schema in SCHEMAS if len(schema.columns) == 1}


class RowReader:
    """Reads the rows of datasets with given columns.

    Args:
        columns: features of the dataset, or names of its columns.
        column: what is read; by default what the one schema that is present says.
        parts: what is read of messages beside their texts; see `Messages`.

    Raises:
        ColumnError: a column is missing or holds no texts, no schema is known, several are, or a side of a preference
            has to be named.

    Example:
        >>> reader = RowReader(["instruction", "output", "id"])
        >>> reader.columns
        ('instruction', 'output')
        >>> reader.read({"instruction": ["Name a fruit."], "output": ["A pear."], "id": [1]})[0][1]
        {'role': 'assistant', 'content': 'A pear.'}
    """

    def __init__(
        self, columns: Mapping[str, Any] | Sequence[str] | None, column: ColumnChoice = None, parts: Sequence[str] = ()
    ) -> None:
        names = list(columns or ())
        self._features = columns if isinstance(columns, Mapping) else {}
        self._messages = Messages(parts)
        self._beside: list[Schema] = []
        if column is None:
            self._schema, *self._beside = [_as_typed(schema, self._features) for schema in _candidates(names)]
        else:
            self._schema = _chosen(names, self._features, column)
        self._read = self._schema.columns_of(names)
        if not self.has_parts:
            _require_texts(self._read[0], self._features.get(self._read[0]))
        compared = [name for schema in self._beside for name in schema.columns_of(names)]
        self.columns = tuple(dict.fromkeys([*self._read, *compared]))
        """Columns that are needed: those that are read, then those that have to hold nothing else."""
        self.left_out = [
            name
            for name in names
            if column is None
            and name not in self.columns
            and (name in READ_COLUMNS or name.startswith(_ANSWERS))
            and _may_hold_texts(self._features.get(name))
        ]
        """Columns like those of known schemas that are not read, where the caller did not choose."""
        self.repeated: list[str] = []
        """Columns of another schema, whose texts those that are read hold too."""

    @classmethod
    def of_batch(cls, batch: Any, column: ColumnChoice = None, parts: Sequence[str] = ()) -> RowReader:
        """The reader of a batch whose types are known by Arrow or by what it holds."""
        table = getattr(batch, "pa_table", batch)
        names = _names(table)
        if hasattr(table, "schema"):
            known = [name for name in names if name == column or name in READ_COLUMNS or name.startswith(_ANSWERS)]
            types = {name: _feature_of(table.schema.field(name).type) for name in known}
            return cls({**dict.fromkeys(names), **types}, column, parts)
        alone = [name for name in names if name == column or name in _BY_NAME]
        lists = {name for name in alone if any(isinstance(cell, list | dict) for cell in cells_of(batch[name]))}
        return cls({name: {} if name in lists else None for name in names}, column, parts)

    @property
    def has_parts(self) -> bool:
        """Whether rows have several parts, so that positions name one."""
        return self._schema.has_parts

    @property
    def schema(self) -> Schema:
        """The schema of what is read."""
        return self._schema

    @property
    def prefix(self) -> str:
        """What the names of the feature columns start with."""
        return f"{self._read[0]}_" if self._schema.is_pair else ""

    @property
    def unread(self) -> dict[str, int]:
        """How many things in messages were not read, by kind."""
        return dict(self._messages.unread)

    def passed_over(self) -> list[str]:
        """Sentences on what is not read, as far as it is known by now."""
        sentences = []
        if self.repeated:
            sentences.append(f"reading {list(self._read)}; {self.repeated} hold nothing else")
        if self.left_out:
            sentences.append(
                f"reading {list(self._read)}; columns {self.left_out} are not read: name what to read with "
                f"column=..., a name, a list, or a template such as '{{question}}\\n{{answer}}'"
            )
        if self.unread:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.unread.items()))
            sentences.append(
                f"not everything in the messages is read; so far not: {counts} (parts= reads {list(PARTS)})"
            )
        return sentences

    def read(self, batch: Any, refused: list[RowError] | None = None) -> list[Row]:
        """The rows of a batch.

        Args:
            batch: columns by name, in any library's form.
            refused: takes the error of each row that cannot be read, which is then None.

        Raises:
            RowError: a row cannot be read, and `refused` is not given.
        """
        columns = {name: cells_of(batch[name]) for name in self.columns}
        rows: list[Row] = []
        for index, values in enumerate(zip(*columns.values(), strict=True)):
            cells = dict(zip(columns, values, strict=True))
            try:
                row = self._schema.read(cells, index, self._messages)
                rows.append(self._richest(row, cells, index) if self._beside else row)
            except RowError as error:
                if refused is None:
                    raise
                refused.append(error)
                rows.append(None)
        return rows

    def _richest(self, row: Row, cells: Mapping[str, Any], index: int) -> Row:
        """The row, once the other columns that could be meant are found to hold nothing else."""
        for schema in self._beside:
            other = schema.read(cells, index, Messages(self._messages.parts))
            held, also = _paragraphs(row), _paragraphs(other)
            if _within(also, held) or _within(held, also):
                # A text that holds a chat is that chat in some template; of two texts the longer one has more.
                if not self.has_parts and len("".join(also)) > len("".join(held)):
                    row = other
                if schema.name not in self.repeated:
                    self.repeated.append(schema.name)
                continue
            candidates = [self._schema.name, *(each.name for each in self._beside)]
            raise ColumnError(
                f"several columns could be meant, {candidates}, and row {index} of the batch holds different texts in "
                f"them; name one with column=... (--column)"
            )
        return row

    def write(self, row: Row) -> dict[str, Any]:
        """A row as cells of the dataset's columns; a text becomes what asks, or what a user says.

        Raises:
            DatasetError: the schema has no place for the row.
        """
        types = {name: self._features.get(name) for name in self._read}
        cells = {name: cell for name, cell in self._schema.write(row, types).items() if name in types}
        for name, cell in cells.items():
            if isinstance(cell, str) and not is_text(types[name]):
                raise DatasetError(f"column {name!r} holds {types[name]}, in which the text of a row has no place")
        return cells


def row_texts(dataset: datasets.Dataset, column: ColumnChoice = None) -> list[str]:
    """The rows of a dataset as plain texts; see `plain_text`."""
    return list(each_row_text(dataset, column))


def each_row_text(dataset: datasets.Dataset, column: ColumnChoice = None) -> Iterator[str]:
    """The texts of `row_texts` one at a time, so that never all of them are in memory."""
    reader = RowReader(dataset.features, column)
    first = 0
    for batch in dataset.select_columns(list(reader.columns)).with_format("arrow").iter(_BATCH_ROWS):
        try:
            yield from map(plain_text, reader.read(batch))
        except RowError as error:
            raise error.at(first + error.row) from None
        first += len(batch)


def each_row_parts(dataset: datasets.Dataset, column: ColumnChoice = None) -> Iterator[list[str]]:
    """All texts of each row, one row at a time: its parts or messages, and of a preference those of both sides.

    Example:
        >>> from datasets import Dataset
        >>> list(each_row_parts(Dataset.from_dict({"prompt": ["Hi."], "chosen": ["Hello."], "rejected": ["What?"]})))
        [['Hi.', 'Hello.', 'What?']]
    """
    sides = [column] if not {*_PREFERENCE} <= {*dataset.column_names} else list(_PREFERENCE)
    readers = [RowReader(dataset.features, side) for side in sides]
    needed = list(dict.fromkeys(name for reader in readers for name in reader.columns))
    first = 0
    for batch in dataset.select_columns(needed).with_format("arrow").iter(_BATCH_ROWS):
        try:
            for rows in zip(*(reader.read(batch) for reader in readers), strict=True):
                yield list(dict.fromkeys(text for row in rows for text in own_texts(row)))
        except RowError as error:
            raise error.at(first + error.row) from None
        first += len(batch)


def _candidates(names: Sequence[str]) -> list[Schema]:
    """The schemas that could be meant, the one to read first."""
    found = [schema for schema in SCHEMAS if {*schema.columns} <= {*names}]
    found = [
        schema
        for schema in found
        if not any({*schema.columns} < {*other.columns} for other in found) and not _answers_another(schema, found)
    ]
    if any(schema.is_pair for schema in found):
        sides = [name for name in _PREFERENCE if name in names]
        others = [schema.name for schema in found if not schema.is_pair and len(schema.columns) == 1]
        choice = " or ".join(f"column={name!r}" for name in [*sides, *others])
        raise ColumnError(f"this is preference data; name the column to read: {choice}")
    if not found:
        known = "; ".join(dict.fromkeys(schema.name for schema in SCHEMAS if not schema.is_pair))
        raise ColumnError(f"no known schema is among the columns {list(names)}; name what to read with column=... "
                          f"(--column). Known are {known}")  # fmt: skip
    return found


def _answers_another(schema: Schema, found: Sequence[Schema]) -> bool:
    """Whether an earlier schema reads the same columns otherwise, as one with the same asking side and answer."""
    earlier = found[: found.index(schema)]
    return any({*schema.columns} <= {*other.columns, *other.optional} for other in earlier)


def _chosen(names: Sequence[str], features: Mapping[str, Any], column: str | Sequence[str]) -> Schema:
    """The schema of columns that a caller names."""
    template = None
    if isinstance(column, str) and column not in names and "{" in column:
        template, wanted = _template(column)
    else:
        wanted = [column] if isinstance(column, str) else list(column)
    missing = [name for name in wanted if name not in names]
    if missing or not wanted:
        raise ColumnError(
            f"there is no column {missing[0]!r}; the columns are {list(names)}" if missing else "no column is named"
        )
    if template is not None or len(wanted) > 1:
        return text_parts(*wanted, template=template)
    (name,) = wanted
    known = _BY_NAME.get(name)
    if known is not None and known.has_parts:
        return known
    return _as_typed(text(name), features)


def _as_typed(schema: Schema, features: Mapping[str, Any]) -> Schema:
    """The schema, or where its one column of texts holds lists, that of chats."""
    (name, *others) = schema.columns
    holds_lists = not others and not schema.has_parts and holds_chats(features.get(name))
    return chat(name, by_turns=False) if holds_lists else schema


def _template(template: str) -> tuple[list[str], list[str]]:
    """What stands between the columns of a template, and the columns."""
    between, wanted = [""], []
    try:
        for literal, name, form, conversion in string.Formatter().parse(template):
            between[-1] += literal
            if name is not None:
                if form or conversion or not name or name in wanted:
                    raise ValueError("each column stands in it once, as {name}")
                wanted.append(name)
                between.append("")
    except ValueError as error:
        raise ColumnError(f"{template!r} is no template of columns: {error}") from None
    return between, wanted


def holds_chats(feature: Any) -> bool:
    """Whether a column of this type of `datasets` holds lists of messages."""
    return feature is not None and (not hasattr(feature, "dtype") or feature.dtype in ("list", "dict"))


def _may_hold_texts(feature: Any) -> bool:
    return feature is None or holds_chats(feature) or is_text(feature)


def _require_texts(name: str, feature: Any) -> None:
    if not is_text(feature):
        kind = getattr(feature, "dtype", feature)
        raise ColumnError(f"column {name!r} holds {kind}; expected texts or lists of messages")


def _feature_of(kind: Any) -> Any:
    """The type of `datasets` of a type of Arrow."""
    from datasets.features.features import generate_from_arrow_type

    return generate_from_arrow_type(kind)


def _names(batch: Any) -> Sequence[str]:
    return batch.column_names if hasattr(batch, "column_names") else list(batch)


def _paragraphs(row: Row) -> list[str]:
    """The paragraphs of a row, which a template may have parted: what joins them is not the row's own."""
    return [paragraph for text in own_texts(row) for paragraph in text.split("\n\n")]


def _within(parts: Sequence[str], others: Sequence[str]) -> bool:
    """Whether each text of some is part of one of others, however they are spaced."""
    held = " ".join(" ".join(others).split())
    return all(" ".join(part.split()) in held for part in parts)
