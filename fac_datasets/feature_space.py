"""What makes two sets of features comparable, and the schema of the feature columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fac_datasets.errors import ColumnError, FeatureSpaceMismatch, OptionError

if TYPE_CHECKING:
    import datasets

QUANTILES = ("q50", "q75", "q90", "q95", "q99")
"""Thresholds by name: quantiles of a feature's own positive token activations on calibration text."""

_PATTERN = re.compile(
    r"(?P<backbone>.+)@(?P<backbone_digest>[0-9a-f]{16})/layer(?P<layer>\d+)/(?P<render>chat|raw)/"
    r"(?P<sae>.+)@(?P<sae_digest>[0-9a-f]{16})/(?P<activation>sae|relu)/max/>(?P<threshold>[^/]+)/"
    r"(?P<windowing>windows|cut)(?P<max_length>\d+)(?:/(?P<reading>[^/]+))?"
)

Threshold = str | float
"""A number in the SAE's units, or the name of a quantile."""


@dataclass(frozen=True)
class FeatureSpace:
    """Everything that decides a row's features. Names are for people and do not take part in comparison."""

    backbone: str = field(compare=False)
    backbone_digest: str
    layer: int
    render: str
    sae: str = field(compare=False)
    sae_digest: str
    activation: str
    threshold: Threshold
    """Cut-off below which activations were not stored."""
    windowing: str
    """`"windows"`, or `"cut"` where long texts were truncated."""
    max_length: int
    reading: str = ""
    """What is read otherwise than by default: `roles=`, `parts=`, `escaped`, joined by `+`; empty by default."""

    @property
    def parts(self) -> tuple[str, ...]:
        """What of messages is read beside their texts."""
        found = re.search(r"parts=([^+]+)", self.reading)
        return tuple(found[1].split(",")) if found else ()

    @property
    def backbone_name(self) -> str:
        """Name and digest of the backbone, as a `LocalGenerator` on it is called."""
        return f"{self.backbone}@{self.backbone_digest}"

    def __str__(self) -> str:
        return (
            f"{self.backbone_name}/layer{self.layer}/{self.render}/{self.sae}@{self.sae_digest}/"
            f"{self.activation}/max/>{format_threshold(self.threshold)}/{self.windowing}{self.max_length}"
            + (f"/{self.reading}" if self.reading else "")
        )

    @classmethod
    def parse(cls, text: str) -> FeatureSpace:
        """Read the string form back.

        Raises:
            ColumnError: the text is not a feature space.
        """
        found = _PATTERN.fullmatch(text)
        if not found:
            raise ColumnError(f"{text!r} is not a feature space; extract the features with FeatureExtractor")
        parts: dict[str, Any] = found.groupdict()
        return cls(
            **{
                **parts,
                "layer": int(parts["layer"]),
                "max_length": int(parts["max_length"]),
                "reading": parts["reading"] or "",
                "threshold": parse_threshold(parts["threshold"]),
            }
        )


def reading_suffix(roles: Sequence[str] | None, parts: Sequence[str], *, escape_special: bool) -> str:
    """What a feature space says of the reading of rows; see `FeatureSpace.reading`.

    Example:
        >>> reading_suffix(["user"], [], escape_special=True)
        'roles=user+escaped'
    """
    options = {"roles": sorted(roles or ()), "parts": sorted(parts)}
    said = [f"{name}={','.join(values)}" for name, values in options.items() if values]
    return "+".join([*said, *(["escaped"] if escape_special else [])])


def require_activation(activation: str) -> None:
    """Raise OptionError unless this is a way to read an SAE's activations."""
    if activation not in ("sae", "relu"):
        raise OptionError(f"activation={activation!r} is neither 'sae' nor 'relu'")


def parse_threshold(threshold: Threshold) -> Threshold:
    """A threshold as a quantile name or a finite number of at least 0.

    Raises:
        OptionError: it is neither.

    Example:
        >>> parse_threshold("q90"), parse_threshold("1.5")
        ('q90', 1.5)
    """
    if isinstance(threshold, str) and threshold in QUANTILES:
        return threshold
    try:
        number = float("nan") if isinstance(threshold, bool) else float(threshold)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 <= number < float("inf"):
        raise OptionError(f"threshold={threshold!r} is neither a number of at least 0 nor one of {list(QUANTILES)}")
    return number


