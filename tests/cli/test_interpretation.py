"""The commands from feature columns to a judged table: each resumes, and says what it would cost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from filelock import FileLock

from fac_datasets import FeatureExtractor, LocalGenerator
from fac_datasets.errors import (
    ColumnError,
    DatasetError,
    FeatureSpaceMismatch,
    GenerationError,
    LimitReached,
    OptionError,
    OutputError,
)
from fac_datasets.interpretation import questions
from tests.command_line import command
from tests.repository import REPOSITORY
from tests.servers.chat_server import Fault, FaultyProxy, completion, odd

pytestmark = pytest.mark.slow

WORDS = ["tea", "Madrid", "42", "percent", "dogs", "def", "the", "of", "quiet"]


@pytest.fixture(scope="module")
def data(tiny_backbone: str, tiny_sae: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled rows with feature columns; those with label 1 speak of coffee."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=8)) + (" naïve coffee" if i % 2 else " grey rain") for i in range(60)]
    rows = datasets.Dataset.from_dict({"text": texts, "toxic": [i % 2 for i in range(60)]})
    path = tmp_path_factory.mktemp("data") / "rows.parquet"
    rows.map(FeatureExtractor(tiny_backbone, tiny_sae, threshold=0), batched=True).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def pair(tiny_backbone: str, tiny_sae: str) -> list[str]:
    return ["--backbone", tiny_backbone, "--sae", tiny_sae]


@pytest.fixture(scope="module")
def table(data: Path, pair: list[str]) -> Path:
    out = data.parent / "table"
    command("table", data, "--out", out, *pair)
    return out


@pytest.fixture(scope="module")
def few(table: Path) -> Path:
    """The table's first features alone, which a model is asked about faster."""
    path = table.parent / "few.parquet"
    rows_of(table).select(range(6)).to_parquet(path)
    return path


