"""Rows that an extraction with `skip_bad` could not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datasets


def bad_rows(rows: datasets.Dataset, prefix: str = "") -> list[dict[str, Any]]:
    """Of each row that could not be read its index `row` and the `problem`; none where `skip_bad` was not set.

    Args:
        rows: with feature columns.
        prefix: of these columns.

    Example:
        >>> import datasets
        >>> some = datasets.Dataset.from_dict({"text": ["Hello.", None]})
        >>> extracted = some.map(FeatureExtractor(skip_bad=True), batched=True)
        >>> [bad["row"] for bad in bad_rows(extracted)]
        [1]
    """
    name = f"{prefix}feature_error"
    if name not in rows.column_names:
        return []
    return [{"row": row, "problem": problem} for row, problem in enumerate(rows[name]) if problem]


def in_words(bad: list[dict[str, Any]]) -> str:
    """A sentence on them that names the first.

    Example:
        >>> in_words([{"row": 7, "problem": "holds nothing"}, {"row": 9, "problem": "is a list of int"}])
        '2 rows could not be read and have no features; the first is row 7, which holds nothing'
    """
    first = f"row {bad[0]['row']}, which {bad[0]['problem']}"
    if len(bad) == 1:
        return f"{first}, could not be read and has no features"
    return f"{len(bad):,} rows could not be read and have no features; the first is {first}"
