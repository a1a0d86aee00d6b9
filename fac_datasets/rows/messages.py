"""Messages and chats in every convention, read as one: `role`, and a text `content`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fac_datasets.errors import OptionError, RowError
from fac_datasets.rows.row import Chat

PARTS = ("reasoning", "tool_calls")
"""What messages hold beside their text, and what `parts=` reads of it."""

ROLES = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "function_call": "assistant", "tool_call": "assistant",
    "system": "system", "developer": "developer",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool", "tool_response": "tool",
}  # fmt: skip
"""What roles are called, and what they are; a role that is not among them keeps its name."""

NOT_POOLED = ("system", "developer")
"""Roles whose messages are instructions of whoever runs the model, not the row's own text."""

ROLE_KEYS = ("role", "from")
_PLAIN_KEYS = {"role", "content"}
CONTENT_KEYS = ("content", "value", "text")
"""Keys of role and content, in the order in which they are looked for."""
TURN_KEYS = (("input", "output"), ("user", "assistant"), ("human", "assistant"), ("prompt", "response"))
"""Keys of a turn that holds what both say."""
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_CALL_KEYS = ("tool_calls", "function_call")
_TEXT_PARTS = ("text", "input_text", "output_text")
_TURN = re.compile(r"(?:\A|\n\n)[ \t]*(Human|Assistant):[ \t]*")


def canonical_role(role: str) -> str:
    """The role that a name stands for.

    Example:
        >>> canonical_role("gpt"), canonical_role("critic")
        ('assistant', 'critic')
    """
    return ROLES.get(role) or ROLES.get(role.casefold(), role)


def require_parts(parts: Iterable[str]) -> tuple[str, ...]:
    """Parts of messages to read, sorted, each once.

    Raises:
        OptionError: one is none.
    """
    wanted = tuple(sorted({parts} if isinstance(parts, str) else {*parts}))
    odd = [part for part in wanted if part not in PARTS]
    if odd:
        raise OptionError(f"parts={odd} are none of {list(PARTS)}")
    return wanted


class Messages:
    """Reads chats, and counts what it does not read.

    Args:
        parts: of `PARTS`, what is read as a part of a message's text: reasoning before it, calls of tools behind it.
    """

    def __init__(self, parts: Sequence[str] = ()) -> None:
        self.parts = require_parts(parts)
        self.unread: Counter[str] = Counter()
        """How many things of each kind were not read."""

    def chat(self, given: Any, index: int, *, by_turns: bool = True) -> Chat:
        """A chat in any form.

        Args:
            given: a list of messages or of texts by turns, lists by key, JSON of these, a transcript, or one text.
            index: of the row, for errors.
            by_turns: whether a list of texts is one of turns; where no name says so, it may be of words or labels.

        Raises:
            RowError: it is in no known form, or holds nothing that is read.

        Example:
            >>> Messages().chat([{"from": "human", "value": "Hi."}], 0)
            [{'role': 'user', 'content': 'Hi.'}]
            >>> Messages().chat(["Hi.", "Hello."], 0)[1]
            {'role': 'assistant', 'content': 'Hello.'}
        """
        before = dict(self.unread)
        chat = Chat([self.message(message, index) for message in _messages(given, index, by_turns)])
        self.require_some(before, chat, index)
        return chat

    def require_some(self, before: Mapping[str, int], chat: Sequence[Mapping[str, Any]], index: int) -> None:
        """Raise RowError where messages hold no text but something that was not read since a count."""
        if self.unread != before and not any(message["content"].strip() for message in chat):
            left_out = self.unread - Counter(before)
            readable = [part for part in PARTS if part in left_out]
            hint = f"read them with parts={readable}, or leave the row out" if readable else "leave it out"
            raise RowError(index, f"holds only {', '.join(sorted(left_out))}, which are not read; {hint}")

    def message(self, given: Any, index: int) -> dict[str, Any]:
        """A message with `role` and a text `content`.

        Raises:
            RowError: it has neither, or another content than texts.
        """
        if type(given) is dict and given.keys() == _PLAIN_KEYS:
            role, content = given["role"], given["content"]
            if type(content) is str and type(role) is str:
                # Nearly all messages are so, and there are many.
                return {"role": canonical_role(role), "content": content}
        if not isinstance(given, Mapping):
            raise RowError(index, f"is a list of {type(given).__name__}; expected a text or a list of messages")
        # A union of two conventions leaves the keys of the other empty.
        held = {str(key): value for key, value in given.items() if value is not None}
        role = next((held[key] for key in ROLE_KEYS if key in held), None)
        if not isinstance(role, str) or not any(key in given for key in CONTENT_KEYS):
            raise RowError(index, f"has a message with keys {sorted(map(str, given))}; expected `role` and `content`")
        content = next((held[key] for key in CONTENT_KEYS if key in held), "")
        reasoning, texts, calls = self._content(content, index)
        reasoning += [held[key] for key in _REASONING_KEYS if isinstance(held.get(key), str) and held[key]]
        calls += [held[key] for key in _CALL_KEYS if held.get(key)]
        kept = {key: value for key, value in held.items() if key not in (*ROLE_KEYS, *CONTENT_KEYS)}
        pieces = ["".join(texts)]
        if reasoning and self._reads("reasoning", len(reasoning)):
            pieces = [*reasoning, *pieces]
            kept = {key: value for key, value in kept.items() if key not in _REASONING_KEYS}
        if calls and self._reads("tool_calls", len(calls)):
            pieces += [json.dumps(call, ensure_ascii=False) for call in calls]
            kept = {key: value for key, value in kept.items() if key not in _CALL_KEYS}
        text = "\n\n".join(filter(None, pieces)) if len(pieces) > 1 else pieces[0]
        return {"role": canonical_role(role), "content": text, **kept}

    def _reads(self, part: str, count: int) -> bool:
        if part not in self.parts:
            self.unread[part] += count
        return part in self.parts

    def _content(self, content: Any, index: int) -> tuple[list[str], list[str], list[Any]]:
        """Reasoning, texts and calls of tools of a content, which may be a list of parts."""
        reasoning: list[str] = []
        texts: list[str] = []
        calls: list[Any] = []
        if isinstance(content, int | float):
            # A column of JSON gives back a text of digits as a number.
            content = json.dumps(content)
        for part in [content] if isinstance(content, str | Mapping) else content if _is_list(content) else [None]:
            if isinstance(part, str):
                texts.append(part)
                continue
            if not isinstance(part, Mapping):
                odd = type(part if _is_list(content) else content).__name__
                raise RowError(index, f"has a message whose content holds {odd}; expected a text, or parts with one")
            held = {key: value for key, value in part.items() if value is not None}
            kind = str(held.get("type") or ("text" if "text" in held else "something else"))
            thought = next((held[key] for key in ("thinking", *_REASONING_KEYS) if key in held), None)
            if thought is None and kind in ("thinking", "reasoning"):
                thought = held.get("text")
            if thought is not None:
                reasoning.append(str(thought))
            elif kind in _TEXT_PARTS or (kind not in ("tool_use", "tool_call") and isinstance(held.get("text"), str)):
                texts.append(str(held.get("text") or ""))
            elif kind in ("tool_use", "tool_call", "function_call"):
                calls.append({key: value for key, value in held.items() if key != "type"})
            else:
                self.unread[kind] += 1
        return reasoning, texts, calls


