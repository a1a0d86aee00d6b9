"""The header of a card on the Hub: YAML between two rules."""

from __future__ import annotations

import re
from typing import Any

import yaml


class HeaderLoader(yaml.SafeLoader):
    """Reads YAML as the Hub does, for which `no` is Norwegian and not false."""


HeaderLoader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


HeaderLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


_HEADER = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


def split_card(card: str) -> tuple[dict[str, Any], str]:
    """Header and text of a card.

    Raises:
        ValueError: the header is no mapping in YAML.

    Example:
        >>> split_card("---\\nlicense: mit\\n---\\nText.")
        ({'license': 'mit'}, 'Text.')
    """
    found = _HEADER.match(card)
    if found is None:
        return {}, card
    try:
        header = yaml.load(found[1], HeaderLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if header is None:
        # A comment, or a title between two rules.
        return ({}, card) if found[1].strip() else ({}, card[found.end() :])
    if not isinstance(header, dict):
        raise ValueError(f"it holds {type(header).__name__}, not fields")
    return {str(name): value for name, value in header.items()}, card[found.end() :]


def header_blocks(card: str) -> dict[str, str]:
    """Lines of each field of a card's header, with the comments behind and below it, for the first also those above it.

    Example:
        >>> header_blocks("---\\nlicense: mit  # for now\\ntags:\\n- a\\n---\\n")["tags"]
        'tags:\\n- a\\n'
    """
    found = _HEADER.match(card)
    text = found[1].replace("\r\n", "\n") if found else ""
    try:
        root = yaml.compose(text, HeaderLoader)
    except yaml.YAMLError:
        return {}
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        return {}
    starts = [text.rfind("\n", 0, key.start_mark.index) + 1 for key, _ in root.value]
    ends = [*starts[1:], len(text)]
    begins = [0, *starts[1:]]
    return {str(key.value): text[begin:end] for (key, _), begin, end in zip(root.value, begins, ends, strict=True)}
