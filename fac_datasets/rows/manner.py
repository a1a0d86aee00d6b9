"""The manner in which a column is written where its type leaves a choice, learned from the cells that are there."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fac_datasets.rows.messages import CONTENT_KEYS, ROLE_KEYS, canonical_role, transcript
from fac_datasets.rows.writing import holds_json, is_text, messages_in, transcript_of

Form = Literal["text", "transcript", "json", "messages"]

_OPEN_END = re.compile(r"\n\nAssistant:\s*\Z")
_NOTHING: tuple[Any, ...] = ("", None, [], {})


@dataclass(frozen=True)
class Manner:
    r"""How the cells of a column are written: as what, in which words for roles, with which blanks around them.

    Example:
        >>> from datasets import Value
        >>> asked = {"role": "user", "content": "Hi."}
        >>> Manner.of("chosen", Value("string"), ["\n\nHuman: Yes?\n\nAssistant: No."]).chat([asked])
        '\n\nHuman: Hi.'
        >>> Manner.of("answer", Value("string"), [" (A)", " (B)"]).text("(A)")
        ' (A)'
    """

    column: str
    feature: Any
    """Its type in `datasets`."""
    form: Form = "text"
    roles: Mapping[str, str] = field(default_factory=dict)
    """What roles are called here."""
    keys: tuple[str, str] | None = None
    """Of role and content in JSON."""
    before: str = ""
    """Blanks that all texts begin with."""
    after: str = ""
    """Blanks that all texts end with, or the open turn of a transcript."""

    @classmethod
    def of(cls, column: str, feature: Any, cells: Iterable[Any]) -> Manner:
        """The manner of some cells of a column; the plainest where there are none.

        Args:
            column: its name.
            feature: its type in `datasets`.
            cells: as plain values; all are looked at.
        """
        held = [cell for cell in cells if cell not in _NOTHING]
        texts = [cell for cell in held if isinstance(cell, str)]
        messages = [message for cell in held for message in _mappings(cell)]
        roles: dict[str, str] = {}
        for message in messages:
            role = next((message[key] for key in ROLE_KEYS if isinstance(message.get(key), str)), None)
            if role is not None:
                roles.setdefault(canonical_role(role), role)
        keys = _keys_of(messages)
        if not is_text(feature):
            return cls(column, feature, "messages", roles, keys)
        if messages:
            return cls(column, feature, "json", roles, keys)
        if texts and transcript(texts[0]):
            end = _OPEN_END.search(texts[0])
            return cls(column, feature, "transcript", after=end[0] if end else "")
        before = _shared([text[: len(text) - len(text.lstrip())] for text in texts])
        after = _shared([text[len(text.rstrip()) :][::-1] for text in texts])[::-1]
        return cls(column, feature, "text", before=before, after=after)

    def text(self, text: str) -> str:
        """A text as a cell, with the blanks of the others around it."""
        return f"{self.before}{text.strip()}{self.after}" if self.before or self.after else text

    def chat(self, messages: Sequence[Mapping[str, Any]]) -> Any:
        """Messages with `role` and `content` as a cell.

        Raises:
            ColumnError: the column holds neither texts nor messages of a known form.
            DatasetError: a transcript has no place for them.
        """
        if self.form == "transcript":
            return transcript_of(messages, self.column) + self.after
        if self.form == "text" and self.feature is not None and len(messages) == 1:
            return self.text(messages[0]["content"])
        if self.form == "text" and self.feature is not None:
            return transcript_of(messages, self.column)
        if self.form == "json":
            return json.dumps(self._keyed(messages), ensure_ascii=False)
        if self.feature is None or holds_json(self.feature):
            return self._keyed(messages)
        return self.called(messages_in(self.feature, messages, self.column))

    def _keyed(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        role, content = self.keys or ("role", "content")
        return [{role: self._name(each["role"]), content: each["content"]} for each in messages]

    def called(self, written: Any) -> Any:
        """What was written, with roles called as they are called here."""
        if isinstance(written, list):
            return [self.called(each) for each in written]
        if isinstance(written, dict):
            return {key: self._renamed(value) if key in ROLE_KEYS else value for key, value in written.items()}
        return written

    def _renamed(self, roles: Any) -> Any:
        return [self._name(role) for role in roles] if isinstance(roles, list) else self._name(roles)

    def _name(self, role: str) -> str:
        canonical = canonical_role(role)
        if canonical == "system" and "developer" in self.roles:
            canonical = "system" if "system" in self.roles else "developer"
        return self.roles.get(canonical, role)


def _shared(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    shortest = min(texts, key=len, default="")
    different = (i for i, letter in enumerate(shortest) if any(text[i] != letter for text in texts))
    return shortest[: next(different, len(shortest))]


def _mappings(cell: Any) -> list[Mapping[str, Any]]:
    """The messages in a cell, of JSON too; those of lists by key as one."""
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):
            cell = json.loads(cell)
    if isinstance(cell, Mapping) and any(isinstance(cell.get(key), list) for key in ROLE_KEYS):
        lists = {key: value for key, value in cell.items() if isinstance(value, list)}
        return [dict(zip(lists, values, strict=False)) for values in zip(*lists.values(), strict=False)]
    found = cell if isinstance(cell, list) else [cell]
    return [each for each in found if isinstance(each, Mapping) and any(key in each for key in ROLE_KEYS)]


def _keys_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    for message in messages:
        role = next((key for key in ROLE_KEYS if message.get(key) is not None), None)
        content = next((key for key in CONTENT_KEYS if message.get(key) is not None), None)
        if role and content:
            return role, content
    return None
