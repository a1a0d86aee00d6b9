"""`fac-datasets synthesize`: from a table and a report to samples, going on wherever it was stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from fac_datasets import coverage, feature_table
from fac_datasets.errors import (
    ColumnError,
    FeatureSpaceMismatch,
    GenerationError,
    OptionError,
    OutputError,
    SynthesisError,
)
from fac_datasets.files.output_folder import write_table
from fac_datasets.rows.loading import load_rows
from tests.command_line import command
from tests.servers.chat_server import Fault, FaultyProxy, completion
from tests.servers.writer import writer as writer
from tests.synthesis.cases import Case
from tests.tiny import TEXTS


@pytest.fixture(scope="module")
def case(tiny_backbone: str, tiny_sae: str) -> Case:
    return Case(tiny_backbone, tiny_sae)


@pytest.fixture
def given(case: Case, tiny_backbone: str, tiny_sae: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command, in a folder with a table, a report, and rows of a seed and an anchor."""
    monkeypatch.chdir(tmp_path)
    write_table(Path("table"), case.table)
    Path("report.json").write_text(json.dumps(case.report.to_dict()))
    case.seed_rows.to_json("seed.jsonl")
    datasets.Dataset.from_dict({"instruction": TEXTS[:2], "output": ["Yes, it is.", "No."], "id": [1, 2]}).to_json(
        "instructions.jsonl"
    )
    case.anchor.select_columns(["text"]).to_json("anchor.jsonl")
    pair = ["--backbone", tiny_backbone, "--sae", tiny_sae]
    return ["synthesize", "table", "report.json", "--out", "out", *pair, "--examples", "anchor.jsonl"]


def asking(server: FaultyProxy, *options: Any) -> list[Any]:
    return ["--model", "m", "--endpoint", server.address, "--concurrency", 1, "--max-features", 6, *options]


def rows(folder: str = "out") -> datasets.Dataset:
    # Of a file without rows `datasets` makes no split.
    return datasets.Dataset(pq.read_table(f"{folder}/data/train-00000-of-00001.parquet"))


def files(folder: str = "out") -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_texts_are_written_in_the_columns_of_the_seed(given: list[str], writer: FaultyProxy) -> None:
    said = command(*given, *asking(writer, "--schema-of", "seed.jsonl", "--column", "text"))
    found = rows()
    assert f"out/data/train-00000-of-00001.parquet: {len(found)} samples for " in said
    assert found.column_names[:3] == ["text", "topic", "synthetic_id"]
    assert len(found)
    assert all(row["target_activation"] > row["target_threshold"] for row in found)


def test_instructions_are_written_in_the_columns_of_the_seed(given: list[str], writer: FaultyProxy) -> None:
    command(*given, *asking(writer, "--schema-of", "instructions.jsonl"))
    found = rows()
    assert len(found)
    assert found.column_names[:3] == ["instruction", "output", "id"]
    assert all(row["instruction"] and row["output"] and row["id"] is None for row in found)


def test_run_again_it_asks_nothing_and_changes_nothing(given: list[str], writer: FaultyProxy) -> None:
    command(*given, *asking(writer))
    before, asked = files(), len(writer.requests)
    command(*given, *asking(writer))
    assert files() == before
    assert len(writer.requests) == asked


def test_more_effort_goes_on_and_another_option_is_an_error(given: list[str], writer: FaultyProxy) -> None:
    command(*given, *asking(writer, "--max-samples", 1))
    (first,) = rows()["synthetic_id"]
    command(*given, *asking(writer, "--max-samples", 4, "--max-attempts", 9))
    assert rows()["synthetic_id"][0] == first
    assert 1 < len(rows()) <= 4
    before = files()
    for other in (["--temperature", 0.1], ["--seed", 1], ["--methods", "prompted"], ["--schema-of", "seed.jsonl"]):
        with pytest.raises(OutputError, match="--overwrite"):
            command(*given, *asking(writer, "--column", "text", *other))
    assert files() == before


