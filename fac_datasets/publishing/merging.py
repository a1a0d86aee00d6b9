"""Merging a card of ours into one that is there, so that what people wrote and declared stays."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from fac_datasets.errors import PublishError
from fac_datasets.files.parquet_layout import CONFIGS
from fac_datasets.publishing.header_fields import field_lines
from fac_datasets.rows.card_header import header_blocks, split_card

BEGIN = "<!-- fac-datasets: this part is written anew with each publication; text outside of it stays -->"
END = "<!-- fac-datasets: end -->"

_MARK = re.compile(r"<!--\s*fac-datasets\s*:(.*?)-->", re.DOTALL | re.IGNORECASE)
"""Either comment, also where an editor has changed its spaces, its case or its words."""

_ADDED = "<!-- tags that were added: {} -->"
"""In our part, so that the next publication can take them away."""

_BY_NAME = ("configs", "dataset_info")
"""Fields that list one entry a config."""

_DATA = (".csv", ".tsv", ".jsonl", ".parquet", ".arrow")
"""Ends of names of files that are data, also where no config says so."""


def merge_card(existing: str | None, ours: str, *, computed: Collection[str] = ()) -> str:
    """Put a card into an existing one.

    Of the existing text all stays but the part that an earlier publication marked as ours. Of its header all stays but
    the entries of our configs in `configs` and `dataset_info`, the fields in `computed`, and the tags that an earlier
    publication added, which a comment in our part lists; other tags are joined.

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
    header, text = _read(existing or "")
    _require_no_conflict(header, new_header)
    tags, added = _tags(header.get("tags"), new_header.get("tags"), earlier=_added_before(text))
    merged = {**new_header, **header}
    if "tags" in merged:
        merged["tags"] = tags
    for name in new_header:
        if name in computed and name != "tags":
            merged[name] = new_header[name]
    for name in _BY_NAME:
        if name in merged:
            merged[name] = _by_config(header.get(name), new_header.get(name), _left(header, new_header))
    # What stood in the existing header keeps its place, and its lines where they say what they said.
    blocks = header_blocks(existing or "")
    names = dict.fromkeys([*header, *new_header])
    lines = [field_lines(name, merged[name], blocks.get(name)) for name in names if merged[name] != []]
    part = "\n".join([BEGIN, *([_ADDED.format(_as_comment(added))] if added else []), new_text.strip(), END])
    return f"---\n{''.join(lines)}---\n" + _with_part(existing or "", text, part)


def _tags(existing: Any, new: Any, *, earlier: Collection[str]) -> tuple[list[str], list[str]]:
    """Tags of the merged card, and those of them that people did not set themselves.

    Args:
        existing: the field of the card that is there.
        new: the field of ours.
        earlier: tags that an earlier publication added.
    """
    if not all(isinstance(tag, str) for tag in _listed(existing)):
        raise PublishError(f"the field 'tags' of the card that is there holds {existing!r}, no tags")
    own = [tag for tag in _listed(existing) if tag not in earlier]
    stay = [tag for tag in _listed(existing) if tag in own or tag in _listed(new)]
    return list(dict.fromkeys([*stay, *_listed(new)])), [tag for tag in _listed(new) if tag not in own]


def _added_before(text: str) -> list[str]:
    """Tags that an earlier publication added, as its part of the text says."""
    before, _, after = _ADDED.partition("{}")
    found = re.search(rf"{re.escape(before)}(.*){re.escape(after)}", text)
    try:
        return [str(tag) for tag in json.loads(found[1])] if found else []
    except (ValueError, TypeError):
        return []


def _as_comment(tags: list[str]) -> str:
    """Tags as what may stand in a comment, which one of them could begin or end."""
    return json.dumps(tags).replace("<", "\\u003c").replace(">", "\\u003e")


def _with_part(card: str, text: str, part: str) -> str:
    """The text of a card with our part where an earlier one stands, or at its end; further ones are left out.

    Raises:
        PublishError: the two comments around a part do not pair, so that it is not sure what is ours.
    """
    marks = list(_MARK.finditer(text))
    open_mark: re.Match[str] | None = None
    for mark in marks:
        is_end = mark[1].strip().lower() == "end"
        if is_end == (open_mark is None):
            _refuse(card, len(card) - len(text), open_mark or mark)
        open_mark = None if is_end else mark
    if open_mark is not None:
        _refuse(card, len(card) - len(text), open_mark)
    if not marks:
        return f"{text.rstrip()}\n\n{part}\n"
    around = [text[: marks[0].start()]]
    around += [text[end.end() : begin.start()] for end, begin in zip(marks[1::2], marks[2::2], strict=False)]
    around.append(text[marks[-1].end() :])
    return around[0] + part + "".join(around[1:])