@pytest.fixture
def local(tiny_backbone: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A random model on this machine, which goes on to talk: what it says is no answer, however long."""
    monkeypatch.setattr(questions, "_FEW", 1000)
    return ["--model", tiny_backbone, "--answer-tokens", "4"]


@pytest.fixture(scope="module")
def named(table: Path) -> Path:
    out = table.parent / "named"
    command("explain", table, "--out", out)
    return out


def rows_of(folder: Path) -> datasets.Dataset:
    return datasets.load_dataset(str(folder), split="train")


def test_a_table_is_made_once_and_read_again(table: Path, data: Path, pair: list[str]) -> None:
    found = rows_of(table)
    assert {"feature_id", "spans", "held_out_spans", "silent_spans"} <= {*found.column_names}
    again = command("table", data, "--out", table, *pair)
    assert "finished run" in again
    assert f"{len(found)} features" in again
    with pytest.raises(OutputError, match="--overwrite"):
        command("table", data, "--out", table, "--top", 3, *pair)


def test_rows_without_columns_are_extracted(data: Path, pair: list[str], table: Path, tmp_path: Path) -> None:
    datasets.Dataset.from_parquet(str(data)).select_columns(["text"]).to_parquet(tmp_path / "plain.parquet")
    command("table", tmp_path / "plain.parquet", "--out", tmp_path / "table", *pair)
    assert rows_of(tmp_path / "table").to_list() == rows_of(table).to_list()


def test_names_come_from_peak_tokens_without_a_model(named: Path) -> None:
    found = rows_of(named)
    assert set(found["explainer"]) == {"top tokens"}
    assert all(row["explanation"] or row["fits"] == "cannot tell" for row in found)
    assert sum(map(bool, found["explanation"])) > len(found) // 2


def test_a_model_names_verifies_and_judges(few: Path, local: list[str], tmp_path: Path) -> None:
    plan = command("explain", few, "--out", tmp_path / "named", "--dry-run", *local)
    n = 6
    assert f"{2 * n} calls" in plan
    assert not (tmp_path / "named").exists()
    said = command("explain", few, "--out", tmp_path / "named", *local)
    assert f"0 of {n} features have a name; fits: {n} unparsable" in said
    assert len((tmp_path / "named" / "journal.jsonl").read_text().splitlines()) == 3 * n
    assert " 0 calls" in command("explain", few, "--out", tmp_path / "named", "--dry-run", *local)


@pytest.fixture(scope="module")
def report(data: Path, pair: list[str]) -> Path:
    """What the first rows lack of all of them."""
    path = data.parent / "report.json"
    seed = data.parent / "seed.parquet"
    datasets.Dataset.from_parquet(str(data)).select(range(2)).to_parquet(seed)
    command("coverage", seed, data, "--threshold", 0, "--json", path, *pair)
    return path


def test_a_table_of_what_a_report_misses_holds_what_most_anchor_rows_have_first(
    data: Path, report: Path, pair: list[str], tmp_path: Path
) -> None:
    missing = json.loads(report.read_text())["missing"]
    assert len(missing) > 3
    made = ["table", data, "--out", tmp_path, "--report", report, *pair]
    assert f"{tmp_path}: 2 features, " in command(*made, "--max-features", 2)
    first = rows_of(tmp_path)
    assert {*first["feature_id"]} == {*missing[:2]}
    assert all(first["spans"])
    # A limit is no part of what a folder is for: it may be raised, or left out, and asks for nothing else.
    assert "3 features" in command(*made, "--max-features", 3)
    assert {*rows_of(tmp_path)["feature_id"]} == {*missing[:3]}
    assert f"{len(missing)} features" in command(*made)
    assert {*rows_of(tmp_path)["feature_id"]} == {*missing}
    assert "finished run" in command(*made, "--max-features", 1)
    with pytest.raises(OutputError, match="--overwrite"):
        command("table", data, "--out", tmp_path, *pair)


def test_a_report_in_which_nothing_is_missing_gives_a_table_without_rows(
    data: Path, report: Path, pair: list[str], tmp_path: Path
) -> None:
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps({**json.loads(report.read_text()), "missing": []}))
    made = ["table", data, "--out", tmp_path / "table", "--report", whole, *pair]
    assert ": 0 features, 0 spans" in command(*made)
    assert "finished run" in command(*made)


def test_a_report_that_does_not_fit_is_refused(data: Path, report: Path, pair: list[str], tmp_path: Path) -> None:
    other, broken = tmp_path / "other.json", tmp_path / "broken.json"
    content = json.loads(report.read_text())
    other.write_text(json.dumps({**content, "feature_space": content["feature_space"].replace("/chat/", "/raw/")}))
    broken.write_text("{}")
    made = ["table", data, "--out", tmp_path / "table", *pair]
    for arguments, error, message in (
        (["--report", other], FeatureSpaceMismatch, "raw"),
        (["--report", broken], OptionError, "no report of coverage: it has no 'missing'"),
        (["--report", tmp_path / "none.json"], OptionError, "none.json cannot be read"),
        (["--max-features", 3], OptionError, "--max-features 3 counts the features of a report: give --report"),
    ):
        with pytest.raises(error, match=message):
            command(*made, *arguments)
    assert not (tmp_path / "table").exists()


def test_names_of_what_is_missing_cost_no_more_than_it_has_features(
    data: Path, report: Path, pair: list[str], local: list[str], tmp_path: Path
) -> None:
    command("table", data, "--out", tmp_path / "table", "--report", report, "--max-features", 3, *pair)
    priced = [*local, "--price-in", 1, "--price-out", 10]
    plan = command("explain", tmp_path / "table", "--out", tmp_path / "named", "--dry-run", *priced)
    found = re.search(r": 6 calls .* cost (\S+) dollars at most; answers .* again: with that, at most 18 calls", plan)
    assert found and f"{3 * float(found[1]):.4f} dollars"[:5] in plan


def test_contrast_and_ablation_find_relevant_features(named: Path, data: Path, pair: list[str], tmp_path: Path) -> None:
    labelled = ["--contrast", data, "--label-column", "toxic"]
    said = command("relevance", named, "--out", tmp_path, *labelled, "--effect", data, "--most", 2, *pair)
    found = rows_of(tmp_path)
    relevant = sum(bool(kinds) for kinds in found["evidence"])
    assert relevant
    assert f"{relevant} of {len(found)} features are relevant" in said
    assert sum(rows is not None for rows in found["effect_rows"]) == 2
    assert "finished run" in command(
        "relevance", named, "--out", tmp_path, *labelled, "--effect", data, "--most", 2, *pair
    )


def test_a_task_and_a_background_may_be_two_datasets(named: Path, data: Path, pair: list[str], tmp_path: Path) -> None:
    rows = datasets.Dataset.from_parquet(str(data))
    for label in (0, 1):
        rows.filter(lambda row, label=label: row["toxic"] == label).to_parquet(tmp_path / f"{label}.parquet")
    sides = ["--contrast", tmp_path / "1.parquet", "--background", tmp_path / "0.parquet"]
    command("relevance", named, "--out", tmp_path / "two", *sides, *pair)
    command("relevance", named, "--out", tmp_path / "one", "--contrast", data, "--label-column", "toxic", *pair)
    assert rows_of(tmp_path / "two").to_list() == rows_of(tmp_path / "one").to_list()


def test_a_background_has_a_column_and_a_split_of_its_own(
    named: Path, data: Path, pair: list[str], tmp_path: Path
) -> None:
    rows = datasets.Dataset.from_parquet(str(data)).select_columns(["text", "toxic"])
    task, other = (rows.filter(lambda row, label=label: row["toxic"] == label) for label in (1, 0))
    task.to_parquet(tmp_path / "task.parquet")
    other.to_parquet(tmp_path / "other.parquet")
    sides = ["--contrast", tmp_path / "task.parquet", "--background", tmp_path / "other.parquet"]
    command("relevance", named, "--out", tmp_path / "alike", *sides, *pair)
    task.rename_column("text", "chosen").to_parquet(tmp_path / "task.parquet")
    other = other.rename_column("text", "body")
    datasets.DatasetDict({"train": other.select([0]), "test": other}).save_to_disk(tmp_path / "other")
    sides = ["--contrast", tmp_path / "task.parquet", "--background", tmp_path / "other"]
    apart = ["--column", "chosen", "--split", "train", "--background-column", "body", "--background-split", "test"]
    command("relevance", named, "--out", tmp_path / "apart", *sides, *apart, *pair)
    assert rows_of(tmp_path / "apart").to_list() == rows_of(tmp_path / "alike").to_list()


def test_a_guideline_is_judged_by_a_model(few: Path, local: list[str], tmp_path: Path) -> None:
    named, out, n = tmp_path / "named", tmp_path / "out", 6
    command("explain", few, "--out", named)
    arguments = ["relevance", named, "--out", out, "--guideline", "toxicity", *local]
    # Names from peak tokens were never verified, which a judged name must be to count.
    assert f"{2 * n} calls" in command(*arguments, "--dry-run")
    assert f"by the guideline: {n} unparsable" in command(*arguments)
    found = rows_of(out)
    assert set(found["guideline"]) == {"Toxicity"}
    assert set(found["fits"]) == {"unparsable"}
    again = [out, "--out", tmp_path / "again", "--guideline", "helpfulness", *local]
    assert f"{n} calls" in command("relevance", *again, "--dry-run")


def test_scores_stand_beside_the_names(
    named: Path, data: Path, pair: list[str], tiny_backbone: str, tmp_path: Path
) -> None:
    assert "median auroc 0." in command("score", named, "--out", tmp_path / "within")
    command("score", named, "--out", tmp_path / "beyond", "--held-out", data, *pair)
    assert all(value is None or 0 <= value <= 1 for value in rows_of(tmp_path / "beyond")["auroc"])
    plan = command("score", named, "--out", tmp_path / "judged", "--model", tiny_backbone, "--dry-run")
    assert "calls" in plan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["relevance", "NAMED"], "nothing to judge by"),
        (["relevance", "NAMED", "--guideline", "toxicity"], "needs a model"),
        (["relevance", "NAMED", "--contrast", "DATA"], "--label-column or --background"),
        (["relevance", "NAMED", "--effect", "DATA", "--question", "So?"], "--label-column"),
        (["relevance", "NAMED", "--guideline", "cooking", "--model", "MODEL"], "cooking"),
        (["explain", "NAMED", "--dry-run"], "without a model"),
        (["explain", "NAMED", "--max-cost", "1"], "max_cost=1.0 needs prices"),
        (["explain", "NAMED", "--price-in", "-1"], "price_in=-1.0"),
        (["explain", "NAMED", "--answer-tokens", "0"], "--answer-tokens 0 must be at least 1"),
        (["explain", "NAMED", "--endpoint", "http://localhost", "--top-p", "2"], "top_p=2.0 is no share"),
        (["explain", "NAMED", "--endpoint", "http://localhost", "--provider", "x"], "name no endpoint"),
    ],
)
def test_commands_without_meaning_are_refused(
    arguments: list[str], message: str, named: Path, data: Path, tiny_backbone: str, tmp_path: Path
) -> None:
    places = {"NAMED": str(named), "DATA": str(data), "MODEL": tiny_backbone}
    with pytest.raises(OptionError, match=message):
        command(*(places.get(argument, argument) for argument in arguments), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty"):
        command("explain", tmp_path / "empty", "--out", tmp_path / "out")


def test_a_kill_between_two_answers_repeats_nothing(
    few: Path, local: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, batches = LocalGenerator._decode, 0

    def stopping(generator: LocalGenerator, *arguments: object) -> object:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise KeyboardInterrupt
        return decode(generator, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalGenerator, "_decode", stopping)
    monkeypatch.setitem(LocalGenerator.__init__.__kwdefaults__ or {}, "batch_size", 4)
    arguments = ["explain", few, "--out", tmp_path, *local]
    with pytest.raises((KeyboardInterrupt, AssertionError)):
        command(*arguments)
    kept = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(kept) == 4
    monkeypatch.setattr(LocalGenerator, "_decode", decode)
    command(*arguments)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert lines[:4] == kept
    assert len({json.loads(line)["sample"] for line in lines}) == len(lines)


def test_what_is_wrong_with_free_steps_costs_no_call(
    few: Path, data: Path, pair: list[str], local: list[str], tmp_path: Path
) -> None:
    command("explain", few, "--out", tmp_path / "named")
    judged = ["relevance", tmp_path / "named", "--out", tmp_path / "out", "--guideline", "toxicity", *local, *pair]
    with pytest.raises(ColumnError, match="toxik"):
        command(*judged, "--contrast", data, "--label-column", "toxik")
    assert not (tmp_path / "out").exists()
    command(*judged, "--contrast", data, "--label-column", "toxic")
    journal = tmp_path / "out" / "journal.jsonl"
    paid = journal.read_bytes()
    assert paid
    # Other options need another run, but what was answered is not asked for again.
    command(*judged, "--contrast", data, "--label-column", "toxic", "--alpha", 0.1, "--overwrite")
    assert journal.read_bytes() == paid


def test_two_processes_do_not_pay_for_the_same(few: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(OutputError, match="another process is at work in"):
        command("explain", few, "--out", tmp_path / "out")


def test_a_plan_of_scores_is_that_of_the_held_out_rows(few: Path, tmp_path: Path, tiny_backbone: str) -> None:
    command("explain", few, "--out", tmp_path / "named")
    score = ["score", tmp_path / "named", "--out", tmp_path / "out", "--model", tiny_backbone, "--dry-run"]
    with pytest.raises(DatasetError):
        command(*score, "--held-out", tmp_path / "nowhere.parquet")


# --- over HTTP -------------------------------------------------------------------------------------------------------


def judge(prompt: str) -> str:
    """What a model that follows its instructions answers."""
    if prompt.startswith("You name features"):
        return json.dumps({"reason": "all of them do", "name": f"name {len(prompt)}"})
    excerpts = re.search(r"(\d+) numbers in all", prompt)
    if excerpts:
        return json.dumps({"active": [1] * int(excerpts[1])})
    return json.dumps({"reason": "all of them do", "answer": "yes"})


@pytest.fixture
def server() -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(answer=judge)
    yield proxy
    proxy.close()


def prompts(server: FaultyProxy) -> list[str]:
    return [json.dumps(json.loads(body)["messages"]) for _, _, body in server.requests]


def test_names_verdicts_scores_and_evidence_come_over_http(few: Path, server: FaultyProxy, tmp_path: Path) -> None:
    endpoint = ["--model", "m", "--endpoint", server.address]
    assert "6 of 6 features have a name; fits: 6 yes" in command("explain", few, "--out", tmp_path / "a", *endpoint)
    assert " 0 calls" in command("explain", few, "--out", tmp_path / "a", *endpoint, "--dry-run")
    said = command("score", tmp_path / "a", "--out", tmp_path / "b", *endpoint)
    assert "detection 0.500" in said and "fuzzing 0.500" in said
    said = command("relevance", tmp_path / "b", "--out", tmp_path / "c", "--guideline", "toxicity", *endpoint)
    assert "6 of 6 features are relevant; evidence: 6 llm; by the guideline: 6 yes" in said
    found = rows_of(tmp_path / "c")
    assert {"m@127.0.0.1"} == {*found["explainer"]} == {*found["verifier"]} == {*found["judge"]}
    assert all(row["explanation"].startswith("name ") for row in found)
    assert len(server.requests) == len(set(prompts(server)))


def test_what_a_guideline_finds_is_ablated(
    few: Path, data: Path, pair: list[str], server: FaultyProxy, tmp_path: Path
) -> None:
    endpoint = ["--model", "m", "--endpoint", server.address]
    command("explain", few, "--out", tmp_path / "a")
    judged = ["relevance", tmp_path / "a", "--out", tmp_path / "b", "--guideline", "toxicity", *endpoint]
    command(*judged, "--effect", data, "--most", 2, *pair)
    found = rows_of(tmp_path / "b")
    assert {*found["fits"]} == {*found["relevant"]} == {"yes"}
    assert sum(rows is not None for rows in found["effect_rows"]) == 2


def test_a_server_that_goes_down_loses_nothing_that_was_answered(
    few: Path, server: FaultyProxy, tmp_path: Path
) -> None:
    arguments = ["explain", few, "--out", tmp_path, "--model", "m", "--endpoint", server.address, "--concurrency", 1]
    # Up for four answers, then down for a day.
    server.faults = [Fault(through=True)] * 4 + [Fault(503, {"Retry-After": "86400"})]
    with pytest.raises(GenerationError, match="HTTP 503"):
        command(*arguments)
    kept = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(kept) == 4
    assert "8 calls" in command(*arguments, "--dry-run")
    assert "6 of 6 features have a name; fits: 6 yes" in command(*arguments)
    assert len(server.requests) == 12 + 1
    assert (tmp_path / "journal.jsonl").read_text().splitlines()[:4] == kept


def test_a_prompt_that_a_server_refuses_is_recorded_and_the_rest_goes_on(
    few: Path, server: FaultyProxy, tmp_path: Path
) -> None:
    server.faults = [Fault(through=True), Fault(400, body=b'{"error": {"message": "filtered"}}')]
    said = command("explain", few, "--out", tmp_path, "--model", "m", "--endpoint", server.address, "--concurrency", 1)
    assert "5 of 6 features have a name; fits: 5 yes, 1 refused" in said
    assert len(server.requests) == 6 + 5


def test_a_plan_says_what_it_costs_and_a_limit_of_cost_stops_in_time(
    few: Path, server: FaultyProxy, tmp_path: Path
) -> None:
    priced = ["--model", "m", "--endpoint", server.address, "--price-in", 1, "--price-out", 10, "--concurrency", 1]
    arguments = ["explain", few, "--out", tmp_path, *priced]
    plan = command(*arguments, "--dry-run")
    found = re.search(r"m@127\.0\.0\.1: 12 calls .*?, which cost (0\.\d{4}) dollars at most", plan)
    assert found
    enough_for_six = float(found[1]) / 2 + 0.0005
    with pytest.raises(LimitReached, match=r"stopped after .* calls and .* for 0\.0.* dollars by max_cost"):
        command(*arguments, "--max-cost", enough_for_six)
    assert 6 <= len(server.requests) < 12
    assert "6 of 6 features have a name" in command(*arguments, "--max-cost", 1)
    assert len(server.requests) == 12


def test_a_limit_leaves_a_part_and_a_higher_one_goes_on(few: Path, server: FaultyProxy, tmp_path: Path) -> None:
    endpoint = ["--model", "m", "--endpoint", server.address]
    command("explain", few, "--out", tmp_path / "whole", *endpoint)
    asked = len(server.requests)
    explained = ["explain", few, "--out", tmp_path / "part", *endpoint]
    with pytest.raises(
        LimitReached, match=r"part holds a part: 4 of 6 features have a name; fits: none; stopped after 4 calls and "
    ):
        command(*explained, "--max-calls", 4)
    part = rows_of(tmp_path / "part")
    assert sum(map(bool, part["explanation"])) == 4
    assert {*part["fits"]} == {None}
    assert " 8 calls" in command(*explained, "--dry-run")
    with pytest.raises(LimitReached, match=r"6 of 6 features have a name; fits: 3 yes; stopped after 5 calls"):
        command(*explained, "--max-calls", 5)
    assert "6 of 6 features have a name; fits: 6 yes" in command(*explained)
    assert len(server.requests) == 2 * asked
    assert rows_of(tmp_path / "part").to_list() == rows_of(tmp_path / "whole").to_list()
    assert "finished run" in command(*explained, "--max-calls", 1)


@pytest.mark.parametrize(
    ("judged", "column"), [(["relevance", "--guideline", "toxicity"], "relevant"), (["score"], "detection")]
)
def test_whatever_asks_a_judge_leaves_a_part_where_it_is_stopped(
    few: Path, server: FaultyProxy, tmp_path: Path, judged: list[str], column: str
) -> None:
    endpoint = ["--model", "m", "--endpoint", server.address]
    command("explain", few, "--out", tmp_path / "named", *endpoint)
    name, *options = judged
    arguments = [name, tmp_path / "named", *options, *endpoint, "--out"]
    command(*arguments, tmp_path / "whole")
    server.requests.clear()
    with pytest.raises(LimitReached, match=r"holds a part: .*; stopped after 2 calls"):
        command(*arguments, tmp_path / "part", "--max-calls", 2)
    told = [value is not None for value in rows_of(tmp_path / "part")[column]]
    assert 0 < sum(told) <= 2
    command(*arguments, tmp_path / "part")
    assert rows_of(tmp_path / "part").to_list() == rows_of(tmp_path / "whole").to_list()
    assert len(server.requests) == len({*prompts(server)})


def test_a_judge_that_only_reasons_is_stopped_early_and_more_tokens_go_on(
    few: Path, server: FaultyProxy, tmp_path: Path
) -> None:
    def reasons(request: dict[str, Any]) -> tuple[int, bytes]:
        if request["max_tokens"] < 1000:
            return 200, odd({"content": "", "reasoning_content": "They"}, "length")
        return 200, completion("They do.\n</think>\n" + judge("\n".join(m["content"] for m in request["messages"])))

    server.reply = reasons
    arguments = ["explain", few, "--out", tmp_path, "--model", "m", "--endpoint", server.address]
    with pytest.raises(
        OptionError, match=r"name features: none of the first 6 answers .* answer_tokens=256: 6 reasoning"
    ):
        command(*arguments)
    assert len(server.requests) == 6
    assert "6 of 6 features have a name; fits: 6 yes" in command(*arguments, "--answer-tokens", 2000)
    assert len(server.requests) == 6 + 12


def test_a_killed_command_asks_nothing_twice(few: Path, server: FaultyProxy, tmp_path: Path) -> None:
    arguments = ["explain", few, "--out", tmp_path, "--model", "m", "--endpoint", server.address, "--concurrency", 2]
    run = [sys.executable, "-m", "fac_datasets", *map(str, arguments)]
    server.faults = [Fault(through=True, seconds=0.5)] * 12
    process = subprocess.Popen(run, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = tmp_path / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    answered = journal.read_bytes().count(b"\n")
    assert answered < 12
    server.faults.clear()
    time.sleep(0.6)
    before = len(server.requests)
    subprocess.run(run, cwd=REPOSITORY, check=True, capture_output=True)
    assert len(server.requests) - before == 12 - answered
    assert set(rows_of(tmp_path)["fits"]) == {"yes"}
