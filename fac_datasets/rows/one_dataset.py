"""What a caller hands over as rows: one dataset, a stream, or something that is neither and is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from fac_datasets.errors import DatasetError
from fac_datasets.rows.inputs import is_instance

if TYPE_CHECKING:
    import datasets


def is_stream(rows: Any) -> TypeGuard[datasets.IterableDataset]:
    """Whether rows come one after the other and are not kept."""
    return is_instance(rows, "datasets", "IterableDataset")


def require_dataset(given: Any, name: str, *, stream: bool = False) -> None:
    """Raise DatasetError unless this is one dataset, of any number of rows.

    Args:
        given: what a caller handed over.
        name: of it, for the error, such as `"the anchor"`.
        stream: whether a stream will do.
    """
    if is_instance(given, "datasets", "Dataset") or (stream and is_stream(given)):
        return
    if is_stream(given):
        raise DatasetError(
            f"{name} is a stream, but its rows are read more than once here; keep them first, such as with "
            f"Dataset.from_list(list(rows))"
        )
    if isinstance(given, Mapping) and given and all(hasattr(part, "column_names") for part in given.values()):
        raise DatasetError(f"{name} holds the splits {[*given]}; choose one, such as [{next(iter(given))!r}]")
    raise DatasetError(f"{name} is of type {type(given).__name__}; give one datasets.Dataset")
