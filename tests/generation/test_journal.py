"""What a journal keeps is paid for once, whatever happens in between."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fac_datasets import (
    EndpointGenerator,
)
from fac_datasets.errors import GenerationError, OutputError
from fac_datasets.generation import Completion, Journal, Limits
from tests.generation.cases import requests
from tests.servers.chat_server import Fault, FaultyProxy
from tests.servers.chat_server import chat_server as chat_server
from tests.servers.chat_server import llama_server as llama_server

pytestmark = pytest.mark.embedded


def test_answers_before_a_failure_are_kept_and_not_paid_for_again(
    generator: EndpointGenerator, chat_server: FaultyProxy, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    chat_server.faults = [Fault(through=True)] * 5 + [Fault(401)]
    with pytest.raises(GenerationError):
        journal.generate(generator, requests(10), max_new_tokens=6, temperature=0.8)
    journal.close()
    resumed = Journal(tmp_path / "journal.jsonl")
    kept = len(resumed.completions)
    assert kept >= 5
    chat_server.requests.clear()
    found = resumed.generate(generator, requests(10), max_new_tokens=6, temperature=0.8)
    assert len(chat_server.requests) == 10 - kept
    assert all(completion.text for _, completion in found)
    resumed.close()


def test_a_journal_is_kept_answer_by_answer(
    generator: EndpointGenerator, chat_server: FaultyProxy, tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    chat_server.answer = lambda _prompt: "yes"
    chat_server.faults = [Fault(through=True), Fault(seconds=3, through=True)]
    generator.concurrency = 2
    thread = threading.Thread(
        target=lambda: Journal(path).generate(generator, requests(2), max_new_tokens=2, temperature=0.8)
    )
    thread.start()
    deadline = time.monotonic() + 2.5
    while not path.exists() or not path.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert path.read_bytes().count(b"\n") == 1
    thread.join()


def test_calls_and_tokens_are_known_before_and_limited(generator: EndpointGenerator, chat_server: FaultyProxy) -> None:
    asked = requests(8)
    journal = Journal(limits=Limits(max_calls=3))
    plan = journal.plan(generator, [*asked, asked[0]], max_new_tokens=6, temperature=0.8)
    assert (plan.calls, plan.max_new_tokens) == (8, 48)
    assert not chat_server.requests
    with pytest.raises(GenerationError, match="3 calls"):
        journal.generate(generator, asked, max_new_tokens=6, temperature=0.8)
    assert len(chat_server.requests) == 3 == len(journal.completions)
    assert journal.plan(generator, asked, max_new_tokens=6, temperature=0.8).calls == 5
    spent = sum(found.prompt_tokens + found.n_tokens for found in journal.completions.values())
    assert sum(found.prompt_tokens for found in journal.completions.values()) / 3 <= plan.prompt_tokens / 8
    tight = Journal(limits=Limits(max_tokens=spent))
    with pytest.raises(GenerationError, match="tokens"):
        tight.generate(generator, asked, max_new_tokens=6, temperature=0.8)
    assert sum(found.prompt_tokens + found.n_tokens for found in tight.completions.values()) <= spent


def test_completions_of_a_journal_without_prompt_tokens_still_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"sample": "a", "text": "one", "n_tokens": 1, "finished": true}\n')
    journal = Journal(path)
    assert journal.completions == {"a": Completion("one", 1, True)}
    journal.close()


@pytest.mark.parametrize("limits", [Limits(max_calls=0), Limits(max_tokens=0)])
def test_a_limit_of_nothing_asks_nothing(
    generator: EndpointGenerator, chat_server: FaultyProxy, limits: Limits
) -> None:
    with pytest.raises(GenerationError, match="stopped after 0 calls"):
        Journal(limits=limits).generate(generator, requests(2), max_new_tokens=2, temperature=0.8)
    assert chat_server.requests == []


def test_looking_into_a_journal_leaves_it_to_its_writer(generator: EndpointGenerator, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = Journal(path)
    writer.generate(generator, requests(1), max_new_tokens=2, temperature=0.8)
    # Half a line, as another process may see it.
    with path.open("ab") as half:
        half.write(b'{"sample": "')
    before = path.read_bytes()
    assert len(Journal(path, read_only=True).completions) == 1
    assert path.read_bytes() == before
    assert not (tmp_path / "none.jsonl").exists()
    Journal(tmp_path / "none.jsonl", read_only=True)
    assert not (tmp_path / "none.jsonl").exists()
    writer.close()


def test_a_full_disk_is_told_of_with_the_way_out(generator: EndpointGenerator, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with suppress(OSError), Path("/dev/full").open("ab") as full:
        journal._stream = full
        with pytest.raises(OutputError, match=r"the journal /dev/full cannot be written: .*; make room"):
            journal.generate(generator, requests(1), max_new_tokens=2, temperature=0.8)