def _messages(given: Any, index: int, by_turns: bool) -> Iterable[Any]:
    """The messages of a chat in any form, each still in its own."""
    if isinstance(given, str):
        decoded = _decoded(given)
        if decoded is not None:
            return _messages(decoded, index, by_turns)
        return transcript(given) or [{"role": "user", "content": given}]
    if isinstance(given, Mapping):
        lists = {key: value for key, value in given.items() if _is_list(value)}
        roles = next((key for key in ROLE_KEYS if key in lists), None)
        if roles is None:
            return [given]
        counts = {len(value) for value in lists.values()}
        if len(counts) > 1:
            raise RowError(index, f"has lists of {sorted(counts)} messages; expected lists of one length")
        return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    if not _is_list(given):
        raise RowError(
            index, f"holds {type(given).__name__} {str(given)[:60]!r}; expected a text or a list of messages"
        )
    if given and all(isinstance(message, str) for message in given):
        decoded = [_decoded(message) for message in given]
        if all(isinstance(message, Mapping) for message in decoded):
            return decoded
        if by_turns:
            return [{"role": ("user", "assistant")[turn % 2], "content": text} for turn, text in enumerate(given)]
    if given and all(isinstance(turn, Mapping) and _sides(turn) for turn in given):
        return [
            {"role": role, "content": turn[key]}
            for turn in given
            for role, key in zip(("user", "assistant"), _sides(turn) or (), strict=True)
            if turn[key] is not None
        ]
    return list(given)


def _sides(turn: Mapping[str, Any]) -> tuple[str, str] | None:
    """The keys under which a turn holds what both say."""
    if any(key in turn for key in ROLE_KEYS):
        return None
    return next((keys for keys in TURN_KEYS if all(key in turn for key in keys)), None)


def transcript(text: str) -> list[dict[str, str]] | None:
    """The messages of a transcript with `Human:` and `Assistant:` before its turns; None of any other text.

    Example:
        >>> transcript("\\n\\nHuman: Hi.\\n\\nAssistant: Hello.")[1]
        {'role': 'assistant', 'content': 'Hello.'}
    """
    turns = list(_TURN.finditer(text))
    if not turns or text[: turns[0].start()].strip() or not any(turn[1] == "Human" for turn in turns):
        return None
    ends = [turn.start() for turn in turns[1:]] + [len(text)]
    return [
        {"role": canonical_role(turn[1]), "content": text[turn.end() : end].strip()}
        for turn, end in zip(turns, ends, strict=True)
    ]


def _decoded(text: str) -> Any:
    """What a text of JSON holds, where it is a list or an object; None of any other text."""
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(held, list) and held and all(isinstance(message, Mapping) for message in held):
        return held if all(_is_message(message) or _sides(message) for message in held) else None
    return held if isinstance(held, Mapping) and _is_message(held) else None


def _is_message(held: Mapping[str, Any]) -> bool:
    has_content = any(key in held for key in (*CONTENT_KEYS, *_CALL_KEYS))
    return any(key in held for key in ROLE_KEYS) and has_content


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
