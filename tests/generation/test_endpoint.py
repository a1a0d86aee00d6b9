"""Endpoints are asked over HTTP; what is answered once is paid for once, and what fails says why."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fac_datasets import (
    EndpointGenerator,
    LLMExplainer,
    TopTokensExplainer,
    explain,
    judge_relevance,
    score_explanations,
    verify_explanations,
)
from fac_datasets.errors import GenerationError, OptionError
from fac_datasets.generation import Completion, Journal, Request, Steering
from fac_datasets.interpretation import questions
from fac_datasets.interpretation.questions import VERDICTS
from tests.generation.cases import TOKEN, requests
from tests.interpretation.scripted import COFFEE, table_of
from tests.servers.chat_server import JSON, Fault, FaultyProxy, completion
from tests.servers.chat_server import chat_server as chat_server
from tests.servers.chat_server import llama_server as llama_server
from tests.tiny import TINY_WIDTH

pytestmark = pytest.mark.embedded


def ask(generator: EndpointGenerator, n: int = 1) -> list[Completion]:
    return generator.generate(requests(n), max_new_tokens=6, temperature=0.8)


def test_texts_come_with_their_tokens_in_the_order_of_the_requests(
    generator: EndpointGenerator, chat_server: FaultyProxy
) -> None:
    together = ask(generator, 6)
    assert all(completion.text and 0 < completion.n_tokens <= 6 < completion.prompt_tokens for completion in together)
    assert 1 < chat_server.most_at_once <= 4
    alone = [generator.generate([one], max_new_tokens=6, temperature=0.8)[0] for one in requests(6)]
    assert [completion.prompt_tokens for completion in together] == [completion.prompt_tokens for completion in alone]
    sent = [json.loads(body) for _, _, body in chat_server.requests]
    assert sorted(body["seed"] for body in sent[:6]) == list(range(6))
    assert {body["max_tokens"] for body in sent} == {6}


def test_a_text_that_the_limit_cut_off_is_not_finished(generator: EndpointGenerator) -> None:
    (completion,) = generator.generate(requests(1), max_new_tokens=1, temperature=0)
    assert not completion.finished
    assert completion.n_tokens == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, {"Retry-After": "0"}),
        Fault(500, body=b"out of order"),
        Fault(503),
        Fault(200, JSON, b'{"choices": [{"mess', cut=True),
        Fault(200, JSON, b""),
        Fault(200, JSON, b"<html>no JSON</html>"),
        Fault(200, JSON, b'{"choices": []}'),
        Fault(200, JSON, b'["a list"]'),
    ],
    ids=["429", "500", "503", "cut", "empty", "no JSON", "no choice", "a list"],
)
def test_a_passing_fault_is_got_past(generator: EndpointGenerator, chat_server: FaultyProxy, fault: Fault) -> None:
    chat_server.fail(fault)
    assert ask(generator)[0].text
    assert len(chat_server.requests) == 2


def test_a_slow_answer_is_asked_for_again(chat_server: FaultyProxy) -> None:
    chat_server.answer = lambda _prompt: "yes"
    chat_server.fail(Fault(seconds=3, through=True))
    generator = EndpointGenerator("smollm2", base_url=chat_server.address, timeout=1.5)
    assert ask(generator)[0].text
    assert len(chat_server.requests) == 2


@pytest.mark.alone
def test_an_answer_that_drips_in_is_late_as_a_whole(chat_server: FaultyProxy) -> None:
    chat_server.fail(Fault(200, JSON, completion("slowly " * 10), drip=0.5))
    generator = EndpointGenerator("smollm2", base_url=chat_server.address, timeout=1.5, retries=0)
    started = time.monotonic()
    with pytest.raises(GenerationError, match=r"no answer within 1\.5 seconds"):
        ask(generator)
    assert time.monotonic() - started < 3


def test_a_longer_wait_that_is_asked_for_meanwhile_is_kept_too(chat_server: FaultyProxy) -> None:
    # One request is told to wait 1 s, another one a little later 3 s: the third must wait until both are over.
    chat_server.answer = lambda _prompt: "yes"
    chat_server.faults = [Fault(429, {"Retry-After": "1"}), Fault(429, {"Retry-After": "3"}, seconds=0.6)]
    generator = EndpointGenerator("smollm2", base_url=chat_server.address, concurrency=2)
    ask(generator, 4)
    times = sorted(at for at, _, _ in chat_server.requests)
    assert len(times) == 6
    assert times[2] - times[0] > 3.4


@pytest.mark.parametrize("in_seconds", [True, False], ids=["seconds", "date"])
def test_the_wait_that_a_server_asks_for_is_kept_by_all_requests(
    generator: EndpointGenerator, chat_server: FaultyProxy, in_seconds: bool
) -> None:
    wait = "2" if in_seconds else formatdate(time.time() + 3, usegmt=True)
    chat_server.fail(Fault(429, {"Retry-After": wait}, seconds=0.3))
    ask(generator, 12)
    times = sorted(at for at, _, _ in chat_server.requests)
    assert len(times) == 13
    # The four that were under way when the server complained came before the pause, all others after it.
    assert max(later - earlier for earlier, later in pairwise(times)) > 1.4


def test_waits_grow_from_try_to_try(chat_server: FaultyProxy) -> None:
    chat_server.fail(Fault(500), times=3)
    ask(EndpointGenerator("smollm2", base_url=chat_server.address))
    first, second, third, fourth = (at for at, _, _ in chat_server.requests)
    assert second - first >= 0.5
    assert third - second >= 1
    assert fourth - third >= 2


def test_a_fault_that_stays_is_an_error_without_the_token(chat_server: FaultyProxy) -> None:
    chat_server.fail(Fault(500, body=f"bad key {TOKEN}".encode()), times=10)
    generator = EndpointGenerator("smollm2", base_url=chat_server.address, token=TOKEN, retries=1)
    with pytest.raises(GenerationError, match="2 of 2 tries") as raised:
        ask(generator)
    assert TOKEN not in str(raised.value)
    assert raised.value.__cause__ is None
    assert chat_server.requests[0][1]["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_does_not_let_one_in_is_not_tried_again(
    generator: EndpointGenerator, chat_server: FaultyProxy, status: int
) -> None:
    chat_server.fail(Fault(status, body=b"no"))
    with pytest.raises(GenerationError, match=str(status)):
        ask(generator)
    assert len(chat_server.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_prompt_is_an_answer_that_is_kept(
    generator: EndpointGenerator, chat_server: FaultyProxy, tmp_path: Path, status: int
) -> None:
    chat_server.answer = lambda _prompt: "yes"
    chat_server.faults = [Fault(through=True), Fault(status, body=f"filtered {TOKEN}".encode())]
    generator.concurrency = 1
    for _ in range(2):
        journal = Journal(tmp_path / "journal.jsonl")
        found = journal.generate(generator, requests(8), max_new_tokens=6, temperature=0.8)
        journal.close()
        assert sorted(completion.text for _, completion in found) == [""] + ["yes"] * 7
        (refusal,) = (completion.refusal for _, completion in found if completion.refusal)
        assert f"HTTP {status}" in refusal
        assert TOKEN not in refusal
    assert len(chat_server.requests) == 8


def test_a_server_that_refuses_everything_stops_the_run_and_nothing_is_kept(
    generator: EndpointGenerator, chat_server: FaultyProxy
) -> None:
    chat_server.fail(Fault(400, body=b"unknown field"), times=8)
    journal = Journal()
    with pytest.raises(GenerationError, match="refuses all of 8 requests: HTTP 400"):
        journal.generate(generator, requests(8), max_new_tokens=6, temperature=0.8)
    assert not journal.completions


def test_a_server_that_is_down_is_an_error() -> None:
    generator = EndpointGenerator("smollm2", base_url="http://127.0.0.1:9/v1", retries=1)
    with pytest.raises(GenerationError, match=r"smollm2@127\.0\.0\.1 did not answer"):
        ask(generator)


def test_a_server_that_asks_for_hours_counts_as_down(generator: EndpointGenerator, chat_server: FaultyProxy) -> None:
    chat_server.fail(Fault(429, {"Retry-After": "86400"}))
    with pytest.raises(GenerationError, match="1 of 7 tries"):
        ask(generator)


@pytest.mark.alone
def test_a_reader_that_stops_does_not_wait_for_what_is_under_way(
    generator: EndpointGenerator, chat_server: FaultyProxy
) -> None:
    chat_server.faults = [Fault(through=True)] + [Fault(seconds=20, through=True)] * 3
    answers = generator.complete(requests(4), max_new_tokens=2, temperature=0.8)
    next(answers)
    started = time.monotonic()
    answers.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 5


def test_a_steered_request_is_refused(generator: EndpointGenerator) -> None:
    import numpy as np

    steered = Request((("user", "Hi"),), 0, Steering(1, np.ones(TINY_WIDTH), 0.4))
    with pytest.raises(OptionError, match="LocalGenerator"):
        generator.generate([steered], max_new_tokens=2, temperature=0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"base_url": "http://localhost", "provider": "x"},
        {"model": "m", "concurrency": 0},
        {"model": "m", "timeout": 0},
    ],
)
def test_an_endpoint_without_meaning_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        EndpointGenerator(**options)  # type: ignore[arg-type]


def test_the_token_for_the_hub_goes_nowhere_else(chat_server: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    ask(EndpointGenerator("smollm2", base_url=chat_server.address))
    assert not any("hf_secret" in str(headers) for _, headers, _ in chat_server.requests)


def test_a_real_server_names_verifies_scores_and_judges(
    chat_server: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The model is weak, so its answers may be unparsable, which is then what is recorded.
    monkeypatch.setattr(questions, "TRIES", 1)
    generator = EndpointGenerator("smollm2", base_url=chat_server.address)
    journal = tmp_path / "journal.jsonl"
    table = table_of(COFFEE)
    short: Any = {"answer_tokens": 40}
    explained = explain(table, LLMExplainer(generator, journal, **short))
    for row in explained:
        assert bool(row["explanation"]) == (row["fits"] is None)
        assert row["fits"] in (None, "cannot tell", "unparsable")
    named = verify_explanations(explain(table, TopTokensExplainer()), generator, journal, **short)
    assert {*named["fits"]} <= {*VERDICTS, "unparsable"}
    scored = score_explanations(named, generator=generator, journal=journal, **short)
    assert all(value is None or 0 <= value <= 1 for value in scored["detection"])
    judged = judge_relevance(scored, "toxicity", generator, journal, **short)
    assert {*judged["relevant"]} <= {*VERDICTS, "unparsable"}
    asked = len(chat_server.requests)
    assert asked == len(journal.read_text().splitlines())
    assert judge_relevance(scored, "toxicity", generator, journal, **short).to_list() == judged.to_list()
    assert len(chat_server.requests) == asked


def test_a_real_server_continues_what_was_begun_and_holds_to_a_schema(chat_server: FaultyProxy) -> None:
    chat_server.owner = "llamacpp"
    generator = EndpointGenerator("smollm2", base_url=chat_server.address)
    asked = (("user", "Name a fruit."),)
    begun = Request(asked, 0, prefix="It is called an")
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    found = generator.generate([begun, Request(asked, 0, schema=schema)], max_new_tokens=24, temperature=0)
    assert found[0].text.startswith("It is called an")
    assert len(found[0].text) > len("It is called an")
    assert json.loads(found[1].text)["answer"] in ("yes", "no")


def test_an_answer_without_usage_is_taken_and_its_tokens_are_estimated(
    generator: EndpointGenerator, chat_server: FaultyProxy
) -> None:
    chat_server.fail(Fault(200, JSON, completion("a cup of tea")))
    (found,) = ask(generator)
    assert (found.text, found.n_tokens, len(chat_server.requests)) == ("a cup of tea", 4, 1)
    assert found.prompt_tokens > 0


@pytest.mark.parametrize("header", ["Mon, 23 Nov 2020 10:00:00 -0000", "Mon, 23 Nov 2020 10:00:00", "soon"])
def test_an_odd_wait_is_no_wait(generator: EndpointGenerator, chat_server: FaultyProxy, header: str) -> None:
    chat_server.fail(Fault(429, {"Retry-After": header}))
    assert ask(generator)[0].text


def test_secrets_in_an_address_are_told_nobody() -> None:
    for address in ("http://user:topsecret@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?api-key=topsecret"):
        generator = EndpointGenerator("smollm2", base_url=address, retries=0)
        with pytest.raises(GenerationError) as failed:
            ask(generator)
        assert "topsecret" not in f"{failed.value} {generator.name}"


@pytest.mark.parametrize("address", ["localhost:8000/v1", "/v1", "ftp://localhost/v1", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(OptionError, match="is no address such as http://localhost:8000/v1"):
        EndpointGenerator("smollm2", base_url=address)


def test_a_provider_that_there_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(GenerationError, match=r"smollm2@nonsense cannot be asked: .*nonsense"):
        ask(EndpointGenerator("smollm2", provider="nonsense", token="hf_x"))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://localhost:8000/v1", "m@localhost"),
        ("http://127.0.0.1:1234/v1/", "m@127.0.0.1"),
        ("http://gateway/first/v1", "m@gateway/first"),
        ("https://gateway:9000/v1", "m@gateway:9000"),
    ],
)
def test_servers_have_names_of_their_own(address: str, name: str) -> None:
    assert EndpointGenerator("m", base_url=address).name == name


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ((None, "http://127.0.0.1:1/v1"), (None, "http://127.0.0.1:2/v1"), False),
        (("m", "http://127.0.0.1:1/v1"), ("m", "http://127.0.0.1:2/v1"), True),
        (("m", "http://127.0.0.1:1/v1"), ("n", "http://127.0.0.1:1/v1"), False),
        (("m", "http://far:1/v1"), ("m", "http://far:2/v1"), False),
        (("m", "http://far/a/v1"), ("m", "http://far/b/v1"), False),
        (("m", "http://far/v1"), ("m", "http://me:secret@far/v1?k=secret"), True),
        (("m", None, "a"), ("m", None, "b"), False),
        (("m", None, "a"), ("m", None), False),
        (("m", "http://a/v1"), ("m", None, "a"), False),
    ],
)
def test_answers_of_one_server_are_not_those_of_another(
    first: tuple[str | None, ...], second: tuple[str | None, ...], alike: bool
) -> None:
    keys = []
    for model, address, *provider in (first, second):
        keys.append(EndpointGenerator(model, base_url=address, provider=provider[0] if provider else None).key)
    assert (keys[0] == keys[1]) == alike
    assert "secret" not in str(keys)


def test_two_servers_without_a_named_model_are_both_asked() -> None:
    servers = [FaultyProxy(answer=lambda _prompt, text=text: text) for text in ("I am one", "I am another")]  # type: ignore[misc]
    journal = Journal()
    found = [
        journal.generate(EndpointGenerator(base_url=server.address), requests(1), max_new_tokens=6, temperature=0)
        for server in servers
    ]
    assert [answers[0][1].text for answers in found] == ["I am one", "I am another"]
    for server in servers:
        server.close()