def test_a_limit_counts_what_was_asked_before_and_can_be_raised(given: list[str], writer: FaultyProxy) -> None:
    for limit in (4, 4, 7):
        command(*given, *asking(writer, "--max-calls", limit))
        assert len(writer.requests) <= limit
    assert len(writer.requests) == 7


def test_a_plan_asks_and_writes_nothing_and_is_not_exceeded(given: list[str], writer: FaultyProxy) -> None:
    priced = asking(writer, "--price-in", 1, "--price-out", 2)
    said = command(*given, *priced, "--dry-run")
    found = re.search(r"at most ([\d,]+) calls .*, which cost [\d.]+ dollars at most", said)
    assert found
    assert not writer.requests
    assert not Path("out").exists()
    command(*given, *priced)
    assert len(writer.requests) <= int(found[1].replace(",", ""))


def test_a_server_that_is_gone_in_the_middle_loses_nothing(given: list[str], writer: FaultyProxy) -> None:
    writer.faults = [Fault(through=True)] * 3 + [Fault(503, {"Retry-After": "86400"})]
    with pytest.raises(GenerationError, match="HTTP 503"):
        command(*given, *asking(writer))
    kept = Path("out/journal.jsonl").read_bytes()
    assert kept.count(b'"sample"') == 3
    command(*given, *asking(writer))
    assert Path("out/journal.jsonl").read_bytes().startswith(kept)
    command(*given, "--out", "whole", *asking(writer))
    assert rows().to_list() == rows("whole").to_list()


def test_a_second_process_in_the_folder_is_refused(given: list[str], writer: FaultyProxy) -> None:
    Path("out").mkdir()
    with FileLock("out/.lock"), pytest.raises(OutputError, match="another process is at work in out"):
        command(*given, *asking(writer))
    assert not writer.requests


def test_where_nothing_is_missing_an_empty_table_with_all_columns_is_written(
    given: list[str], case: Case, writer: FaultyProxy
) -> None:
    nothing = coverage(case.anchor, case.anchor, threshold="q75")
    Path("report.json").write_text(json.dumps(nothing.to_dict()))
    write_table(Path("table"), feature_table(case.anchor, features=nothing.covered[:1]))
    said = command(*given, *asking(writer, "--schema-of", "instructions.jsonl"))
    assert "0 samples for 0 features" in said
    assert "no feature is missing" in said
    found = rows()
    assert found.column_names[:4] == ["instruction", "output", "id", "synthetic_id"]
    assert not writer.requests


@pytest.mark.parametrize("budget", ["--max-features", "--max-samples", "--max-calls", "--max-tokens"])
def test_a_budget_of_nothing_writes_an_empty_table(given: list[str], writer: FaultyProxy, budget: str) -> None:
    assert "0 samples for 0 features" in command(*given, *asking(writer, budget, 0))
    assert len(rows()) == 0
    assert not writer.requests


def test_a_generator_that_says_nothing_is_stopped_early(given: list[str], writer: FaultyProxy) -> None:
    writer.reply = lambda _request: (200, completion(""))
    with pytest.raises(GenerationError, match=r"m@127.0.0.1 wrote nothing: of its first \d+ answers \d+ empty; take"):
        command(*given, *asking(writer, "--max-attempts", 50))
    assert len(writer.requests) <= 24


def test_a_generator_that_refuses_everything_is_stopped_early(given: list[str], writer: FaultyProxy) -> None:
    writer.reply = lambda _request: (200, completion("I'm sorry, but I can't help with that."))
    with pytest.raises(GenerationError, match=r"wrote nothing: .* declined by the model"):
        command(*given, *asking(writer, "--max-attempts", 50))
    asked = len(writer.requests)
    assert asked <= 24
    with pytest.raises(GenerationError, match="wrote nothing"):
        command(*given, *asking(writer, "--max-attempts", 50))
    assert len(writer.requests) == asked


