"""The schemas of rows, one entry each: the columns by which one is known, how a row is read, and how one is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fac_datasets.errors import DatasetError, RowError
from fac_datasets.rows.choices import choices_in, choices_of, listed, right_choice, unlisted
from fac_datasets.rows.messages import Messages
from fac_datasets.rows.row import Answer, Chat, Row, TextParts, own_texts
from fac_datasets.rows.writing import is_text, messages_in, transcript_of

Cells = Mapping[str, Any]
"""The cells of one row, by column."""

Read = Callable[[Cells, int, Messages], Row]
"""Reads a row of cells, whose index errors name."""

Write = Callable[[Row, Mapping[str, Any]], dict[str, Any]]
"""Writes a row as cells of columns with these types; a type that is not known is None."""


@dataclass(frozen=True)
class Schema:
    """One way in which people keep rows."""

    name: str
    columns: tuple[str, ...]
    """Columns that it always has."""
    optional: tuple[str, ...]
    """Columns that it may have, and that are read too."""
    shows: str
    """What a row is read as, in words."""
    has_parts: bool
    """Whether a row has several parts, so that positions name one."""
    read: Read
    write: Write
    is_pair: bool = False
    """Whether the caller has to say which side is read."""
    answers: bool = False
    """Whether what asks and what answers it stand in different columns."""

    def columns_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of its columns that a dataset has."""
        return (*self.columns, *(name for name in self.optional if name in names))


def text(column: str) -> Schema:
    """A text in one column."""

    def read(cells: Cells, index: int, messages: Messages) -> Row:
        return _text(cells, column, index)

    def write(row: Row, types: Mapping[str, Any]) -> dict[str, Any]:
        return {column: _one_text(row, column)}

    return Schema(column, (column,), (), "the text", False, read, write)


