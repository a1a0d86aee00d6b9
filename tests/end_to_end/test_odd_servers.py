"""Synthesis by servers that answer oddly: what they mean becomes a row, and nothing else ever does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest

from fac_datasets import EndpointGenerator
from fac_datasets.errors import GenerationError
from fac_datasets.generation import Outcome
from fac_datasets.synthesis.sample_journal import VERIFIED, SampleJournal
from tests.servers.chat_server import FaultyProxy, Reply, odd, refusal
from tests.servers.chat_server import odd_server as odd_server
from tests.synthesis.cases import Case
from tests.synthesis.conftest import case as case

TEXT = "Boil the rice in salted water until it is tender, then drain it well."
ASKED, ANSWERED = "How do I cook rice for two people?", "Rinse a cup of it and simmer it for a quarter of an hour."
SECTIONS = f"Prompt:\n{ASKED}\n\nResponse:\n{ANSWERED}"
INSTRUCTIONS = datasets.Dataset.from_dict({"instruction": ["Name a river."], "output": ["The Ebro is one of them."]})


def said(content: Any, finish_reason: str | None = "stop", **message: Any) -> Reply:
    """A server that always answers so, with no word of the tokens that it took."""
    return lambda _request: (200, odd({"role": "assistant", "content": content, **message}, finish_reason))


def streamed(*contents: str) -> bytes:
    pieces: list[dict[str, Any]] = [{"choices": [{"delta": {"content": content}}]} for content in contents]
    pieces.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    return ("".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n").encode()


def picky(unwanted: str, complaint: str, answer: str) -> Reply:
    """A server that takes no request with a parameter."""

    def reply(request: dict[str, Any]) -> tuple[int, bytes]:
        if request.get(unwanted):
            return 400, refusal(complaint, param=unwanted)
        return 200, odd({"content": answer})

    return reply


def only_streams(request: dict[str, Any]) -> tuple[int, bytes]:
    if not request.get("stream"):
        return 400, refusal("This model only supports streaming; set stream to true.")
    return 200, streamed(TEXT[:30], TEXT[30:])


FEW = 6
"""Features aimed at: by so few answers no generator is taken for one that writes nothing."""


def synthesized(
    case: Case, server: FaultyProxy, reply: Reply, journal: Path | None = None, **options: Any
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The rows that come of a server's answers, and what became of all of these."""
    server.reply = reply
    book = SampleJournal(journal)
    generator = EndpointGenerator("m", base_url=server.address, retries=0, concurrency=2)
    defaults: dict[str, Any] = {"targets": case.report.missing[:FEW].tolist(), "max_features": None, "max_attempts": 1}
    made = case.synthesize(generator=generator, journal=book, methods="prompted", **{**defaults, **options})
    outcomes = book.outcomes()
    book.close()
    return list(made), outcomes