def test_what_is_wrong_with_what_is_given_is_said_before_anything_is_asked(
    given: list[str], case: Case, writer: FaultyProxy
) -> None:
    datasets.Dataset.from_dict({"number": [1]}).to_json("numbers.jsonl")
    case.table.remove_columns(["spans"]).to_json("bare.jsonl")
    other = case.report.feature_space.replace("/chat/", "/raw/")
    Path("other.json").write_text(json.dumps({**case.report.to_dict(), "feature_space": other}))
    Path("broken.json").write_text("{")
    wrong: type[Exception]
    for options, wrong, words in (
        (["--kind", "poem"], SynthesisError, "no data kind 'poem'"),
        (["--schema-of", "numbers.jsonl"], ColumnError, "looked for"),
        (["--methods", "prayed"], OptionError, "prayed"),
    ):
        with pytest.raises(wrong, match=words):
            command(*given, *asking(writer, *options))
    for table, report, wrong, words in (
        ("bare.jsonl", "report.json", ColumnError, "spans"),
        ("table", "other.json", FeatureSpaceMismatch, "raw"),
        ("table", "broken.json", OptionError, "cannot be read"),
        ("table", "gone.json", OptionError, "cannot be read"),
    ):
        with pytest.raises(wrong, match=words):
            command("synthesize", table, report, *given[3:], *asking(writer))
    assert not writer.requests
    assert not Path("out").exists()


def test_a_table_without_names_serves_as_one_with_names(given: list[str], case: Case, writer: FaultyProxy) -> None:
    write_table(Path("table"), feature_table(case.anchor, features=case.report.missing))
    command(*given, *asking(writer))
    assert len(rows())
    assert set(rows()["target_name"]) == {""}


def test_the_table_beside_the_samples_tells_how_readily_each_feature_fired(
    given: list[str], writer: FaultyProxy
) -> None:
    said = command(*given, *asking(writer, "--schema-of", "seed.jsonl", "--column", "text"))
    table, before = load_rows("out/feature_table"), load_rows("table")
    assert table["feature_id"] == before["feature_id"]
    tried = [row for row in table if row["tries"]]
    assert 0 < len(tried) <= 6
    assert all(0 <= row["sensitivity"] <= 1 for row in tried)
    assert datasets.load_dataset("out", split="train", cache_dir="cache").column_names[:2] == ["text", "topic"]
    assert "of prompts; " in said
    assert "accepted, " in said.splitlines()[-1]


def test_a_way_that_can_be_used_for_no_target_is_an_error(given: list[str], writer: FaultyProxy) -> None:
    with pytest.raises(OptionError, match="'edited' can be used for no target: it changes what another way wrote"):
        command(*given, *asking(writer, "--methods", "edited"))


def test_what_counts_as_fluent_is_measured_where_it_is_asked_for(given: list[str], tiny_backbone: str) -> None:
    local = ["--model", tiny_backbone, "--schema-of", "seed.jsonl", "--column", "text", "--max-features", 6]
    options = [*local, "--methods", "guided", "--max-new-tokens", 16, "--temperature", 1, "--max-attempts", 2]
    with pytest.raises(OptionError, match=r"'prompted\+guided' can be used for no target.*--fluency"):
        command(*given, *options)
    planned = re.search(r"at most ([\d,]+) calls", command(*given, *options, "--fluency", "--dry-run"))
    assert planned
    said = command(*given, *options, "--fluency")
    assert "round 1, 6 prompted+guided: " in said
    assert re.search(r"^prompted\+guided: ", said, re.MULTILINE)
    asked = sum(Path("out", name).read_bytes().count(b'"completion"') for name in ("journal.jsonl", "unguided.jsonl"))
    assert asked <= int(planned[1].replace(",", ""))
    before = files()
    command(*given, *options, "--fluency")
    assert files() == before
    with pytest.raises(OutputError, match="--overwrite"):
        command(*given, *local)


def test_what_counts_as_fluent_needs_rows_to_show(given: list[str], tiny_backbone: str) -> None:
    bare = given[: given.index("--examples")]
    with pytest.raises(OptionError, match="give --schema-of or --examples"):
        command(*bare, "--model", tiny_backbone, "--fluency")


def test_a_way_that_serves_nothing_leaves_no_folder_behind(given: list[str], writer: FaultyProxy) -> None:
    with pytest.raises(OptionError):
        command(*given, *asking(writer, "--methods", "edited"))
    assert not Path("out").exists()
