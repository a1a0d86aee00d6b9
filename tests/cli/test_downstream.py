"""`fac-datasets downstream`: a task trained and measured by one command, which goes on and tells its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset

from fac_datasets.cli import app
from fac_datasets.errors import OutputError
from tests.downstream.rows import labelled, pairs


def written(rows: Dataset, path: Path) -> str:
    rows.to_json(path)
    return str(path)


def test_toxicity_says_its_figures_and_again_when_it_is_finished(
    tiny_backbone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = written(labelled(), tmp_path / "train.jsonl"), written(labelled(20), tmp_path / "test.jsonl")
    out = tmp_path / "out"
    command = ["downstream", "toxicity", "--train", train, "--test", test, "--out", str(out)]
    command += ["--backbone", tiny_backbone, "--seeds", "1", "--seeds", "2"]
    app(command, standalone_mode=False)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("seed 1: auprc ")
    assert said[-1].startswith(f"{out}: auprc ")
    assert said[-1].endswith("over 2 seeds")
    app(command, standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == [f"{out} holds this finished run", said[-1]]
    assert json.loads((out / "report.json").read_text())["task"] == "toxicity"
    with pytest.raises(OutputError, match="--overwrite"):
        app([*command, "--max-rows", "30"], standalone_mode=False)
    # Rows may be harmful.
    assert not [text for text in labelled()["text"] if any(text in line for line in said)]


def test_what_is_trained_on_has_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["downstream", "reward", "--test", "test.jsonl", "--out", str(tmp_path / "out")])
    assert "--train" in capsys.readouterr().err


def test_reward_says_its_subsets_and_what_was_left_out(
    tiny_backbone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    equal = [{**pairs(1)[0], "rejected": pairs(1)[0]["chosen"]}]
    train = written(Dataset.from_list([*pairs(), *equal]), tmp_path / "train.jsonl")
    test = written(pairs(12), tmp_path / "test.jsonl")
    command = ["downstream", "reward", "--train", train, "--test", test, "--out", str(tmp_path / "out")]
    app([*command, "--backbone", tiny_backbone, "--seeds", "42"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "accuracy/safety " in said
    assert "left out of train: 1 equal sides" in said