@pytest.mark.parametrize(
    "reply",
    [
        said(TEXT),
        said(f"<think>They like cooking.\nSo do I.</think>\n\n{TEXT}"),
        said(f"They like cooking.\n</think>\n\n{TEXT}"),
        said(TEXT, reasoning_content="They like cooking."),
        said(TEXT, reasoning="They like cooking."),
        said(f"Sure! Here is another text: {TEXT} Let me know if you need more."),
        said(f"Certainly! Here's a new one:\n\n---\n{TEXT}\n---\n\nLet me know what you think!"),
        said(f"```text\n{TEXT}\n```"),
        said(f"{TEXT}<|im_end|>"),
        said([{"type": "text", "text": TEXT[:20]}, {"type": "text", "text": TEXT[20:]}]),
        said([{"type": "thinking", "thinking": "They like cooking."}, {"type": "text", "text": TEXT}]),
        said(f"{TEXT} Then they", None),
        said(f"{TEXT} Then they", "length"),
        lambda _request: (200, odd({"content": TEXT}, usage=None)),
        lambda _request: (200, streamed(TEXT)),
        only_streams,
        picky("max_tokens", "Unsupported parameter: use 'max_completion_tokens' instead of 'max_tokens'", TEXT),
        picky("temperature", "temperature is not supported with this model", TEXT),
        picky("seed", "Extra inputs are not permitted: seed", TEXT),
    ],
)
def test_a_text_becomes_a_row_whatever_stands_around_it(case: Case, odd_server: FaultyProxy, reply: Reply) -> None:
    rows, outcomes = synthesized(case, odd_server, reply)
    assert [row["text"] for row in rows] == [TEXT]
    assert outcomes[VERIFIED] == 1


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (said(f"<think>They want a text like: {TEXT}"), Outcome.REASONING),
        (said("", "length", reasoning_content=TEXT), Outcome.REASONING),
        (said(None, reasoning_content=TEXT), Outcome.REASONING),
        (said(f"I'm sorry, but I can't help with that. {TEXT}"), Outcome.DECLINED),
        (said(f"I cannot create content of this kind. {TEXT}"), Outcome.DECLINED),
        (said(None, refusal=f"I can't help with that. {TEXT}"), Outcome.DECLINED),
        (said(TEXT, refusal="I can't help with that."), Outcome.DECLINED),
        (said(""), Outcome.EMPTY),
        (said(" \n"), Outcome.EMPTY),
        (said(None), Outcome.EMPTY),
        (said("Sure! Here is another text:"), Outcome.EMPTY),
        (said(TEXT, "content_filter"), Outcome.FILTERED),
        (said(f"{TEXT}<|im_end|>\n<|im_start|>user\nGo on."), Outcome.TEMPLATE),
        (said(f"[INST] {TEXT} [/INST] It is done."), Outcome.TEMPLATE),
        (said(f"{TEXT[:9]}\x00{TEXT[9:]}"), Outcome.DAMAGED),
        (said(f"{TEXT[:9]}\ud83d{TEXT[9:]}"), Outcome.DAMAGED),
        (said("Boil the rice in salted water until", None), "no whole sentence"),
        (said("Boil the rice in salted water until", "length"), "no whole sentence"),
    ],
)
def test_what_is_no_text_is_counted_under_its_name(
    case: Case, odd_server: FaultyProxy, tmp_path: Path, reply: Reply, outcome: str
) -> None:
    rows, outcomes = synthesized(case, odd_server, reply, tmp_path / "journal.jsonl")
    assert not rows
    assert {*outcomes} == {outcome}
    # What was answered is read again and asked for no more, and blocks nobody.
    asked = len(odd_server.requests)
    again = synthesized(case, odd_server, reply, tmp_path / "journal.jsonl")
    assert again == (rows, outcomes)
    assert len(odd_server.requests) == asked


def test_one_odd_answer_among_others_costs_no_more_than_itself(
    case: Case, odd_server: FaultyProxy, tmp_path: Path
) -> None:
    bodies = [odd({"content": "Boil \ud83d rice."}), refusal("busy"), odd({"content": None, "refusal": "No."})]

    def reply(_request: dict[str, Any]) -> tuple[int, bytes]:
        return 200, bodies.pop(0) if bodies else odd({"content": TEXT})

    rows, outcomes = synthesized(case, odd_server, reply, tmp_path / "journal.jsonl")
    assert [row["text"] for row in rows] == [TEXT]
    assert {Outcome.DAMAGED, Outcome.ERROR, Outcome.DECLINED, VERIFIED} <= {*outcomes}
    asked = len(odd_server.requests)
    again, later = synthesized(case, odd_server, reply, tmp_path / "journal.jsonl")
    assert [row["text"] for row in again] == [TEXT]
    # An error says nothing of the request, which the next run asks again.
    assert len(odd_server.requests) == asked + 1
    assert Outcome.ERROR not in later


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (lambda _request: (200, refusal("CUDA out of memory")), "errors in place of answers, 5 in a row: .*CUDA"),
        (lambda _request: (400, refusal("this model is no chat model")), "refuses all of .* requests: HTTP 400"),
        (lambda _request: (200, b"<html>busy</html>"), "did not answer"),
    ],
)
def test_a_server_that_never_answers_stops_the_synthesis(
    case: Case, odd_server: FaultyProxy, reply: Reply, says: str
) -> None:
    with pytest.raises(GenerationError, match=says):
        synthesized(case, odd_server, reply)


