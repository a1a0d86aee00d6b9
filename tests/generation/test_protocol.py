"""Servers answer oddly: what they mean is read, or counted under its own name, and nothing of it stops a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fac_datasets import EndpointGenerator
from fac_datasets.errors import GenerationError
from fac_datasets.generation import Completion, Journal, Outcome, Request
from tests.servers.chat_server import FaultyProxy, odd, refusal
from tests.servers.chat_server import odd_server as odd_server

ASKED = Request((("user", "Name a fruit."),), 0)


def answer_to(server: FaultyProxy, body: bytes, status: int = 200, request: Request = ASKED) -> Completion:
    """What comes of one request that a server answers so."""
    server.reply = lambda _request: (status, body)
    generator = EndpointGenerator("m", base_url=server.address, retries=0, concurrency=1)
    return generator.generate([request], max_new_tokens=8, temperature=0)[0]


def stream(*pieces: dict[str, Any], end: str = "data: [DONE]\n\n") -> bytes:
    return ("".join(f"data: {json.dumps(piece, ensure_ascii=False)}\r\n\n" for piece in pieces) + end).encode()


def piece(content: str | None = None, finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content, **delta}, "finish_reason": finish_reason}]}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (odd({"content": [{"type": "text", "text": "Boil "}, {"type": "text", "text": "rice."}]}), "Boil rice."),
        (odd({"content": ["Boil ", "rice."]}), "Boil rice."),
        (odd({"content": {"type": "text", "text": "Boil rice."}}), "Boil rice."),
        (odd({"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Boil."}]}), "Boil."),
        (odd({"content": [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Boil."}]}), "Boil."),
        (odd({"content": "Boil.", "reasoning_content": "They like cooking."}), "Boil."),
        (odd({"content": "Boil.", "reasoning": "They like cooking."}), "Boil."),
        (odd({"content": "Boil.", "refusal": None}), "Boil."),
        (stream(piece("Boil "), piece("rice."), piece(None, "stop")), "Boil rice."),
        (stream(piece("Boil "), piece("rice.", "stop"), end=""), "Boil rice."),
        (stream(piece("Boil."), {"choices": [{"delta": None, "finish_reason": "stop"}]}), "Boil."),
        (stream(piece("Boil.\u2028Fry."), piece(None, "stop")), "Boil.\u2028Fry."),
        (b": keep-alive\n\n" + stream({"choices": []}, piece("Boil."), piece(None, "stop")), "Boil."),
        (stream(piece(None, reasoning_content="Hm."), piece("Boil."), piece(None, "stop")), "Boil."),
    ],
)
def test_an_answer_is_read_however_it_comes(odd_server: FaultyProxy, body: bytes, text: str) -> None:
    found = answer_to(odd_server, body)
    assert (found.text, found.outcome) == (text, Outcome.FINISHED)
    assert found.n_tokens > 0 < found.prompt_tokens


@pytest.mark.parametrize(
    ("body", "outcome", "says"),
    [
        (odd({"content": ""}), Outcome.EMPTY, ""),
        (odd({"content": None, "tool_calls": [{"id": "1"}]}), Outcome.EMPTY, ""),
        (odd({"role": "assistant"}), Outcome.EMPTY, ""),
        (odd({"content": "", "reasoning_content": "They like"}, "length"), Outcome.REASONING, ""),
        (odd({"content": None, "reasoning": "They like"}), Outcome.REASONING, ""),
        (odd({"content": [{"type": "thinking", "thinking": [{"text": "Hm."}]}]}), Outcome.REASONING, ""),
        (odd({"content": "Boil the"}, "length"), Outcome.CUT, ""),
        (odd({"content": "Boil the"}, "max_tokens"), Outcome.CUT, ""),
        (odd({"content": "Boil the"}, None), Outcome.CUT, ""),
        (odd({"content": "Boil the"}, None, usage={"completion_tokens": 8}), Outcome.CUT, ""),
        (odd({"content": "Boil."}, None, usage={"completion_tokens": 3}), Outcome.FINISHED, ""),
        (odd({"content": "Boil."}, "eos"), Outcome.FINISHED, ""),
        (odd({"content": "Boil the"}, "content_filter"), Outcome.FILTERED, "content_filter"),
        (odd({"content": None}, "SAFETY"), Outcome.FILTERED, "safety"),
        (odd({"content": None, "refusal": "I can't."}), Outcome.DECLINED, "I can't."),
        (odd({"content": [{"type": "refusal", "refusal": "I can't."}]}), Outcome.DECLINED, "I can't."),
        (odd({"content": "B"}, "error"), Outcome.ERROR, "finish_reason is error"),
        (stream(piece(None, reasoning="They like"), piece(None, "length")), Outcome.REASONING, ""),
        (stream(piece(refusal="I can"), piece(refusal="'t."), piece(None, "stop")), Outcome.DECLINED, "can't"),
        (refusal("overloaded"), Outcome.ERROR, "overloaded"),
        (refusal("busy", code=503), Outcome.ERROR, "busy"),
        (b'{"error": "CUDA out of memory"}', Outcome.ERROR, "CUDA out of memory"),
        (stream({"error": {"message": "CUDA out of memory"}}), Outcome.ERROR, "CUDA out of memory"),
        (refusal("the prompt is too long", code=400), Outcome.REFUSED, "too long"),
        (refusal("too long", type="invalid_request_error"), Outcome.REFUSED, "too long"),
        (refusal("no", code="content_filter"), Outcome.FILTERED, "no"),
    ],
)  # fmt: skip
def test_what_came_instead_has_its_own_name(odd_server: FaultyProxy, body: bytes, outcome: Outcome, says: str) -> None:
    found = answer_to(odd_server, body)
    assert found.outcome is outcome
    assert says in found.refusal


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, refusal("The response was filtered", code="content_filter"), Outcome.FILTERED),
        (403, refusal("m requires moderation. Your input was flagged", code=403), Outcome.FILTERED),
        (400, refusal("This model's maximum context length is 8 tokens"), Outcome.REFUSED),
        (413, b"too long", Outcome.REFUSED),
    ],
)
def test_a_refusal_by_status_says_why(odd_server: FaultyProxy, status: int, body: bytes, outcome: Outcome) -> None:
    found = answer_to(odd_server, body, status)
    assert found.outcome is outcome
    assert f"HTTP {status}" in found.refusal


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b'"a string"',
        b"[]",
        b"null",
        b"{}",
        b'{"choices": null}',
        b'{"choices": [null]}',
        b'{"choices": "text"}',
        b'{"choices": [{"message": null}]}',
        stream(piece("Boil"), end=""),
        stream({"choices": 5}, {"choices": [{"delta": "Boil"}]}, end=""),
        b"data: no JSON\n\n",
        b'{"choices": ' + b"[" * 5000,
    ],
)
def test_what_is_no_answer_is_asked_for_again(odd_server: FaultyProxy, body: bytes) -> None:
    with pytest.raises(GenerationError, match=r"did not answer after 1 of 1 tries: the answer "):
        answer_to(odd_server, body)


def test_an_error_in_place_of_an_answer_is_asked_for_again_in_the_next_run(
    odd_server: FaultyProxy, tmp_path: Any
) -> None:
    generator = EndpointGenerator("m", base_url=odd_server.address, retries=0, concurrency=1)
    options = {"max_new_tokens": 8, "temperature": 0.0}
    requests = [Request((("user", text),), 0) for text in ("a", "b")]
    bodies = [refusal("busy"), odd({"content": "Boil."})]
    odd_server.reply = lambda _request: (200, bodies.pop(0) if bodies else odd({"content": "Fry."}))
    outcomes = []
    for _ in range(2):
        journal = Journal(tmp_path / "journal.jsonl")
        outcomes.append([found.outcome for _, found in journal.generate(generator, requests, **options)])  # type: ignore[arg-type]
        journal.close()
    assert sorted(outcomes[0]) == [Outcome.ERROR, Outcome.FINISHED]
    assert outcomes[1] == [Outcome.FINISHED, Outcome.FINISHED]
    assert len(odd_server.requests) == 3


def test_errors_in_a_row_stop_the_run(odd_server: FaultyProxy) -> None:
    odd_server.reply = lambda _request: (200, refusal("out of memory"))
    generator = EndpointGenerator("m", base_url=odd_server.address, retries=0, concurrency=1)
    requests = [Request((("user", str(i)),), 0) for i in range(20)]
    with pytest.raises(GenerationError, match=r"errors in place of answers, 5 in a row: .*out of memory"):
        generator.generate(requests, max_new_tokens=8, temperature=0)


def test_half_a_character_is_mended_before_it_is_kept(odd_server: FaultyProxy, tmp_path: Any) -> None:
    odd_server.reply = lambda _request: (200, odd({"content": "Boil \ud83d rice."}))
    generator = EndpointGenerator("m", base_url=odd_server.address)
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    ((_, found),) = journal.generate(generator, [ASKED], max_new_tokens=8, temperature=0)
    journal.close()
    assert found.text == "Boil \ufffd rice."
    assert found.text == json.loads(path.read_text())["text"]


def test_halves_of_a_character_in_two_pieces_of_a_stream_meet(odd_server: FaultyProxy) -> None:
    body = json.dumps(piece("Hi \ud83d")), json.dumps(piece("\ude00", "stop"))
    odd_server.reply = lambda _request: (200, "".join(f"data: {one}\n\n" for one in body).encode())
    journal = Journal()
    generator = EndpointGenerator("m", base_url=odd_server.address)
    ((_, found),) = journal.generate(generator, [ASKED], max_new_tokens=8, temperature=0)
    assert found.text == "Hi 😀"
