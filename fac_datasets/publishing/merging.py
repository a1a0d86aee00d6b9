"""Merging a card of ours into one that is there, so that what people wrote and declared stays."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from fac_datasets.card import split_card
from fac_datasets.errors import PublishError
from fac_datasets.layout import CONFIGS

BEGIN = "<!-- fac-datasets: this part is written anew with each publication; text outside of it stays -->"
END = "<!-- fac-datasets: end -->"

_OURS = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)

_BY_NAME = ("configs", "dataset_info")
"""Fields that list one entry a config."""


def merge_card(existing: str | None, ours: str, *, computed: Collection[str] = ()) -> str:
    """Put a card into an existing one.

    Of the existing text all stays but the part that an earlier publication marked as ours. Of its header all stays but
    the entries of our configs in `configs` and `dataset_info`, and the fields in `computed`; tags are joined.

    Args:
        existing: the card that is there; None where there is none.
        ours: the new one.
        computed: fields of the header whose new value wins over an existing one.

    Raises:
        PublishError: the existing header cannot be read, or declares a config of somebody else's under a name of ours,
            or another default one.

    Example:
        >>> print(merge_card("---\\npretty_name: Mine\\n---\\nMy words.\\n", "---\\nlicense: mit\\n---\\nOurs.\\n"))
        ---
        pretty_name: Mine
        license: mit
        ---
        My words.
        <BLANKLINE>
        <!-- fac-datasets: this part is written anew with each publication; text outside of it stays -->
        Ours.
        <!-- fac-datasets: end -->
        <BLANKLINE>
    """
    new_header, new_text = split_card(ours)
    part = f"{BEGIN}\n{new_text.strip()}\n{END}"
    if existing is None or not existing.strip():
        return _joined(new_header, f"\n{part}\n")
    header, text = _read(existing)
    _require_no_conflict(header, new_header)
    merged = {**new_header, **header}
    for name in new_header:
        if name in _BY_NAME:
            merged[name] = _by_config(header.get(name), new_header[name])
        elif name == "tags":
            merged[name] = list(dict.fromkeys([*_listed(header.get(name)), *_listed(new_header[name])]))
        elif name in computed:
            merged[name] = new_header[name]
    # What stood in the existing header keeps its place.
    ordered = {name: merged[name] for name in [*header, *new_header]}
    if _OURS.search(text):
        # As a function, since a text of ours may hold backslashes.
        return _joined(ordered, _OURS.sub(lambda _: part, text, count=1))
    return _joined(ordered, f"{text.rstrip()}\n\n{part}\n")


def _read(card: str) -> tuple[dict[str, Any], str]:
    try:
        return split_card(card)
    except ValueError as error:
        raise PublishError(
            f"the header of the card that is there cannot be read ({error}); mend README.md, then publish again"
        ) from error


def _joined(header: Mapping[str, Any], text: str) -> str:
    from huggingface_hub.repocard_data import CardData

    return f"---\n{CardData(**header).to_yaml()}\n---\n{text}"


def _by_config(existing: Any, new: Any) -> list[dict[str, Any]]:
    """Entries of configs: those that are there and not ours, and ours."""
    entries = {_config_of(entry): entry for entry in [*_listed(existing), *_listed(new)]}
    # The Hub's viewer starts with the first.
    first = [_config_of(entry) for entry in _listed(new)]
    return [entries[name] for name in dict.fromkeys([*first, *entries])]


def _config_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("config_name", "default"))


def _listed(value: Any) -> Sequence[Any]:
    """A field that may hold one entry or a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _require_no_conflict(header: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise PublishError where the card that is there declares what only one can declare."""
    ours = {_config_of(entry) for entry in _listed(new.get("configs"))}
    declared = {_config_of(entry) for entry in _listed(header.get("configs"))}
    described = {_config_of(entry) for entry in _listed(header.get("dataset_info"))}
    for name in sorted(ours & described - declared):
        raise PublishError(
            f"the card that is there describes data of its own as config {name!r}; publish to another repository, or "
            f"declare that data as another config first"
        )
    for entry in _listed(header.get("configs")):
        name = _config_of(entry)
        if name in ours and not _is_ours(entry):
            raise PublishError(
                f"the card that is there declares a config {name!r} that is not of an earlier publication: "
                f"{entry.get('data_files')}. Publish to another repository, or rename that config first"
            )
        if ours and name not in ours and (other := _other_format(entry)):
            raise PublishError(
                f"the card that is there declares {other!r} as data of config {name!r}; datasets reads files of one "
                f"format in a repository, and what is published is parquet. Publish to another repository"
            )
        if ours and name not in ours and entry.get("default"):
            raise PublishError(
                f"the card that is there makes {name!r} the default config, and there can be only one; remove "
                f"'default: true' from it, or publish to another repository"
            )


def _is_ours(entry: Mapping[str, Any]) -> bool:
    """Whether a config's files are those of a table of ours."""
    patterns = CONFIGS.get(_config_of(entry), {})
    files = _listed(entry.get("data_files"))
    return bool(files) and all(
        isinstance(file, Mapping) and file.get("path") == patterns.get(str(file.get("split"))) for file in files
    )


def _other_format(entry: Mapping[str, Any]) -> str | None:
    """A file of a config whose name says that it is not parquet."""
    paths = [file.get("path") if isinstance(file, Mapping) else file for file in _listed(entry.get("data_files"))]
    flat = [str(path) for paths_of_split in paths for path in _listed(paths_of_split)]
    return next((path for path in flat if PurePosixPath(path).suffix not in ("", ".*", ".parquet")), None)