@pytest.mark.parametrize(
    "content",
    [
        SECTIONS,
        f"<think>They like cooking.</think>\n{SECTIONS}",
        f"Sure! Here is another example:\n\n{SECTIONS}\n\nLet me know if you need another one.",
        f"```\n{SECTIONS}\n```",
        f"```json\n{json.dumps({'prompt': ASKED, 'response': ANSWERED})}\n```",
        f"Here is the JSON object:\n{json.dumps({'prompt': ASKED, 'response': ANSWERED})}",
        f"**Prompt:** {ASKED}\n\n**Response:** {ANSWERED}<|im_end|>",
        f"### Instruction\n{ASKED}\n\n### Answer\n{ANSWERED}",
    ],
)
def test_an_instruction_becomes_a_row_whatever_stands_around_it(
    case: Case, odd_server: FaultyProxy, content: str
) -> None:
    options = {"schema_of": INSTRUCTIONS, "examples": None}
    rows, _ = synthesized(case, odd_server, said(content), **options)
    assert [(row["instruction"], row["output"]) for row in rows] == [(ASKED, ANSWERED)]


def test_a_server_that_takes_a_schema_is_asked_for_the_parts_by_name(case: Case, odd_server: FaultyProxy) -> None:
    answer = json.dumps({"prompt": ASKED, "response": ANSWERED})
    rows, _ = synthesized(case, odd_server, said(answer), schema_of=INSTRUCTIONS, examples=None)
    assert [(row["instruction"], row["output"]) for row in rows] == [(ASKED, ANSWERED)]
    request = json.loads(odd_server.requests[0][2])
    asked = request["response_format"]["json_schema"]["schema"]
    assert asked["required"] == ["prompt", "response"]
    # The examples have the form that is asked for.
    assert {*json.loads(request["messages"][2]["content"])} == {"prompt", "response"}


def test_a_server_that_takes_no_schema_is_asked_without_one(case: Case, odd_server: FaultyProxy) -> None:
    answer = json.dumps({"prompt": ASKED, "response": ANSWERED})
    refusing = picky("response_format", "response_format is not supported", answer)
    rows, _ = synthesized(case, odd_server, refusing, schema_of=INSTRUCTIONS, examples=None)
    assert [(row["instruction"], row["output"]) for row in rows] == [(ASKED, ANSWERED)]


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (f"Prompt:\n{ASKED}\n\nResponse:\nI'm sorry, but I can't help with that.", Outcome.DECLINED),
        (f"Prompt:\n{ASKED}\n\nResponse:\n<think>{ANSWERED}", Outcome.REASONING),
        (f"Prompt:\n{ASKED}\n\nResponse:\n", "no response"),
        (f"Prompt:\n{ASKED}", "no response"),
        (ASKED, "no prompt"),
    ],
)
def test_an_instruction_without_an_answer_is_counted_under_its_name(
    case: Case, odd_server: FaultyProxy, content: str, outcome: str
) -> None:
    rows, outcomes = synthesized(case, odd_server, said(content), schema_of=INSTRUCTIONS, examples=None)
    assert not rows
    assert {*outcomes} == {outcome}


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (said(f"<think>{ANSWERED}"), Outcome.REASONING),
        (said("I'm sorry, but I can't help with that."), Outcome.DECLINED),
        (said(None, refusal="I can't help with that."), Outcome.DECLINED),
        (said(ANSWERED, "content_filter"), Outcome.FILTERED),
        (said(""), Outcome.EMPTY),
    ],
)
def test_what_a_responder_does_not_answer_is_no_response(
    case: Case, odd_server: FaultyProxy, reply: Reply, outcome: str
) -> None:
    other = FaultyProxy(reply=reply)
    responder = EndpointGenerator("other", base_url=other.address, retries=0)
    options = {"schema_of": INSTRUCTIONS, "examples": None, "responder": responder}
    rows, outcomes = synthesized(case, odd_server, said(SECTIONS), **options)
    other.close()
    assert not rows
    assert {*outcomes} == {outcome}
