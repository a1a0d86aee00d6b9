"""Writing one field of a card's header anew, in which all comments stay."""

from __future__ import annotations

import re
from typing import Any

import yaml

from fac_datasets.rows.card_header import HeaderLoader, split_card


def field_lines(name: str, value: Any, existing: str | None) -> str:
    """A field of a header: as it stood there if that means the same, else changed where it differs.

    Args:
        name: of the field.
        value: that it is to have.
        existing: its lines; None where there are none.

    Example:
        >>> field_lines("tags", ["a", "b"], "tags: [a] # mine\\n")
        'tags: [a, b] # mine\\n'
    """
    if existing is None:
        return _dumped({name: value})
    if _means(existing, name, value):
        return existing
    edited = _edited(existing, value)
    if edited is not None and _means(edited, name, value):
        return edited
    above, below = _comments(existing)
    return above + _dumped({name: value}) + below


def _dumped(value: Any) -> str:
    dumped: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10**6)
    return dumped.removesuffix("...\n")


def _means(lines: str, name: str, value: Any) -> bool:
    """Whether lines give a field a value, for all who read it."""
    try:
        there = split_card(f"---\n{lines}---\n")[0]
        # Languages are also read by those for whom `no` is false, such as the client.
        misread = name == "language" and yaml.safe_load(lines).get(name) != value
    except (ValueError, yaml.YAMLError):
        return False
    return there == {name: value} and not misread


def _edited(lines: str, value: Any) -> str | None:
    """The lines with another value where the old one stands; None where they are not simple enough."""
    try:
        root = yaml.compose(lines, HeaderLoader)
    except yaml.YAMLError:
        return None
    if not isinstance(root, yaml.MappingNode):
        return None
    node = root.value[0][1]
    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, list | dict) for one in values):
        return None
    if isinstance(node, yaml.ScalarNode) and not isinstance(value, list):
        return _replaced(lines, [(node, value)])
    if not isinstance(node, yaml.SequenceNode) or not all(isinstance(item, yaml.ScalarNode) for item in node.value):
        return None
    there = [HeaderLoader("").construct_object(item) for item in node.value]
    if len(there) == len(values):
        return _replaced(lines, list(zip(node.value, values, strict=True)))
    kept = [item for item, one in zip(node.value, there, strict=True) if one in values]
    if not kept:
        return None
    new = [one for one in values if one not in there]
    start, end = _line(lines, kept[-1])
    before = lines[start : kept[-1].start_mark.index]
    if node.flow_style:
        added, at = "".join(f", {_scalar(one)}" for one in new), kept[-1].end_mark.index
    else:
        added, at = "".join(f"{before}{_scalar(one)}\n" for one in new), end
    gone = [_without(lines, item, flow=bool(node.flow_style)) for item in node.value if item not in kept]
    return _spliced(lines, [(at, at, added), *gone])


def _without(lines: str, item: yaml.Node, *, flow: bool) -> tuple[int, int, str]:
    """How to leave an item out, but for a comment behind it."""
    start, end = item.start_mark.index, item.end_mark.index
    if flow:
        comma = re.match(r"\s*,[ \t]*", lines[end:])
        return start, end + (comma.end() if comma else 0), ""
    first, last = _line(lines, item)
    rest = lines[end:last].strip()
    return first, last, f"{rest}\n" if rest else ""


def _line(lines: str, node: yaml.Node) -> tuple[int, int]:
    """Begin of the line in which a node begins, and end of that in which it ends."""
    end = lines.find("\n", node.end_mark.index)
    return lines.rfind("\n", 0, node.start_mark.index) + 1, len(lines) if end < 0 else end + 1


def _replaced(lines: str, new: list[tuple[Any, Any]]) -> str:
    parts = []
    for node, value in new:
        start, end = node.start_mark.index, node.end_mark.index
        if _reads_as(lines[start:end], value):
            continue
        # One without a value stands right behind the colon.
        parts.append((start, end, f"{'' if end > start else ' '}{_scalar(value)}"))
    return _spliced(lines, parts)


def _reads_as(written: str, value: Any) -> bool:
    try:
        return bool(yaml.safe_load(written) == value)
    except yaml.YAMLError:
        return False


def _scalar(value: Any) -> str:
    return _dumped(value).rstrip("\n")


def _spliced(lines: str, parts: list[tuple[int, int, str]]) -> str:
    for start, end, text in sorted(parts, reverse=True):
        lines = f"{lines[:start]}{text}{lines[end:]}"
    return lines


def _comments(lines: str) -> tuple[str, str]:
    """Comments, a line each: those before the end of the last value, and those behind it."""
    try:
        texts = [
            (token.start_mark.index, token.end_mark.index)
            for token in yaml.scan(lines)
            if isinstance(token, yaml.ScalarToken)
        ]
    except yaml.YAMLError:
        return "", ""
    above: list[str] = []
    below: list[str] = []
    place = 0
    for line in lines.splitlines(keepends=True):
        signs = [place + sign.start() for sign in re.finditer(r"(?<!\S)#", line)]
        for at in signs:
            if not any(start <= at < end for start, end in texts):
                (below if texts and at >= texts[-1][1] else above).append(lines[at : place + len(line)].rstrip("\n"))
                break
        place += len(line)
    return "".join(f"{one}\n" for one in above), "".join(f"{one}\n" for one in below)
