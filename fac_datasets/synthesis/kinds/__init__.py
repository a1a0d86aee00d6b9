"""Kinds of synthetic data, a file each, recognised by the columns of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fac_datasets.errors import ColumnError, SynthesisError
from fac_datasets.files.variants import subclasses_in
from fac_datasets.rows.reader import ColumnChoice
from fac_datasets.synthesis.kinds.base import DataKind

if TYPE_CHECKING:
    import datasets

KINDS: dict[str, type[DataKind]] = {
    kind.name: kind for kind in sorted(subclasses_in(__name__, DataKind), key=lambda kind: kind.turn)
}
"""Every kind by name, in the order in which they are tried."""


def recognise(
    rows: datasets.Dataset,
    kind: str | None = None,
    *,
    column: ColumnChoice = None,
    label_column: str | None = None,
) -> DataKind:
    """The kind of data that a dataset holds.

    Args:
        rows: the dataset, usually the seed.
        kind: name of the kind; by default the first whose columns are there.
        column: what is measured, as `FeatureExtractor` has it; it also tells which columns are meant.
        label_column: of labels, where nothing else says which it is.

    Raises:
        SynthesisError: there is no such kind.
        ColumnError: the dataset is not of that kind, or of none; the error lists what was looked for.

    Example:
        >>> from datasets import Dataset
        >>> recognise(Dataset.from_dict({"prompt": ["Name a fruit."], "response": ["A pear."], "id": [7]})).in_words
        'kind of data: instruction, columns prompt, response; left empty: id'
    """
    if kind is not None and kind not in KINDS:
        raise SynthesisError(f"there is no data kind {kind!r}; there are {sorted(KINDS)}")
    names = [column] if isinstance(column, str) and "{" not in column else []
    if isinstance(column, str) and column not in rows.column_names and names:
        raise ColumnError(f"there is no column {column!r}; the columns are {rows.column_names}")
    for wanted in KINDS.values() if kind is None else [KINDS[kind]]:
        found = wanted.of(rows, column=column, label_column=label_column)
        if found is not None:
            return found
    looked_for = "; ".join(f"{name}: {each.looks_for}" for name, each in KINDS.items() if kind in (None, name))
    labels = f" with the labels in {label_column!r}" if label_column is not None else ""
    raise ColumnError(
        f"the columns {rows.column_names}{labels} are of no kind of data that can be written"
        + (f" as {kind!r}" if kind else "")
        + f"; looked for {looked_for}. Rename columns, or name what is read with column= (--column)"
    )