def text_parts(*columns: str, optional: Sequence[str] = (), template: Sequence[str] | None = None) -> Schema:
    """A text of several columns, with blank lines between them or what a template has there."""
    shown = ", ".join(f"`{name}`" for name in (*columns, *optional))

    def read(cells: Cells, index: int, messages: Messages) -> Row:
        parts = {name: _text(cells, name, index) for name in (*columns, *optional) if name in cells}
        if all(part is None for part in parts.values()):
            return None
        if template is None:
            return TextParts.joined(parts)
        return TextParts(tuple(parts), tuple(part or "" for part in parts.values()), tuple(template))

    def write(row: Row, types: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(row, TextParts):
            return {columns[0]: _one_text(row, columns[0])}
        return dict(zip(row.names, row.texts, strict=True))

    name = ", ".join(columns)
    if template is not None:
        between = [*(f"{{{column}}}" for column in columns), ""]
        name = "".join(literal + column for literal, column in zip(template, between, strict=True))
    return Schema(name, columns, tuple(optional), f"a text of {shown}", True, read, write)


def dialogue(ask: str, answer: str, *, context: str | None = None, system: str | None = None) -> Schema:
    """A question or task in one column, with what belongs to it in another, and the answer in a third.

    In the asking and the answering column a list of messages may stand in place of a text.
    """
    optional = tuple(name for name in (context, system) if name)
    asking = f"`{ask}`" + (f" and `{context}`" if context else "")
    shows = (f"system `{system}`, " if system else "") + f"user {asking}, assistant `{answer}`"

    def read(cells: Cells, index: int, messages: Messages) -> Row:
        if cells[ask] is None and cells[answer] is None:
            return None
        chat = _turn("system", cells.get(system or ""), system or "", index, messages)
        before, beside = cells[ask], _text(cells, context, index) if context and context in cells else None
        if beside and isinstance(before, str):
            before = f"{before}\n\n{beside}" if before else beside
        chat += _turn("user", before, ask, index, messages)
        chat += _turn("assistant", cells[answer], answer, index, messages)
        return Chat(chat) if chat else ""

    def write(row: Row, types: Mapping[str, Any]) -> dict[str, Any]:
        messages = _as_chat(row)
        if not is_text(types.get(ask)):
            last = len(messages) - (messages[-1]["role"] == "assistant")
            sides = {ask: messages[:last], answer: messages[last:]}
            return {name: messages_in(types.get(name), side, name) for name, side in sides.items()}
        # The asking side holds the context too; where the one ends and the other begins is no longer known.
        cells: dict[str, Any] = {context: ""} if context and context in types else {}
        for message, name in _one_of_each(messages, {"system": system, "user": ask, "assistant": answer}):
            cells[name] = message["content"]
        return cells

    return Schema(f"{ask}, {answer}", (ask, answer), optional, shows, True, read, write, answers=True)


def chat(column: str, *, by_turns: bool = True) -> Schema:
    """Messages in one column: a list in OpenAI's or ShareGPT's keys, texts by turns, lists by key, or JSON of these."""

    def read(cells: Cells, index: int, messages: Messages) -> Row:
        return None if cells[column] is None else messages.chat(cells[column], index, by_turns=by_turns)

    def write(row: Row, types: Mapping[str, Any]) -> dict[str, Any]:
        return {column: messages_in(types.get(column), _as_chat(row), column)}

    return Schema(column, (column,), (), "the chat", True, read, write)


PROMPT_COLUMNS = ("prompt", "question", "instruction", "input")
"""What the prompt of a preference is called; the first of them that holds something is read."""


def preference(side: str) -> Schema:
    """One side of a preference, behind its prompt: texts, lists of messages, or transcripts."""

    def read(cells: Cells, index: int, messages: Messages) -> Row:
        answer = cells[side]
        if answer is None:
            return None
        prompt = next((cells[name] for name in PROMPT_COLUMNS if cells.get(name)), None)
        asked = messages.chat(prompt, index, by_turns=False) if prompt else Chat()
        if asked and asked[-1]["role"] == "assistant" and not asked[-1]["content"].strip():
            # A transcript that ends where the answer begins.
            asked.pop()
        before = dict(messages.unread)
        answered = messages.chat(answer, index, by_turns=False) or Chat([{"role": "assistant", "content": ""}])
        messages.require_some(before, answered[-1:], index)
        if isinstance(answer, str) and asked and len(answered) == 1:
            answered[0]["role"] = "assistant"
        # Many sets repeat the prompt at the start of each side.
        if len(answered) > len(asked) and _spoken(asked) == _spoken(answered)[: len(_spoken(asked))]:
            asked = Chat()
        system = _turn("system", cells.get("system"), "system", index, messages)
        return Answer([*(system if answered[0]["role"] != "system" else []), *asked, *answered])

    def write(row: Row, types: Mapping[str, Any]) -> dict[str, Any]:
        messages = list(_as_chat(row))
        cells: dict[str, Any] = {}
        if "system" in types and messages[0]["role"] == "system":
            cells["system"] = messages.pop(0)["content"]
        prompt = next((name for name in PROMPT_COLUMNS if name in types), None)
        before = messages[:-1] if prompt else []
        if prompt:
            cells[prompt] = _side(types.get(prompt), before, prompt)
        return {**cells, side: _side(types.get(side), messages[len(before) :], side)}

    shows = f"the chat of `system`, the prompt and `{side}`, of which the last message is the row's own"
    return Schema(side, (side,), (*PROMPT_COLUMNS, "system"), shows, True, read, write, is_pair=True)


def multiple_choice(choices: str, answer: str) -> Schema:
    """A question, its choices as a list or by letter, and which of them is right, as a number, letter or text."""

    def read(cells: Cells, index: int, messages: Messages) -> Row:
        question, held = _text(cells, "question", index), cells[choices]
        if question is None and held is None:
            return None
        letters, texts = choices_of(held, choices, index)
        right = right_choice(cells[answer], letters, texts, answer, index)
        asked = [{"role": "user", "content": "\n\n".join(filter(None, (question, listed(letters, texts))))}]
        return Chat([*asked, *([{"role": "assistant", "content": right}] if right else [])])

    def write(row: Row, types: Mapping[str, Any]) -> dict[str, Any]:
        columns = {"user": "question", "assistant": answer}
        found = {name: message["content"] for message, name in _one_of_each(_as_chat(row), columns)}
        question, letters, texts = unlisted(found.get("question", ""))
        right = found.get(answer)
        if right is not None and right not in texts:
            raise DatasetError(f"the answer is none of the {len(texts)} choices, so that {answer!r} cannot name it")
        number = None if right is None else texts.index(right)
        by_letter = types.get(answer) is not None and is_text(types[answer])
        named = letters[number] if by_letter and number is not None else number
        return {"question": question, choices: choices_in(types.get(choices), letters, texts), answer: named}

    shows = f"user `question` and the lettered `{choices}`, assistant the choice that `{answer}` names"
    return Schema(
        f"question, {choices}, {answer}", ("question", choices, answer), (), shows, True, read, write, answers=True
    )


def tool_calls(ask: str, calls: str) -> Schema:
    """A query and the calls of tools that answer it, as a list or as JSON, beside the `tools` that there are."""

    def read(cells: Cells, index: int, messages: Messages) -> Row:
        query, answers = _text(cells, ask, index), cells[calls]
        if query is None and answers is None:
            return None
        if isinstance(answers, str):
            try:
                answers = json.loads(answers)
            except (ValueError, RecursionError) as error:
                raise RowError(index, f"holds no JSON in column {calls!r}: {error}") from None
        answered = {"role": "assistant", "content": None, "tool_calls": answers}
        return messages.chat([{"role": "user", "content": query or ""}, *([answered] if answers else [])], index)

    def write(row: Row, types: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: message for message, name in _one_of_each(_as_chat(row), {"user": ask, "assistant": calls})}
        made = found[calls].get("tool_calls") or _calls_in(found[calls]["content"]) if calls in found else []
        query = found[ask]["content"] if ask in found else ""
        return {ask: query, calls: json.dumps(made, ensure_ascii=False) if is_text(types.get(calls)) else made}

    shows = f"user `{ask}`, assistant the calls of tools in `{calls}`, which `parts=` reads"
    return Schema(f"{ask}, {calls}, tools", (ask, calls, "tools"), (), shows, True, read, write)


def completions(ask: str, answers: str, key: str) -> Schema:
    """A task and several answers to it, each a text or a mapping that holds one."""

    def read(cells: Cells, index: int, messages: Messages) -> Row:
        task, held = _text(cells, ask, index), cells[answers]
        if task is None and held is None:
            return None
        parts: dict[str, str | None] = {ask: task}
        held = _transposed(held, answers, index) if isinstance(held, Mapping) else held
        for number, answer in enumerate(held or ()):
            found = answer.get(key) if isinstance(answer, Mapping) else answer
            if not isinstance(found, str | None):
                raise RowError(index, f"holds {type(found).__name__} in column {answers!r}; expected a text")
            parts[f"{answers}[{number}]"] = found
        return TextParts.joined(parts)

    def write(row: Row, types: Mapping[str, Any]) -> dict[str, Any]:
        task, *answered = own_texts(row)
        return {ask: task, answers: [{key: text} for text in answered]}

    shows = f"a text of `{ask}` and the `{key}` of each of `{answers}`"
    return Schema(f"{ask}, {answers}", (ask, answers), (), shows, True, read, write)


SCHEMAS = (
    chat("messages"),
    chat("conversations"),
    chat("conversation"),
    preference("chosen"),
    preference("rejected"),
    tool_calls("query", "answers"),
    multiple_choice("choices", "answer"),
    multiple_choice("choices", "answerKey"),
    multiple_choice("options", "answer"),
    text_parts("question", "answer_matching_behavior", "answer_not_matching_behavior"),
    completions("instruction", "completions", "response"),
    dialogue("instruction", "output", context="input", system="system"),
    dialogue("instruction", "response", context="context"),
    dialogue("prompt", "completion"),
    dialogue("prompt", "response", system="system"),
    dialogue("question", "response", system="system_prompt"),
    dialogue("question", "answer", context="context"),
    dialogue("query", "response"),
    dialogue("problem", "solution"),
    dialogue("user_input", "model_output"),
    text_parts("instruction", "input"),
    text("text"),
    text("instruction"),
    text("prompt"),
)
"""Looked through in this order; an entry whose columns are all among those of another one present is left out."""

READ_COLUMNS = tuple(dict.fromkeys(name for schema in SCHEMAS for name in (*schema.columns, *schema.optional)))
"""Columns of all schemas."""


def _text(cells: Cells, name: str, index: int) -> str | None:
    """A cell that holds a text; a number stands for its digits."""
    held = cells[name]
    if held is None or isinstance(held, str):
        return held
    if isinstance(held, int | float):
        return str(held)
    raise RowError(index, f"holds {type(held).__name__} in column {name!r}; expected a text")


def _turn(role: str, held: Any, name: str, index: int, messages: Messages) -> list[dict[str, Any]]:
    """The messages of one side of a dialogue, none where it is empty."""
    if isinstance(held, list | tuple | Mapping):
        return messages.chat(held, index, by_turns=False)
    content = _text({name: held}, name, index)
    return [{"role": role, "content": content}] if content else []


def _one_of_each(chat: Chat, columns: Mapping[str, str | None]) -> Iterator[tuple[dict[str, Any], str]]:
    """The messages of a chat of one turn, each with the column that it goes to."""
    roles = [message["role"] for message in chat]
    if len({*roles}) < len(roles) or not all(map(columns.get, roles)):
        raise DatasetError(
            f"a chat of {', '.join(roles)} does not fit into the columns {[n for n in columns.values() if n]}, which "
            f"hold one message each"
        )
    for message in chat:
        yield message, str(columns[message["role"]])


def _side(feature: Any, messages: Sequence[dict[str, Any]], name: str) -> Any:
    """One side of a preference: a single message as its text, several as a transcript where the column holds texts."""
    if not is_text(feature):
        return messages_in(feature, messages, name)
    return messages[0]["content"] if len(messages) == 1 else transcript_of(messages, name)


def _as_chat(row: Row) -> Chat:
    """A row as messages; a text is what a user says."""
    if row is None or isinstance(row, str | TextParts):
        return Chat([{"role": "user", "content": row.whole if isinstance(row, TextParts) else row or ""}])
    return Chat(dict(message) for message in row) or Chat([{"role": "user", "content": ""}])


def _one_text(row: Row, column: str) -> str:
    """A row that is one text, as a cell of a column of texts."""
    if isinstance(row, TextParts):
        return row.whole
    texts = own_texts(row)
    if len(texts) > 1:
        raise DatasetError(f"column {column!r} holds texts, in which a chat of {len(texts)} messages has no place")
    return "".join(texts)


def _spoken(chat: Chat) -> list[str]:
    """What is said in a chat, but for what the system says."""
    return [message["content"].strip() for message in chat if message["role"] != "system"]


def _calls_in(content: str) -> list[Any]:
    """The calls of tools that a text is the JSON of.

    Raises:
        DatasetError: it is of none.
    """
    try:
        calls = json.loads(content) if content else []
    except (ValueError, RecursionError):
        calls = None
    if not isinstance(calls, list):
        raise DatasetError("the answer is no list of calls of tools, for which the column is")
    return calls


def _transposed(lists: Mapping[str, Sequence[Any]], column: str, index: int) -> list[dict[str, Any]]:
    """Lists by key as a list of mappings."""
    if len({len(values) for values in lists.values()}) > 1:
        raise RowError(index, f"holds lists of different lengths in column {column!r}")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
