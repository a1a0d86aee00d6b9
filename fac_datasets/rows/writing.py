"""Messages written in the form of a column: in its keys, as texts by turns, lists by key, JSON or a transcript."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fac_datasets.errors import ColumnError, DatasetError
from fac_datasets.rows.messages import TURN_KEYS

_FORMS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("role", "content", {}),
    ("from", "value", {"user": "human", "assistant": "gpt"}),
)
"""Keys of role and content in OpenAI's and in ShareGPT's convention, and what roles are called there."""

_SPEAKERS = {"user": "Human", "assistant": "Assistant"}


def messages_in(feature: Any, messages: Sequence[Mapping[str, Any]], column: str) -> Any:
    """Messages as a cell of a column.

    Args:
        feature: the column's type in `datasets`; None for one that is not known, which gets OpenAI's form.
        messages: with `role` and `content`.
        column: its name, for the error.

    Raises:
        ColumnError: the column holds neither texts nor messages of a known form.

    Example:
        >>> from datasets import List, Value
        >>> sharegpt = List({"from": Value("string"), "value": Value("string")})
        >>> messages_in(sharegpt, [{"role": "user", "content": "Hi."}], "conversations")
        [{'from': 'human', 'value': 'Hi.'}]
    """
    message = _element(feature)
    if feature is None or holds_json(feature):
        return [dict(each) for each in messages]
    if _is_text(feature):
        return json.dumps([dict(each) for each in messages], ensure_ascii=False)
    if _is_text(message):
        _require_turns(messages, column)
        return [each["content"] for each in messages]
    by_key = isinstance(feature, dict)
    struct = {key: _element(kind) for key, kind in feature.items()} if by_key else message
    kinds: dict[str, Any] = struct if isinstance(struct, dict) else {}
    keys = list(kinds)
    for role, content, names in _FORMS:
        if role in keys and content in keys:
            written = [
                {
                    **{key: each.get(key) for key in keys},
                    role: names.get(each["role"], each["role"]),
                    content: _content_in(kinds[content], each["content"], column),
                }
                for each in messages
            ]
            return {key: [each[key] for each in written] for key in keys} if by_key else written
    for asks, answers in TURN_KEYS:
        if asks in keys and answers in keys and not by_key:
            _require_turns(messages, column)
            pairs = itertools.zip_longest(messages[::2], messages[1::2], fillvalue={"content": None})
            return [
                {**dict.fromkeys(keys), asks: asked["content"], answers: answered["content"]}
                for asked, answered in pairs
            ]
    raise _no_place(column, feature)


def _require_turns(messages: Sequence[Mapping[str, Any]], column: str) -> None:
    if [each["role"] for each in messages] != [("user", "assistant")[turn % 2] for turn in range(len(messages))]:
        raise DatasetError(f"column {column!r} holds turns, in which user and assistant alternate")


def _content_in(feature: Any, text: str, column: str) -> Any:
    """A text as the content of a message, which may be a list of parts."""
    part = _element(feature)
    if isinstance(part, dict) and "text" in part:
        return [{**dict.fromkeys(part), **({"type": "text"} if "type" in part else {}), "text": text}]
    if _is_text(feature) or _is_json(feature):
        return text
    raise _no_place(column, feature)


def _no_place(column: str, feature: Any) -> ColumnError:
    return ColumnError(
        f"column {column!r} holds {feature}; synthetic texts go into texts or messages with `role` and `content`"
    )


def transcript_of(messages: Sequence[Mapping[str, Any]], column: str) -> str:
    """Messages as one text with their speakers before them, as `transcript` reads it.

    Raises:
        DatasetError: another than user and assistant speaks, or a text spells such a turn.

    Example:
        >>> transcript_of([{"role": "user", "content": "Hi."}], "chosen")
        '\\n\\nHuman: Hi.'
    """
    for each in messages:
        if each["role"] not in _SPEAKERS:
            raise DatasetError(f"column {column!r} holds transcripts, in which no {each['role']} can speak")
        if any(f"\n\n{name}:" in each["content"] for name in _SPEAKERS.values()):
            raise DatasetError(f"column {column!r} holds transcripts, in which a text cannot spell a turn")
    return "".join(f"\n\n{_SPEAKERS[each['role']]}: {each['content']}" for each in messages)


def is_text(feature: Any) -> bool:
    """Whether a column of this type of `datasets` holds texts; one that is not known or empty may."""
    return feature is None or _is_text(feature) or getattr(feature, "dtype", None) == "null"


def _element(feature: Any) -> Any:
    """The type of what a list holds; None of any other type."""
    return feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)


def _is_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string", "string_view") and not _is_json(feature)


def holds_json(feature: Any) -> bool:
    """Whether a column of this type of `datasets` holds JSON, or lists of it."""
    return _is_json(feature) or _is_json(_element(feature))


def _is_json(feature: Any) -> bool:
    return type(feature).__name__ == "Json"
