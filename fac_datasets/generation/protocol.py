"""Answers of servers that speak OpenAI's protocol of chats, as they come: whole, in pieces, and odd ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fac_datasets.generation.base import Completion, Outcome, Request, estimated_tokens

_CUT = ("length", "max_tokens", "model_length", "abort")
_FILTERED = ("content_filter", "safety", "recitation", "prohibited_content", "blocklist")
_REASONING = ("reasoning_content", "reasoning")
"""Where servers put what a model thinks before it answers."""


class NoCompletion(Exception):
    """An answer that is not what the protocol says."""


class ErrorBody(Exception):
    """An error that came with the status of an answer.

    Args:
        body: what came.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        super().__init__(message_of(body))

    @property
    def status(self) -> int:
        """The status that the error would have come with; 0 where it does not say."""
        error = self.body.get("error")
        codes = [error.get("code"), error.get("status")] if isinstance(error, Mapping) else []
        return next((int(code) for code in codes if str(code).isdecimal()), 0)


def body_of(content: bytes) -> dict[str, Any]:
    """The JSON object in the body of an answer; one that came in pieces as if it had come whole.

    Args:
        content: of the body.

    Raises:
        NoCompletion: there is none, or its end is missing.
    """
    text = content.decode(errors="replace").strip()
    pieces = text.startswith(("data:", "event:", "id:", ":"))
    try:
        body = _joined(text) if pieces else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoCompletion(f"the answer is no JSON ({error})") from None
    if not isinstance(body, dict):
        raise NoCompletion(f"the answer is {type(body).__name__}, not an object")
    return body


def read_completion(body: Mapping[str, Any], request: Request, max_new_tokens: int) -> Completion:
    """What a body says; servers need not say how many tokens it took, which are then estimated.

    Args:
        body: of a chat completion.
        request: that was asked.
        max_new_tokens: tokens that it was asked to take at most.

    Raises:
        ErrorBody: it is an error.
        NoCompletion: it is something else.
    """
    if body.get("error"):
        raise ErrorBody(body)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, Sequence) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise NoCompletion("the answer is no chat completion: it has no message")
    text, reasoning = _text(message.get("content")), _thoughts(message)
    usage = body.get("usage") or {}
    decoded, read = _count(usage, "completion_tokens"), _count(usage, "prompt_tokens")
    reason = str(choice.get("finish_reason") or "").lower()
    # Where nobody says how it ended, only an answer that took fewer tokens than it might has surely ended.
    finished = reason not in _CUT if reason else decoded is not None and decoded < max_new_tokens
    refusal = _text(message.get("refusal"))
    problem = ""
    if refusal:
        problem = Outcome.DECLINED
    elif reason in _FILTERED:
        problem, refusal = Outcome.FILTERED, f"finish_reason is {reason}"
    elif reason == "error":
        problem, refusal = Outcome.ERROR, "finish_reason is error"
    elif reasoning and not text.strip():
        problem = Outcome.REASONING
    elif request.prefix and not text.startswith(request.prefix):
        text = request.prefix + text
    return Completion(
        text=text.strip(),
        n_tokens=estimated_tokens(text + reasoning) if decoded is None else decoded,
        finished=finished and not problem,
        prompt_tokens=sum(estimated_tokens(part) for _, part in request.messages) if read is None else read,
        refusal=refusal,
        problem=problem,
    )


def message_of(body: Any) -> str:
    """What an error's body says, in one line."""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("detail") or error
    text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False, default=str)
    return " ".join(text.split())[:500]


def _joined(text: str) -> Any:
    """A completion of its pieces, as an answer that came whole would have it."""
    message: dict[str, str] = {}
    whole: dict[str, Any] = {}
    reason: Any = None
    ended = False
    for line in text.splitlines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            ended = True
            break
        piece = json.loads(data)
        if not isinstance(piece, dict) or piece.get("error"):
            return piece
        whole["usage"] = piece.get("usage") or whole.get("usage")
        choice = next(iter(piece.get("choices") or ()), None)
        if not isinstance(choice, dict):
            continue
        reason = choice.get("finish_reason") or reason
        delta = choice.get("delta") or choice.get("message") or {}
        for name in ("content", "refusal", *_REASONING):
            message[name] = message.get(name, "") + _text(delta.get(name))
    if not ended and reason is None:
        raise ValueError("it ends in the middle")
    return {**whole, "choices": [{"message": message, "finish_reason": reason}]}


def _text(content: Any) -> str:
    """A content's text, which may come in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, Sequence):
        return ""
    parts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | Mapping)]
    return "".join(part for part in parts if isinstance(part, str))


def _thoughts(message: Mapping[str, Any]) -> str:
    """The reasoning beside or among the parts of a content."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    among = [_text(part.get("thinking") or part.get("reasoning")) for part in parts if isinstance(part, Mapping)]
    return next((text for text in (*map(_text, map(message.get, _REASONING)), "".join(among)) if text), "")


def _count(usage: Any, name: str) -> int | None:
    """A number of tokens; None where none is told."""
    count = usage.get(name) if isinstance(usage, Mapping) else None
    return count if isinstance(count, int) and count >= 0 else None
