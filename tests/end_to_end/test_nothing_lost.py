"""What goes wrong in the middle of a run is told, and the same command goes on with all that was done until then."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest

from fac_datasets import EndpointGenerator
from fac_datasets.errors import GenerationError, OutputError, SynthesisError
from fac_datasets.generation import Limits
from fac_datasets.pipeline import Settings, preview, run
from tests.servers.chat_server import Fault, FaultyProxy, completion
from tests.servers.writer import writer as writer
from tests.tiny import TEXTS

pytestmark = pytest.mark.slow


class Job:
    """One run on the tiny pair, written by a server."""

    def __init__(self, backbone: str, sae: str, server: FaultyProxy, folder: Path) -> None:
        self.server, self.out = server, folder / "out"
        self.rows = {name: datasets.Dataset.from_dict({"text": TEXTS[part]}) for name, part in _PARTS.items()}
        self.settings = Settings(backbone, sae, threshold="q75", max_features=4, max_attempts=2, max_new_tokens=24)
        self.said: list[str] = []

    def run(self, out: Path | None = None, *, dry_run: bool = False, **options: Any) -> dict[str, Any]:
        self.said.clear()
        return run(
            self.rows["seed"],
            self.rows["anchor"],
            out or self.out,
            replace(self.settings, **options),
            generator=self.generator,
            dry_run=dry_run,
            say=self.said.append,
        )

    @property
    def generator(self) -> EndpointGenerator:
        return EndpointGenerator("m", base_url=self.server.address, concurrency=1, retries=0)

    def says(self, words: str) -> bool:
        return any(words in line for line in self.said)


_PARTS = {"seed": slice(0, 2), "anchor": slice(2, 8)}


@pytest.fixture
def job(tiny_backbone: str, tiny_sae: str, writer: FaultyProxy, tmp_path: Path) -> Job:
    return Job(tiny_backbone, tiny_sae, writer, tmp_path)


def data(out: Path) -> dict[str, bytes]:
    """What is published of a run."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("*/*.parquet"))}


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files cannot grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_and_a_server_that_goes_away_lose_nothing(job: Job, tmp_path: Path) -> None:
    with room_for(3600), pytest.raises(OutputError, match="the same command"):
        job.run()
    job.run(dry_run=True)
    with room_for(4000), pytest.raises(OutputError, match=r"unguided.jsonl cannot be written: .*the same command"):
        job.run()
    answered = len(job.server.requests)
    assert 4 <= answered < 32
    job.server.faults = [Fault(through=True)] * 12 + [Fault(401)]
    with pytest.raises(GenerationError, match="HTTP 401"):
        job.run()
    assert job.says("kept from before")
    job.run()
    asked = len(job.server.requests)
    job.run(tmp_path / "whole")
    # On each full disk one answer had no room, perhaps while the next was under way; and one request met no server.
    assert asked - 5 <= len(job.server.requests) - asked < asked
    assert data(job.out) == data(tmp_path / "whole")


def test_what_is_damaged_of_what_was_kept_is_made_again(job: Job, tmp_path: Path) -> None:
    plan = job.run(dry_run=True)
    assert not job.server.requests

    def cut(kept: Path) -> None:
        path = next(kept.glob("*.arrow"))
        path.write_bytes(path.read_bytes()[:100])

    def change(kept: Path) -> None:
        path = next(kept.glob("*.arrow"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)

    def replace_by_a_file(kept: Path) -> None:
        shutil.rmtree(kept)
        kept.write_text("")

    for damage in (
        cut,
        change,
        replace_by_a_file,
        lambda kept: (kept / "state.json").write_text("{"),
        lambda kept: (kept / "state.json").unlink(),
        lambda kept: (kept / "dataset_info.json").write_text("[1]"),
    ):
        damage(job.out / ".work" / "A1")
        assert job.run(dry_run=True) == plan
        assert job.says("A1: what was kept is damaged, and is made again")
        assert job.says("seed: 2 rows, kept from before")


def test_a_journal_that_is_damaged_is_named_and_one_that_is_gone_is_written_again(job: Job) -> None:
    job.run()
    before, asked = data(job.out), len(job.server.requests)
    journal = job.out / "journal" / "guided.jsonl"
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    (job.out / "report.json").unlink()
    for garbage in (b"\x00\xff\n", b'"text"\n', b'{"sample": 5\n', first[:40] + b"\n"):
        journal.write_bytes(garbage + b"".join(rest))
        with pytest.raises(
            OutputError, match=r"line 1 of .*guided.jsonl is damaged .*; take this line out of the file"
        ):
            job.run()
    journal.write_bytes(b"".join(rest))
    job.run()
    assert len(job.server.requests) == asked + 1
    assert data(job.out) == before
    (job.out / "report.json").write_text("{")
    shutil.rmtree(job.out / "journal")
    job.run()
    assert job.says("report.json is damaged")
    assert data(job.out) == before
    assert journal.exists()


def test_a_finished_run_goes_on_with_higher_limits_only(job: Job) -> None:
    low = job.run(max_samples=1, limits=Limits(max_calls=60))
    assert low["added_rows"]["guided"] <= 1
    before, asked = data(job.out), len(job.server.requests)
    assert asked <= 60
    assert job.run(max_samples=0, limits=Limits(max_calls=3)) == low
    assert job.says("holds this finished run")
    with pytest.raises(OutputError, match="--overwrite"):
        job.run(temperature=0.1, max_samples=9)
    assert (data(job.out), len(job.server.requests)) == (before, asked)
    high = job.run(max_samples=4)
    assert job.says("with lower limits; it goes on")
    assert high["added_rows"]["guided"] > low["added_rows"]["guided"]


@pytest.mark.parametrize("budget", [{"max_samples": 0}, {"max_features": 0}, {"limits": Limits(max_calls=0)}])
def test_a_budget_of_nothing_measures_and_asks_nothing(job: Job, budget: dict[str, Any]) -> None:
    report = job.run(**budget)
    assert report["added_rows"] == {"guided": 0, "unguided": 0}
    assert not job.server.requests


def test_a_plan_keeps_what_it_extracts_and_a_preview_writes_nothing(job: Job) -> None:
    plan = job.run(dry_run=True, limits=Limits(price_in=1.0, price_out=2.0))
    assert not job.server.requests
    assert plan["dollars"] > 0
    assert job.says("calls with about") and job.says("dollars at most")
    before = sorted(job.out.rglob("*"))
    rows = preview(job.rows["seed"], job.rows["anchor"], 3, job.settings, generator=job.generator, say=job.said.append)
    assert 0 < len(rows) <= 3
    assert all(row["text"] in "\n".join(job.said) for row in rows)
    assert sorted(job.out.rglob("*")) == before
    job.server.requests.clear()
    job.run(limits=Limits(price_in=1.0, price_out=2.0))
    assert job.says("kept from before")
    assert len(job.server.requests) <= plan["calls"]
    assert sum(job.run()["decoded_tokens"].values()) <= plan["max_new_tokens"]


def test_a_generator_that_refuses_everything_is_stopped_early_and_its_answers_are_kept(job: Job) -> None:
    job.server.reply = lambda _request: (200, completion("I'm sorry, but I can't help with that."))
    for _ in range(2):
        with pytest.raises(GenerationError, match=r"m@127.0.0.1 wrote nothing: .* declined by the model"):
            job.run(max_attempts=50)
        assert job.says("unguided: none of the first 64 answers is a sample: 64 declined by the model")
        assert len(job.server.requests) <= 64 + 16


def test_where_nothing_is_missing_the_seed_is_left_as_it_is(job: Job) -> None:
    # Tokens see only those before them, so that the beginnings of rows activate nothing that these do not.
    job.rows["anchor"] = datasets.Dataset.from_dict({"text": ["The cat sat on the mat", "Water boils at one"]})
    report = job.run()
    assert report["missing"] == []
    assert report["added_rows"] == {"guided": 0, "unguided": 0}
    assert job.says("no feature to aim at, so nothing is synthesized")
    assert not job.server.requests


def test_rows_without_a_response_are_kept_and_shown_to_nobody(job: Job) -> None:
    outputs = ["Yes, it is.", None]
    job.rows["seed"] = datasets.Dataset.from_dict({"instruction": TEXTS[:2], "output": outputs})
    job.rows["anchor"] = datasets.Dataset.from_dict({"instruction": TEXTS[2:8], "output": ["No."] * 6})
    job.run(max_features=2, skip_bad=True)
    kept = datasets.Dataset.from_parquet(str(job.out / "data" / "seed-*.parquet"))
    assert kept["output"] == outputs
    assert not any(TEXTS[1] in json.dumps(json.loads(body)["messages"]) for _, _, body in job.server.requests)
    job.rows["seed"] = job.rows["seed"].select([1])
    with pytest.raises(SynthesisError, match="no row of the seed has all of"):
        job.run(job.out.parent / "other")


def test_a_label_of_one_class_is_told_and_given_to_all(job: Job) -> None:
    for name, rows in job.rows.items():
        job.rows[name] = rows.add_column("label", ["calm"] * len(rows))
    job.run(max_features=2)
    assert job.says("with one class every synthetic row gets it")
    assert set(datasets.Dataset.from_parquet(str(job.out / "data" / "train-*.parquet"))["label"]) == {"calm"}
