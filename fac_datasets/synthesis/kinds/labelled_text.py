"""Texts with a label, which is asked for: `ClassLabel`, a string, a number or a boolean, of two or more classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError
from fac_datasets.rows.reader import ColumnChoice
from fac_datasets.synthesis.kinds.base import in_words, quoted
from fac_datasets.synthesis.kinds.text import Text, holds_texts
from fac_datasets.synthesis.samples import Rejected, Sample
from fac_datasets.synthesis.sections import object_in, sections_in

if TYPE_CHECKING:
    import datasets

MOST_LABELS = 100
"""A column of more different values holds no labels."""

_NAMES = ("label", "labels", "class", "target")
"""What columns of labels are called; others have to be named."""

_LABEL = "label"


class LabelledText(Text):
    """A text whose label is that of the row that it is like."""

    name = "labelled-text"
    looks_for = f"a text beside a label ({', '.join(_NAMES)}, a column of ClassLabel, or label_column=)"
    turn = 40
    claims = "label"
    prompt_sections = ("label",)

    def __init__(self, rows: datasets.Dataset, column: ColumnChoice, label_column: str) -> None:
        super().__init__(rows, column)
        self.label_column = label_column
        self.labels = _labels_in(rows, label_column)
        self._names = getattr(rows.features[label_column], "names", None)

    @classmethod
    def of(
        cls, rows: datasets.Dataset, *, column: ColumnChoice = None, label_column: str | None = None
    ) -> LabelledText | None:
        """See `DataKind.of`."""
        found = label_column or _label_column(rows)
        if found is None or not holds_texts(rows, column):
            return None
        return cls(rows, column, found)

    @property
    def written(self) -> tuple[str, ...]:
        """See `DataKind.written`."""
        return (*super().written, self.label_column)

    @property
    def in_words(self) -> str:
        """See `DataKind.in_words`."""
        names = ", ".join(self.label_name(label) for label in self.labels)
        one = "; with one class every synthetic row gets it, and a classifier learns nothing from them"
        return f"{super().in_words}; labels: {names}{one if len(self.labels) == 1 else ''}"

    def label_name(self, label: Any) -> str:
        """See `DataKind.label_name`."""
        return str(self._names[label] if self._names else label)

    def claim(self, sample: Sample) -> dict[str, str]:
        """See `DataKind.claim`."""
        names = quoted([self.label_name(label) for label in self.labels])
        return {"label": self.label_name(sample.label), "labels": names, "text": quoted(sample.whole)}

    def _sample_of(self, cells: Mapping[str, Any]) -> Sample | None:
        sample = super()._sample_of(cells)
        label = cells[self.label_column]
        return None if sample is None or label not in self.labels else Sample(sample.texts, label)

    def _cells(self, sample: Sample) -> dict[str, Any]:
        return {**super()._cells(sample), self.label_column: sample.label}

    def _texts_in(self, answer: str, like: Sample | None) -> Mapping[str, str] | Rejected:
        # A label is not asked for as a part, but many generators write one.
        headers = {**self.headers, _LABEL: ["Label", "Class"]}
        held = object_in(answer)
        stated = str(held[_LABEL]) if held and _LABEL in held else None
        if held is None:
            *_, (part, text) = sections_in(answer, headers) or [("", "")]
            if part == _LABEL and "\n" not in text:
                stated = text
                answer = answer[: answer.rstrip().rfind("\n")].strip() if "\n" in answer.strip() else ""
        if stated is not None and like is not None and not self._is_called(stated, like.label):
            known = any(self._is_called(stated, label) for label in self.labels)
            return Rejected("another label than asked for" if known else "unknown label")
        return super()._texts_in(answer, like)

    def _is_called(self, stated: str, label: Any) -> bool:
        return in_words(stated.strip().strip(".\"'")).casefold() in (
            in_words(self.label_name(label)).casefold(),
            str(label).casefold(),
        )


def least_asked(labels: tuple[Any, ...], asked: Mapping[Any, int]) -> Any:
    """The label that was asked for least so far, the first of several, so that classes stay balanced.

    Example:
        >>> least_asked((0, 1), {0: 2, 1: 1})
        1
    """
    return min(labels, key=lambda label: asked.get(label, 0))


def _label_column(rows: datasets.Dataset) -> str | None:
    """The column of labels by its name or its type."""
    from datasets import ClassLabel

    typed = [name for name, kind in rows.features.items() if isinstance(kind, ClassLabel)]
    named = [name for name in _NAMES if name in rows.column_names]
    return next((name for name in named if name in typed), None) or (
        typed[0] if len(typed) == 1 else named[0] if named else None
    )


def _labels_in(rows: datasets.Dataset, column: str) -> tuple[Any, ...]:
    """The different labels, those of a ClassLabel in its order, else sorted.

    Raises:
        ColumnError: there is no such column, or it holds no labels.
    """
    if column not in rows.column_names:
        raise ColumnError(f"there is no column {column!r} of labels; the columns are {rows.column_names}")
    kind = rows.features[column]
    names = getattr(kind, "names", None)
    if names:
        return tuple(range(len(names)))
    dtype = str(getattr(kind, "dtype", kind))
    if dtype == "bool":
        return (False, True)
    found = (
        {label for label in rows.unique(column) if label is not None}
        if dtype in ("string", "large_string") or dtype.startswith(("int", "uint", "float"))
        else set()
    )
    if not found or len(found) > MOST_LABELS or any(isinstance(label, float) and label % 1 for label in found):
        raise ColumnError(
            f"column {column!r} holds no labels that can be asked for ({len(found):,} of type {dtype}); at most "
            f"{MOST_LABELS} texts, whole numbers or booleans can; name another with label_column= (--label-column), or "
            f"write texts alone with kind='text' (--kind text)"
        )
    return tuple(sorted(found))
