"""Tables of synthetic rows: the user's columns, and beside them where each row comes from."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import SynthesisError

if TYPE_CHECKING:
    import datasets

ID = "synthetic_id"
"""The first column of the provenance; whatever stands before it in a table of synthetic rows is the user's."""

_TYPES = {
    ID: "string",
    "target_feature": "int32",
    "target_name": "string",
    "target_part": "string",
    "target_activation": "float32",
    "target_threshold": "float32",
    "method": "string",
    "attempt": "int32",
    "generator": "string",
    "prompt_digest": "string",
    "steering_strength": "float32",
    "seed": "int64",
    "feature_space": "string",
}

PROVENANCE = tuple(_TYPES)
"""Columns of the provenance table. `target_part` is where in the row the feature peaks, such as `response`."""


def beside(columns: Collection[str]) -> dict[str, str]:
    """What the columns of the provenance are called beside a user's: `synthetic_seed` where he has a `seed`.

    Example:
        >>> names = beside(["text", "seed"])
        >>> names["seed"], names["method"]
        ('synthetic_seed', 'method')
    """
    return {name: _free(name, columns) for name in PROVENANCE}


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"synthetic_{name}"
    return name


def provenance_features() -> datasets.Features:
    """Columns of the provenance table."""
    from datasets import Features, Value

    return Features({name: Value(kind) for name, kind in _TYPES.items()})


def synthetic_features(columns: datasets.Features | None = None) -> datasets.Features:
    """Columns of what `synthesize` returns.

    Args:
        columns: of the user's dataset; by default a `text`.

    Raises:
        SynthesisError: there is a `synthetic_id` among them.
    """
    from datasets import Features, Value

    own = Features({"text": Value("string")}) if columns is None else columns
    if ID in own:
        raise SynthesisError(f"the dataset has a column {ID!r} of its own; rename it, or take the dataset as it was")
    names = beside(own)
    return Features({**own, **{names[name]: kind for name, kind in provenance_features().items()}})


def synthetic_row(cells: dict[str, Any], provenance: dict[str, Any]) -> dict[str, Any]:
    """A row of what `synthesize` returns, of the user's cells and the provenance."""
    names = beside(cells)
    return {**cells, **{names[name]: value for name, value in provenance.items()}}


def own_columns(rows: datasets.Dataset) -> list[str]:
    """The user's columns of synthetic rows; none where these are no such rows."""
    names = rows.column_names
    return list(names[: names.index(ID)]) if ID in names else []


def contents_of(synthetic: datasets.Dataset) -> datasets.Dataset:
    """The user's columns of synthetic rows, without provenance, feature columns and answers of a review.

    Raises:
        SynthesisError: these are no synthetic rows.
    """
    return synthetic.select_columns(_own(synthetic))


def provenance_of(synthetic: datasets.Dataset) -> datasets.Dataset:
    """The provenance of synthetic rows.

    Raises:
        SynthesisError: these are no synthetic rows.
    """
    names = beside(_own(synthetic))
    table = synthetic.select_columns([names[name] for name in PROVENANCE])
    return table.rename_columns({there: name for name, there in names.items() if there != name})


def has_provenance(rows: datasets.Dataset) -> bool:
    """Whether rows have their provenance beside them, which an augmented dataset keeps apart."""
    return not _lacking(rows)


def _own(synthetic: datasets.Dataset) -> list[str]:
    lacking = _lacking(synthetic)
    if lacking:
        raise SynthesisError(f"the synthetic rows lack the columns {lacking}; pass what synthesize returned")
    return own_columns(synthetic)


def _lacking(rows: datasets.Dataset) -> list[str]:
    return [name for name in beside(own_columns(rows)).values() if name not in rows.column_names]
