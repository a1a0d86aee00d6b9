"""Names of features, for reports that say which ones are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fac_datasets.errors import ColumnError, OptionError
from fac_datasets.feature_space import FeatureSpace, require_table_space
from fac_datasets.rows.one_dataset import is_stream, require_dataset
from fac_datasets.rows.tables import require_columns
from fac_datasets.sae.shipped_names import shipped_names

if TYPE_CHECKING:
    import datasets

LONGEST_NAME = 80
"""Characters of a name that are shown."""


class FeatureNames(NamedTuple):
    """What is known of features by id."""

    names: Mapping[int, str]
    spans: Mapping[int, Mapping[str, Any]]
    """An excerpt in which each fires: `text`, and `start` and `end` of the token where it peaks."""


NO_NAMES = FeatureNames({}, {})


def names_of(given: Mapping[int, str] | datasets.Dataset | None, space: FeatureSpace | None = None) -> FeatureNames:
    """Names that were given by id, or as a feature table, with its strongest spans.

    Args:
        given: names by id; or a feature table with names, of which those that people gave have the last word.
        space: that a table which names its own must be of.

    Raises:
        OptionError: it is neither, or an id or a name is none.
        ColumnError: the table has no names, or columns of other types.
        DatasetError: it is several tables, or a stream.
        FeatureSpaceMismatch: the table is of another space.
    """
    if given is None:
        return NO_NAMES
    if hasattr(given, "column_names") or is_stream(given):
        require_dataset(given, "the table of feature_names")
        require_columns(given, "feature_id", "explanation")
        _require_types(given)
        if space is not None and "feature_space" in given.column_names:
            require_table_space(given, space)
        wanted = {"feature_id", "explanation", "review_explanation", "review_fits", "spans"}
        table: Any = given
        rows = table.select_columns([name for name in table.column_names if name in wanted]).to_list()
        names = {int(row["feature_id"]): reviewed_name(row) for row in rows}
        spans = {
            int(row["feature_id"]): {part: row["spans"][0][part] for part in ("text", "start", "end")}
            for row in rows
            if row.get("spans")
        }
        return FeatureNames({feature: name for feature, name in names.items() if name}, spans)
    if not isinstance(given, Mapping):
        raise OptionError(f"feature_names={given!r} are neither names by id nor a feature table with names")
    for feature, name in given.items():
        if not isinstance(name, str) or isinstance(feature, bool) or not hasattr(feature, "__index__"):
            raise OptionError(f"feature_names= holds {feature!r}: {name!r}; give texts by whole numbers")
    return FeatureNames({int(feature): name for feature, name in given.items()}, {})


def _require_types(table: datasets.Dataset) -> None:
    """Raise ColumnError unless the columns of a table with names hold what those of a feature table hold."""
    kinds = table.features
    parts = getattr(kinds.get("spans"), "feature", None)
    odd = {
        "feature_id": "int" not in str(getattr(kinds["feature_id"], "dtype", "")),
        "explanation": getattr(kinds["explanation"], "dtype", "") not in ("string", "large_string", "null"),
        "spans": "spans" in kinds and not (isinstance(parts, Mapping) and {"text", "start", "end"} <= {*parts}),
    }
    for name, is_odd in odd.items():
        if is_odd:
            raise ColumnError(f"the table's column {name!r} holds {kinds[name]}; give a table that explain() named")
    if None in table["feature_id"][:]:
        raise ColumnError("the table's column 'feature_id' is null in some rows; leave them out with filter")


def names_at_hand(feature_names: Any, features: Any, space: FeatureSpace) -> FeatureNames:
    """The names that were given, or else those of a table in `features`, or those that ship with the embedded SAE."""
    if feature_names is None and "explanation" in (getattr(features, "column_names", None) or ()):
        feature_names = features
    return names_that_ship(space) if feature_names is None else names_of(feature_names, space)


def names_that_ship(space: FeatureSpace) -> FeatureNames:
    """The names of the embedded SAE's features in a space of its; no names in other spaces."""
    return _names_of_sae(space) if shipped_names(space) is not None else NO_NAMES


@cache
def _names_of_sae(space: FeatureSpace) -> FeatureNames:
    return names_of(shipped_names(space))


def reviewed_name(row: Mapping[str, Any]) -> str | None:
    """A feature's name: the one that reviewers gave it, else its explanation unless they found that it does not fit."""
    if row.get("review_explanation"):
        return str(row["review_explanation"])
    return None if row.get("review_fits") in ("no", "cannot tell") else row.get("explanation")


def one_line(text: str) -> str:
    """A text, which comes from data, on one line and without control characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def shown_name(name: str) -> str:
    """A name, which comes from data, on one line, without control characters and not long."""
    line = one_line(name)
    return line if len(line) <= LONGEST_NAME else f"{line[:LONGEST_NAME]}…"


def in_words(features: Iterable[int], names: Mapping[int, str], most: int = 10) -> str:
    """The first of some features, with their names where these are known, and how many more there are.

    Example:
        >>> in_words([12, 7, 5, 3], {12: "apples"}, most=3)
        '12 (apples), 7, 5 and 1 more'
    """
    all_of_them = [int(feature) for feature in features]
    first = [
        f"{feature} ({shown})" if (shown := shown_name(names.get(feature, ""))) else str(feature)
        for feature in all_of_them[:most]
    ]
    more = len(all_of_them) - len(first)
    return ", ".join(first) + (f" and {more:,} more" if more else "")
