"""How readily a feature fires on text that was made for it: its sensitivity, in the feature table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fac_datasets.errors import OptionError
from fac_datasets.rows.tables import add_columns, require_columns

if TYPE_CHECKING:
    import datasets


def with_sensitivity(table: datasets.Dataset, tries: Mapping[int, tuple[int, int]]) -> datasets.Dataset:
    """A feature table that tells which share of the samples made for a feature activate it.

    Many features do not fire on text that is like the text they fire on (arXiv 2509.23717), so a name alone says little
    of how well it describes a feature.

    Args:
        table: a feature table.
        tries: by feature, on how many samples it fired, and how many were made for it.

    Returns:
        The table with `tries`, the samples made for a feature, 0 where there were none; and `sensitivity`, the share of
        them on which it fired, None where there were none. What the table said of features that are not among the tries
        stays.

    Raises:
        ColumnError: the table has no features.
        OptionError: a feature fired more often than it was tried for.

    Example:
        >>> told = with_sensitivity(table, {table[0]["feature_id"]: (3, 4)})
        >>> told[0]["sensitivity"], told[0]["tries"]
        (0.75, 4)
    """
    from datasets import Value

    require_columns(table, "feature_id")
    for feature, (fired, tried) in tries.items():
        if not 0 <= fired <= tried:
            raise OptionError(
                f"feature {feature} fired on {fired} of {tried} samples; give (fired, tried) with 0 <= fired <= tried"
            )
    features = [int(feature) for feature in table["feature_id"]]
    counts = dict(zip(features, table["tries"], strict=True)) if "tries" in table.column_names else {}
    shares = dict(zip(features, table["sensitivity"], strict=True)) if "sensitivity" in table.column_names else {}
    counts |= {feature: tried for feature, (_, tried) in tries.items()}
    shares |= {feature: fired / tried if tried else None for feature, (fired, tried) in tries.items()}
    return add_columns(
        table,
        {
            "sensitivity": ([shares.get(feature) for feature in features], Value("float32")),
            "tries": ([counts.get(feature) or 0 for feature in features], Value("int64")),
        },
    )
