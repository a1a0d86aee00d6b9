"""What a journal keeps is paid for once, whatever happens in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fac_datasets import (
    EndpointGenerator,
)
from fac_datasets.errors import GenerationError, LimitReached, OptionError, OutputError
from fac_datasets.generation import Completion, Journal, Limits, Outcome, Request, Spent
from fac_datasets.generation.journal import limit_together
from tests.generation.cases import requests
from tests.interpretation.scripted import Scripted
from tests.servers.chat_server import Fault, FaultyProxy
from tests.servers.chat_server import chat_server as chat_server
from tests.servers.chat_server import llama_server as llama_server


@pytest.mark.embedded
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


@pytest.mark.embedded
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


@pytest.mark.embedded
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
    assert journal.completions["a"].outcome is Outcome.FINISHED
    journal.close()


def test_a_refusal_of_a_journal_without_problems_is_still_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    entry = '{"sample": "a", "text": "", "n_tokens": 0, "finished": false, "prompt_tokens": 0, "refusal": "HTTP 400"}\n'
    path.write_text(entry)
    assert Journal(path, read_only=True).completions["a"].outcome is Outcome.REFUSED


def test_a_journal_that_holds_half_a_character_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"sample": "a", "text": "one \\ud83d", "n_tokens": 1, "finished": true}\n')
    (found,) = Journal(path, read_only=True).completions.values()
    assert found.text == "one \ufffd"
    found.text.encode()


def test_answers_to_what_was_asked_before_schemas_and_prefixes_are_found(tmp_path: Path) -> None:
    generator = Scripted(lambda _prompt, _seed: "yes")
    journal, asked = Journal(), Request((("user", "Name a fruit."),), 3)
    options: Any = {"max_new_tokens": 8, "temperature": 0.5}
    ((key, _),) = journal.generate(generator, [asked], **options)
    assert key == "eef9b7d515458e70734e0b8263d2570a"
    with_schema = Request(asked.messages, 3, schema={"type": "object"})
    begun = Request(asked.messages, 3, prefix="An")
    assert journal.find(generator, with_schema, **options) is not None
    assert journal.find(generator, begun, **options) is None


def test_what_is_spent_is_counted_in_tokens_and_dollars() -> None:
    class Dear(Scripted):
        batch_size = 2

        def complete(self, *arguments: Any, **options: Any) -> Iterator[tuple[int, Completion]]:
            for place, completion in super().complete(*arguments, **options):
                yield place, completion._replace(n_tokens=50, prompt_tokens=20)

    asked = [Request((("user", "What is it?"),), seed) for seed in range(8)]
    options: Any = {"max_new_tokens": 100, "temperature": 0.0}
    # A prompt is taken for 19 tokens and an answer for 100: at most 219 millionths of a dollar a call; 120 are paid.
    limits = Limits(max_cost=0.0005, price_in=1, price_out=2)
    journal, generator = Journal(limits=limits), Dear(lambda _prompt, _seed: "it")
    plan = journal.plan(generator, asked, **options)
    assert plan[:3] == (8, 8 * 19, 800)
    assert plan.dollars == pytest.approx(8 * 219e-6)
    assert str(plan).endswith("800 tokens of answers, which cost 0.0018 dollars at most")
    with pytest.raises(
        GenerationError,
        match=r"stopped after 3 calls and 210 tokens for 0.0004 dollars by max_cost=0.0005; 5 requests ",
    ):
        journal.generate(generator, asked, **options)
    assert journal.spent[:3] == (3, 60, 150)
    assert journal.spent.dollars == pytest.approx(3 * 120e-6)
    assert generator.asked == 3 == len(journal.completions)
    unlimited = Journal()
    unlimited.generate(generator, asked, **options)
    assert unlimited.spent == Spent(8, 160, 400, None)
    assert (unlimited.prompt_tokens(), unlimited.decoded_tokens()) == (160, 400)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"max_cost": 1.0}, "max_cost=1.0 needs prices"),
        ({"max_cost": -1.0, "price_in": 1.0}, "max_cost=-1.0"),
        ({"price_out": -2.0}, "price_out=-2.0"),
        ({"max_calls": -1}, "max_calls=-1 is too small"),
    ],
)
def test_limits_of_cost_without_meaning_are_refused(limits: dict[str, float], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        Limits(**limits)  # type: ignore[arg-type]


@pytest.mark.embedded
@pytest.mark.parametrize("limits", [Limits(max_calls=0), Limits(max_tokens=0)])
def test_a_limit_of_nothing_asks_nothing(
    generator: EndpointGenerator, chat_server: FaultyProxy, limits: Limits
) -> None:
    with pytest.raises(GenerationError, match="stopped after 0 calls"):
        Journal(limits=limits).generate(generator, requests(2), max_new_tokens=2, temperature=0.8)
    assert chat_server.requests == []


@pytest.mark.embedded
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


def test_a_journal_has_one_writer_and_any_number_of_readers(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Journal(path)
    with pytest.raises(OutputError, match=r"another process writes the journal .*journal.jsonl; wait for it"):
        Journal(path)
    Journal(path, read_only=True)
    first.close()
    Journal(path).close()


def test_a_journal_that_is_removed_meanwhile_is_missed(tmp_path: Path) -> None:
    path, generator = tmp_path / "journal.jsonl", Scripted(lambda _prompt, _seed: "yes")
    journal = Journal(path)
    path.unlink()
    with pytest.raises(OutputError, match="was removed while it was written"):
        journal.generate(generator, requests(1), max_new_tokens=2, temperature=0.8)


@pytest.mark.parametrize(
    "line",
    ['{"sample": "a"', "null", '"text"', "[]", '{"sample": "a", "text": 5, "n_tokens": 1, "finished": true}',
     '{"sample": "a", "text": "", "n_tokens": 1, "finished": true, "problem": "none of ours"}'],
)  # fmt: skip
def test_a_damaged_line_is_named_and_the_rest_goes_on_without_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    whole = '{"sample": "b", "text": "one", "n_tokens": 1, "finished": true}\n'
    path.write_text(f"{whole}{line}\n")
    with pytest.raises(OutputError, match=r"line 2 of .* is damaged .*; take this line out of the file"):
        Journal(path)
    path.write_text(whole)
    journal = Journal(path)
    assert list(journal.completions) == ["b"]
    journal.close()


def test_journals_of_one_run_keep_to_their_limits_together_and_count_what_they_hold(tmp_path: Path) -> None:
    generator = Scripted(lambda _prompt, _seed: "yes")
    options: Any = {"max_new_tokens": 2, "temperature": 0.8}
    for asked in (2, 4):
        journals = [Journal(tmp_path / name, Limits(max_calls=5)) for name in ("a", "b")]
        limit_together(journals)
        journals[0].generate(generator, requests(asked), **options)
        if asked == 4:
            with pytest.raises(LimitReached, match="stopped after 5 calls"):
                journals[1].generate(generator, requests(3), **options)
        for journal in journals:
            journal.close()
    assert generator.asked == 5


@pytest.mark.embedded
def test_a_full_disk_is_told_of_with_the_way_out(generator: EndpointGenerator, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with suppress(OSError), Path("/dev/full").open("ab") as full:
        journal._stream = full
        with pytest.raises(OutputError, match=r"the journal /dev/full cannot be written: .*; make room"):
            journal.generate(generator, requests(1), max_new_tokens=2, temperature=0.8)


def test_a_journal_that_takes_part_gives_what_there_is_and_asks_no_more() -> None:
    generator = Scripted(lambda _prompt, _seed: "yes")
    options: Any = {"max_new_tokens": 6, "temperature": 0.8}
    journal = Journal(limits=Limits(max_tokens=100), takes_part=True)
    first = [found.outcome for _, found in journal.generate(generator, requests(8), **options)]
    assert {*first} == {Outcome.FINISHED, Outcome.NOT_ASKED}
    assert "requests are left" in str(journal.limit_reached)
    # A shorter question would still be allowed, but may hang on what was not answered.
    ((_, later),) = journal.generate(generator, [Request((("user", "?"),), 0)], **options)
    assert later.outcome is Outcome.NOT_ASKED
    assert generator.asked == first.count(Outcome.FINISHED) == len(journal.completions)
