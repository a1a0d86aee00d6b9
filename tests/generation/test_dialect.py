"""A server that refuses a part of the protocol is told of once, and asked without it from then on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from fac_datasets import EndpointGenerator
from fac_datasets.errors import OptionError
from fac_datasets.generation import Completion, Outcome, Request
from tests.servers.chat_server import FaultyProxy, completion, odd, refusal
from tests.servers.chat_server import odd_server as odd_server

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
OPENAI = "Unsupported parameter: '{0}' is not supported with this model."
FORBIDDEN = json.dumps(
    {
        "detail": [
            {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 5}
        ]
    }
).encode()


def refusing(wrong: Callable[[dict[str, Any]], bool], body: bytes, status: int = 400) -> Any:
    """A server that answers, but refuses what is wrong."""
    return lambda request: (status, body) if wrong(request) else (200, completion("yes"))


def ask(server: FaultyProxy, n: int = 6, temperature: float = 0.5, **options: Any) -> list[Completion]:
    generator = EndpointGenerator("m", base_url=server.address, concurrency=1, top_p=0.9, **options)
    requests = [Request((("user", f"Name {i}."),), i, schema=SCHEMA) for i in range(n)]
    return generator.generate(requests, max_new_tokens=8, temperature=temperature)


def sent(server: FaultyProxy) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in server.requests]


def test_temperature_top_p_seed_and_schema_are_passed(odd_server: FaultyProxy) -> None:
    odd_server.reply = refusing(lambda _request: False, b"")
    ask(odd_server, 1)
    (request,) = sent(odd_server)
    assert (request["temperature"], request["top_p"], request["seed"], request["max_tokens"]) == (0.5, 0.9, 0, 8)
    assert request["response_format"]["json_schema"]["schema"] == SCHEMA
    assert request["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("parameter", "status", "body", "said"),
    [
        ("max_tokens", 400, refusal(OPENAI.format("max_tokens") + " Use 'max_completion_tokens'"), "max_completion"),
        ("max_tokens", 400, refusal("Unrecognized request argument supplied: max_tokens"), "max_completion_tokens"),
        (
            "temperature",
            400,
            refusal(
                "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is "
                "supported.",
                param="temperature",
            ),
            "takes no temperature",
        ),
        ("temperature", 400, refusal("invalid temperature: only 1 is allowed for this model"), "takes no temperature"),
        ("temperature", 400, b"temperature is deprecated for this model", "takes no temperature"),
        ("top_p", 400, refusal("`temperature` and `top_p` cannot both be specified. Please use only one."), "no top_p"),
        ("seed", 400, refusal(OPENAI.format("seed"), param="seed"), "takes no seed"),
        ("seed", 422, FORBIDDEN, "takes no seed"),
        ("response_format", 400, refusal("This response_format type is unavailable now"), "no answer to a JSON schema"),
        ("response_format", 400, refusal("Invalid schema for response_format: 'minItems' is not permitted."), "JSON"),
        ("response_format", 400, refusal("json_schema is not supported"), "JSON schema"),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_said_once_and_left_out(
    odd_server: FaultyProxy,
    caplog: pytest.LogCaptureFixture,
    parameter: str,
    status: int,
    body: bytes,
    said: str,
) -> None:
    odd_server.reply = refusing(lambda request: parameter in request, body, status)
    with caplog.at_level(logging.WARNING):
        assert {found.text for found in ask(odd_server)} == {"yes"}
    (record,) = caplog.records
    assert said in record.getMessage()
    assert record.getMessage().startswith("m@127.0.0.1: ")
    first, *others = sent(odd_server)
    assert len(others) == 6
    assert [name for name in first if all(name not in other for other in others)] == [parameter]


def test_an_error_with_the_status_of_an_answer_is_learned_from_too(odd_server: FaultyProxy) -> None:
    odd_server.reply = refusing(lambda request: "seed" in request, refusal(OPENAI.format("seed"), code=400), status=200)
    assert {found.text for found in ask(odd_server)} == {"yes"}


def test_a_server_that_refuses_several_parts_is_asked_without_all_of_them(odd_server: FaultyProxy) -> None:
    def reply(request: dict[str, Any]) -> tuple[int, bytes]:
        for name in ("max_tokens", "temperature", "top_p", "seed", "response_format"):
            if name in request:
                return 400, refusal(OPENAI.format(name), param=name)
        return 200, completion("yes")

    odd_server.reply = reply
    assert {found.text for found in ask(odd_server)} == {"yes"}
    assert len(odd_server.requests) == 5 + 6
    assert sent(odd_server)[-1].keys() == {"model", "messages", "stream", "max_completion_tokens"}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_requests_that_are_under_way_learn_together(
    odd_server: FaultyProxy, caplog: pytest.LogCaptureFixture, concurrency: int
) -> None:
    odd_server.reply = refusing(lambda request: "seed" in request, refusal(OPENAI.format("seed")))
    generator = EndpointGenerator("m", base_url=odd_server.address, concurrency=concurrency)
    requests = [Request((("user", f"Name {i}."),), i) for i in range(12)]
    found = generator.generate(requests, max_new_tokens=8, temperature=0)
    assert {completion.outcome for completion in found} == {Outcome.FINISHED}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "message",
    [
        "This model only support stream mode, please enable the stream parameter to access the model.",
        "parameter.enable_thinking must be set to false for non-streaming calls",
        "stream must be true",
    ],
)
def test_a_server_that_only_streams_is_asked_for_a_stream(
    odd_server: FaultyProxy, caplog: pytest.LogCaptureFixture, message: str
) -> None:
    pieces = [{"choices": [{"delta": {"content": text}}]} for text in ("ye", "s")]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"completion_tokens": 2, "prompt_tokens": 7}}
    body = "".join(f"data: {json.dumps(one)}\n\n" for one in (*pieces, end, usage)) + "data: [DONE]\n\n"
    odd_server.reply = lambda request: (200, body.encode()) if request["stream"] else (400, refusal(message))
    found = ask(odd_server)
    assert {(one.text, one.n_tokens, one.prompt_tokens, one.finished) for one in found} == {("yes", 2, 7, True)}
    assert len(odd_server.requests) == 7
    assert sent(odd_server)[-1]["stream_options"] == {"include_usage": True}
    assert len(caplog.records) == 1


def test_options_of_a_stream_may_be_refused_too(odd_server: FaultyProxy) -> None:
    body = f"data: {json.dumps({'choices': [{'delta': {'content': 'yes'}, 'finish_reason': 'stop'}]})}\n\n".encode()

    def reply(request: dict[str, Any]) -> tuple[int, bytes]:
        if not request["stream"]:
            return 400, refusal("stream must be true")
        if "stream_options" in request:
            return 400, refusal("Extra inputs are not permitted: stream_options")
        return 200, body

    odd_server.reply = reply
    assert {found.text for found in ask(odd_server, 2)} == {"yes"}


def test_a_temperature_of_0_may_be_the_only_one_that_is_refused(odd_server: FaultyProxy) -> None:
    message = "Input validation error: `temperature` must be strictly positive"
    odd_server.reply = refusing(lambda request: request.get("temperature") == 0, refusal(message), 422)
    generator = EndpointGenerator("m", base_url=odd_server.address)
    for temperature in (0, 0.7):
        generator.generate([Request((("user", "Name."),), 0)], max_new_tokens=8, temperature=temperature)
    assert [request.get("temperature") for request in sent(odd_server)] == [0, None, 0.7]


@pytest.mark.parametrize(
    "body",
    [
        refusal("'max_tokens' or 'max_completion_tokens' is too large: 8. This model's maximum context length is 4."),
        refusal("temperature must be between 0 and 2", param="temperature"),
        refusal("Invalid prompt: your prompt was not allowed"),
        refusal("Bad request"),
        b'{"detail": [{"loc": ["body", "messages"], "msg": "Input should be a valid list", "input": {"seed": 1}}]}',
    ],
)
def test_what_is_wrong_with_a_request_is_not_blamed_on_the_protocol(
    odd_server: FaultyProxy, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    odd_server.reply = lambda _request: (400, body)
    assert {found.outcome for found in ask(odd_server, 2)} == {Outcome.REFUSED}
    assert len(odd_server.requests) == 2
    assert not caplog.records


@pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp"])
@pytest.mark.parametrize("echoes", [False, True])
def test_an_answer_that_was_begun_is_continued_where_the_server_can(
    odd_server: FaultyProxy, owner: str, echoes: bool
) -> None:
    odd_server.owner = owner
    odd_server.reply = lambda _request: (200, odd({"content": "It is an apple." if echoes else " apple."}))
    generator = EndpointGenerator("m", base_url=odd_server.address)
    assert generator.can_prefill
    request = Request((("user", "Name a fruit."),), 0, prefix="It is an")
    (found,) = generator.generate([request], max_new_tokens=8, temperature=0)
    assert found.text == "It is an apple."
    (body,) = sent(odd_server)
    assert body["messages"][-1] == {"role": "assistant", "content": "It is an"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_an_answer_that_was_begun_is_refused_where_the_server_cannot_continue_it(odd_server: FaultyProxy) -> None:
    request = Request((("user", "Name a fruit."),), 0, prefix="It is an")
    for address in (odd_server.address, "http://127.0.0.1:9/v1"):
        generator = EndpointGenerator("m", base_url=address)
        assert not generator.can_prefill
        with pytest.raises(OptionError, match="continues no answer that was begun; use LocalGenerator"):
            generator.generate([request], max_new_tokens=8, temperature=0)
    assert not odd_server.requests
    assert not EndpointGenerator("m").can_prefill


@pytest.mark.parametrize("top_p", [0, 1.5, -1])
def test_a_top_p_that_is_no_share_is_refused(top_p: float) -> None:
    with pytest.raises(OptionError, match="is no share of probability"):
        EndpointGenerator("m", top_p=top_p)


def test_what_is_sampled_from_is_part_of_the_key() -> None:
    assert EndpointGenerator("m", top_p=0.9).key != EndpointGenerator("m").key
