"""`fac-datasets extract`: parts that stay, whatever kills the process, and shards and engines that agree."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pytest

from fac_datasets import FeatureCoverage, FeatureExtractor
from fac_datasets.cli.main import app
from fac_datasets.errors import DatasetError, OptionError, OutputError, RowError
from fac_datasets.features.extraction_job import parse_shard, shard_coverage
from tests.comparing import assert_same_features, features_of
from tests.tiny import TEXTS

ROWS = [f"{number}. {TEXTS[number % len(TEXTS)]}" for number in range(50)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": row, "id": number}) + "\n" for number, row in enumerate(ROWS)))
    return path


@pytest.fixture
def options(tiny_backbone: str, tiny_sae: str) -> list[str]:
    return ["--backbone", tiny_backbone, "--sae", tiny_sae, "--part-rows", "8"]


def extract(*arguments: object) -> None:
    app(["extract", *map(str, arguments)], standalone_mode=False)


def contents(out: Path, folder: str = "data") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / folder).iterdir())}


def test_the_parts_are_a_dataset_with_feature_columns(
    data: Path, options: list[str], tiny_backbone: str, tiny_sae: str, tmp_path: Path
) -> None:
    extract(data, "--out", tmp_path / "out", *options)
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    expected = datasets.Dataset.from_dict({"text": ROWS, "id": list(range(len(ROWS)))}).map(
        FeatureExtractor(tiny_backbone, tiny_sae), batched=True
    )
    assert loaded.features == expected.features
    assert loaded["id"] == expected["id"]
    assert_same_features(features_of(loaded[:]), features_of(expected[:]))


def test_the_report_counts_rows_tokens_and_covered_features(data: Path, options: list[str], tmp_path: Path) -> None:
    extract(data, "--out", tmp_path / "out", *options)
    report = json.loads((tmp_path / "out" / "reports" / "00000-of-00001.json").read_text())
    state = FeatureCoverage.load(tmp_path / "out" / "coverage" / "00000-of-00001.safetensors")
    assert report["rows"] == state.n_rows == len(ROWS)
    assert report["tokens"] == state.n_tokens > len(ROWS)
    assert report["covered"] == len(state.covered) > 0
    assert report["threshold"] == "q90"
    assert report["bad_rows"] == []


def test_shards_write_the_same_parts_and_their_coverages_merge(data: Path, options: list[str], tmp_path: Path) -> None:
    extract(data, "--out", tmp_path / "whole", *options)
    for index in (2, 0, 1):
        with pytest.raises(DatasetError, match="no whole coverage"):
            shard_coverage(tmp_path / "shared")
        extract(data, "--out", tmp_path / "shared", "--shard", f"{index}/3", *options)
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")
    assert (
        shard_coverage(str(tmp_path / "shared")).to_bytes()
        == contents(tmp_path / "whole", "coverage")["00000-of-00001.safetensors"]
    )


@pytest.mark.slow
def test_two_actors_of_ray_write_the_same_parts(data: Path, options: list[str], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    extract(data, "--out", tmp_path / "local", *options)
    command = [sys.executable, "-m", "fac_datasets", "extract", str(data), "--out", str(tmp_path / "ray")]
    subprocess.run([*command, *options, "--engine", "ray", "--workers", "2"], check=True, timeout=300)
    local, by_ray = (
        datasets.Dataset.from_parquet([str(path) for path in sorted((tmp_path / engine / "data").iterdir())])
        for engine in ("local", "ray")
    )
    assert local.features == by_ray.features
    assert local["id"] == by_ray["id"]
    assert_same_features(features_of(by_ray[:]), features_of(local[:]))


@pytest.mark.slow
def test_killed_at_any_time_it_goes_on_and_ends_with_the_same_bytes(
    data: Path, options: list[str], tmp_path: Path
) -> None:
    extract(data, "--out", tmp_path / "whole", *options)
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "fac_datasets", "extract", str(data), "--out", str(out), *options]
    for parts_before_the_kill in (1, 3, 5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(list(out.glob("data/*.parquet"))) < parts_before_the_kill:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("data/*.parquet")}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    for folder in ("data", "coverage", "reports"):
        assert contents(out, folder).items() >= contents(tmp_path / "whole", folder).items()
    assert all((out / "data" / name).stat().st_mtime_ns == time_written for name, time_written in kept.items())


def test_a_finished_folder_only_prints_its_report(
    data: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(data, "--out", tmp_path / "out", *options)
    monkeypatch.setattr(FeatureExtractor, "_load", lambda _: pytest.fail("a model was loaded"))
    capsys.readouterr()
    extract(data, "--out", tmp_path / "out", *options)
    assert "7 of 7 parts are there" in capsys.readouterr().out


def test_a_folder_of_another_extraction_is_refused(data: Path, options: list[str], tmp_path: Path) -> None:
    extract(data, "--out", tmp_path / "out", *options)
    with pytest.raises(OutputError, match="with other options"):
        extract(data, "--out", tmp_path / "out", *options, "--threshold", "q75")
    extract(data, "--out", tmp_path / "other", *options, "--threshold", "q75")
    extract(data, "--out", tmp_path / "out", *options, "--threshold", "q75", "--overwrite")
    assert contents(tmp_path / "out") == contents(tmp_path / "other")
    with data.open("a") as stream:
        stream.write('{"text": "One more.", "id": 50}\n')
    with pytest.raises(OutputError, match="other data"):
        extract(data, "--out", tmp_path / "out", *options, "--threshold", "q75")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        extract(data, "--out", tmp_path / "full", *options)


def test_a_bad_row_stops_with_its_index_and_costs_an_entry_with_skip_bad(
    data: Path, options: list[str], tmp_path: Path
) -> None:
    lines = data.read_text().splitlines()
    lines[20] = json.dumps({"text": None, "id": 20})
    lines[33] = json.dumps({"text": "a" * 1_500_000, "id": 33})
    data.write_text("\n".join(lines))
    with pytest.raises(RowError, match="row 20 holds nothing"):
        extract(data, "--out", tmp_path / "strict", *options)
    assert len(contents(tmp_path / "strict")) == 2
    extract(data, "--out", tmp_path / "out", *options, "--skip-bad")
    report = json.loads((tmp_path / "out" / "reports" / "00000-of-00001.json").read_text())
    assert [entry["row"] for entry in report["bad_rows"]] == [20, 33]
    assert "1,500,000 characters" in report["bad_rows"][1]["problem"]
    assert report["rows"] == len(ROWS)


def test_options_of_the_extractor_are_options_of_the_command(
    options: list[str], tiny_backbone: str, tiny_sae: str, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": TEXTS[0] * 8}, {"role": "assistant", "content": TEXTS[1]}]
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps({"messages": turns}) + "\n")
    given = ["--roles", "user", "--roles", "tool", "--render", "chat", "--max-length", "64", "--truncate"]
    extract(chats, "--out", tmp_path / "out", *options, *given, "--batch-tokens", "512", "--dtype", "bfloat16")
    found = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    extractor = FeatureExtractor(
        tiny_backbone,
        tiny_sae,
        roles=["user", "tool"],
        render="chat",
        max_length=64,
        truncate=True,
        batch_tokens=512,
        dtype="bfloat16",
    )
    expected = datasets.Dataset.from_list([{"messages": turns}]).map(extractor, batched=True)
    assert_same_features(features_of(found[:]), features_of(expected[:]))
    assert found["feature_space"] == expected["feature_space"]
    assert set(found[0]["feature_messages"]) == {0}


def test_the_progress_bar_counts_the_rows(
    data: Path, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets.utils, "are_progress_bars_disabled", lambda: False)
    extract(data, "--out", tmp_path / "out", *options)
    assert f"{len(ROWS)}/{len(ROWS)} [" in capsys.readouterr().err


def test_several_files_are_extracted_as_one_dataset(options: list[str], tmp_path: Path) -> None:
    for name, texts in (("a", TEXTS[:2]), ("b", TEXTS[2:4])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    extract(tmp_path / "*.jsonl", "--out", tmp_path / "out", *options)
    found = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert found["text"] == TEXTS[:4]


@pytest.mark.parametrize("shard", ["3/3", "1", "-1/2", "a/b", "0/0"])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(OptionError, match="is not i/n"):
        parse_shard(shard)