def _refuse(card: str, header: int, mark: re.Match[str]) -> None:
    """Raise PublishError for a comment without its other one, in a text behind a header of so many characters."""
    line = card.count("\n", 0, header + mark.start()) + 1
    lacking = f"{BEGIN!r} before it" if mark[1].strip().lower() == "end" else f"{END!r} behind it"
    raise PublishError(
        f"the card that is there has {' '.join(mark[0].split())!r} in line {line} without {lacking}, so what "
        f"is of an earlier publication is not sure. Put the missing comment back, or take this one out, then try again"
    )


def require_room(header: Mapping[str, Any], others: Iterable[str]) -> None:
    """Raise PublishError unless a dataset of ours can stand in a repository without changing how others are read.

    Args:
        header: of the card that is there.
        others: files that are there and were not published by us.
    """
    data = [path for path in others if path.endswith(_DATA) and not _hidden(path)]
    if data and not _listed(header.get("configs")):
        raise PublishError(
            f"the repository holds data of its own, such as {data[0]!r}, that no config declares, so that it would be "
            f"read no more; publish to another repository, or declare it as a config first"
        )
    patterns = [
        pattern for entry in _listed(header.get("configs")) if not _is_ours(entry) for pattern in _patterns(entry)
    ]
    foreign = [
        path
        for path in data
        if not path.endswith(".parquet") and any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
    ]
    if foreign:
        raise PublishError(
            f"the repository holds {foreign[0]!r} as data of a config; datasets reads files of one format in a "
            f"repository, and what is published is parquet. Publish to another repository"
        )


def _read(card: str) -> tuple[dict[str, Any], str]:
    try:
        header, text = split_card(card)
    except ValueError as error:
        raise PublishError(
            f"the header of the card that is there cannot be read ({error}); mend README.md, then publish again"
        ) from error
    for name in _BY_NAME:
        if not all(isinstance(entry, Mapping) for entry in _listed(header.get(name))):
            raise PublishError(f"the field {name!r} of the card that is there lists no configs; mend README.md first")
    return header, text


def _left(header: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Configs of an earlier publication that the new one has not."""
    there = {_config_of(entry) for entry in _listed(header.get("configs")) if _is_ours(entry)}
    return there - {_config_of(entry) for entry in _listed(new.get("configs"))}


def _by_config(existing: Any, new: Any, left: Collection[str]) -> list[dict[str, Any]]:
    """Entries of configs: ours, and those that are there and not ours."""
    entries = {_config_of(entry): entry for entry in [*_listed(existing), *_listed(new)]}
    # The Hub's viewer starts with the first.
    first = [_config_of(entry) for entry in _listed(new)]
    return [entries[name] for name in dict.fromkeys([*first, *entries]) if name not in left]


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
    if not ours:
        return
    declared = {_config_of(entry) for entry in _listed(header.get("configs"))}
    described = {_config_of(entry) for entry in _listed(header.get("dataset_info"))}
    for name in sorted(ours & described - declared):
        raise PublishError(
            f"the card that is there describes data of its own as config {name!r}; publish to another repository, or "
            f"declare that data as another config first"
        )
    for entry in _listed(header.get("configs")):
        name = _config_of(entry)
        if _is_ours(entry):
            continue
        if name in ours:
            raise PublishError(
                f"the card that is there declares a config {name!r} that is not of an earlier publication: "
                f"{entry.get('data_files')}. Publish to another repository, or rename that config first"
            )
        if (place := _place_of_ours(entry)) is not None:
            raise PublishError(
                f"the card that is there declares {place!r} as data of config {name!r}, where files of a publication "
                f"go; publish to another repository"
            )
        if (other := _other_format(entry)) is not None:
            raise PublishError(
                f"the card that is there declares {other!r} as data of config {name!r}; datasets reads files of one "
                f"format in a repository, and what is published is parquet. Publish to another repository"
            )
        if entry.get("default"):
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


def _patterns(entry: Mapping[str, Any]) -> list[str]:
    """Patterns of a config's files, from the top of the repository."""
    files = [file.get("path") if isinstance(file, Mapping) else file for file in _listed(entry.get("data_files"))]
    flat = [str(path) for paths_of_split in files for path in _listed(paths_of_split)]
    folder = str(entry.get("data_dir") or "").strip("/")
    return [str(PurePosixPath(folder, path)) for path in (flat or ["**"])] if folder or flat else []


def _place_of_ours(entry: Mapping[str, Any]) -> str | None:
    """A pattern of a config that a file of a table of ours would match."""
    examples = [path.replace("*", "00000-of-00001") for splits in CONFIGS.values() for path in splits.values()]
    return next(
        (pattern for pattern in _patterns(entry) if any(fnmatch.fnmatchcase(path, pattern) for path in examples)), None
    )


def _other_format(entry: Mapping[str, Any]) -> str | None:
    """A file of a config whose name says that it is not parquet."""
    return next((path for path in _patterns(entry) if PurePosixPath(path).suffix not in ("", ".*", ".parquet")), None)


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(path).parts)