def format_threshold(threshold: Threshold) -> str:
    """The shortest text that `parse_threshold` reads back."""
    return threshold if isinstance(threshold, str) else f"{threshold:.9g}"


def require_same_space(first: FeatureSpace, second: FeatureSpace) -> None:
    """Raise FeatureSpaceMismatch, naming both, unless the two spaces are equal."""
    if first != second:
        raise FeatureSpaceMismatch(
            f"features of two different spaces cannot be combined:\n  {first}\n  {second}\n"
            f"Extract both datasets with the same extractor"
        )


def require_same_but_threshold(first: str | FeatureSpace, second: str | FeatureSpace) -> None:
    """Raise FeatureSpaceMismatch unless two spaces differ in nothing but the cut-off of stored activations."""
    spaces = [FeatureSpace.parse(space) if isinstance(space, str) else space for space in (first, second)]
    require_same_space(*(replace(space, threshold=0.0) for space in spaces))


def require_table_space(table: datasets.Dataset, space: FeatureSpace) -> None:
    """Raise FeatureSpaceMismatch unless a feature table is of this space, whatever the cut-off of either.

    Raises:
        ColumnError: the table does not say of which it is.
    """
    if "feature_space" not in table.column_names:
        raise ColumnError(
            f"the table has no column 'feature_space', which feature_table makes; its columns are {table.column_names}"
        )
    spaces = set(table["feature_space"])
    if None in spaces:
        raise ColumnError("the table's column 'feature_space' is null for some features; leave them out with filter")
    for of_feature in sorted(spaces):
        require_same_but_threshold(of_feature, space)


def feature_columns(
    prefix: str = "", *, spans: bool = True, chat: bool = False, errors: bool = False
) -> dict[str, datasets.Value]:
    """The columns that an extractor adds, with their types.

    Args:
        prefix: `"chosen_"` or `"rejected_"` for preference data.
        spans: with the character offsets of each peak and of all own tokens.
        chat: with the message of each.
        errors: with what is wrong with each row that could not be read.
    """
    from datasets import List, Value

    columns: dict[str, Any] = {
        "feature_ids": List(Value("int32")),
        "feature_activations": List(Value("float32")),
    }
    if spans:
        columns["feature_starts"] = List(Value("int32"))
        columns["feature_ends"] = List(Value("int32"))
        columns["feature_token_starts"] = List(Value("int32"))
        if chat:
            columns["feature_messages"] = List(Value("int32"))
            columns["feature_token_messages"] = List(Value("int32"))
    columns["feature_tokens"] = Value("int32")
    columns["feature_space"] = Value("string")
    if errors:
        columns["feature_error"] = Value("string")
    return {prefix + name: kind for name, kind in columns.items()}


def dataset_space(dataset: datasets.Dataset, prefix: str = "") -> FeatureSpace:
    """The one feature space of a dataset with feature columns.

    Raises:
        ColumnError: the dataset has no feature columns, or no rows.
        FeatureSpaceMismatch: its rows are of several spaces.
    """
    name = f"{prefix}feature_space"
    if name not in dataset.column_names:
        raise ColumnError(
            f"there is no column {name!r} among {dataset.column_names}; add the feature columns with "
            f"dataset.map(FeatureExtractor(...), batched=True)"
        )
    values: set[str | None] = set()
    for batch in dataset.select_columns([name]).with_format("arrow").iter(batch_size=10_000):
        values.update(batch.column(name).unique().to_pylist())
    if None in values:
        raise ColumnError(
            f"{name!r} is null in some rows, which were added without features; extract them, or leave them out with "
            f"filter(lambda row: row[{name!r}] is not None)"
        )
    spaces = [FeatureSpace.parse(value) for value in sorted(map(str, values))]
    if not spaces:
        raise ColumnError(f"column {name!r} holds no feature space: the dataset has no rows")
    for space in spaces[1:]:
        require_same_space(spaces[0], space)
    return spaces[0]
