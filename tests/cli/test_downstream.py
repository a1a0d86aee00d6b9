"""`fac-datasets downstream`: a task trained and measured by one command, which goes on and tells its report."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from typer.core import TyperGroup
from typer.main import get_command

from fac_datasets import downstream
from fac_datasets.cli import app
from fac_datasets.cli.downstream import app as commands
from fac_datasets.downstream.steering import MULTIPLIERS
from fac_datasets.downstream.trials import SEEDS
from fac_datasets.errors import DatasetError, OutputError
from fac_datasets.rows import loading
from tests.downstream.rows import labelled, pairs
from tests.servers.chat_server import FaultyProxy, completion
from tests.servers.chat_server import odd_server as odd_server


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


TASKS: dict[str, Callable[..., Any]] = {
    "toxicity": downstream.toxicity_detection,
    "reward": downstream.reward_modelling,
    "instructions": downstream.instruction_following,
    "steering": downstream.behaviour_steering,
}


def defaults_of(task: Callable[..., Any]) -> dict[str, Any]:
    return {name: each.default for name, each in inspect.signature(task).parameters.items()}


@pytest.mark.parametrize("command", TASKS)
def test_what_is_not_given_is_left_to_the_task(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: dict[str, Any] = {}

    def task(**options: Any) -> None:
        reached.update(options)
        raise DatasetError("called")

    monkeypatch.setattr(downstream, TASKS[command].__name__, task)
    files = [written(labelled(), tmp_path / name) for name in ("train.jsonl", "test.jsonl")]
    with pytest.raises(DatasetError, match="called"):
        app(
            ["downstream", command, "--train", files[0], "--test", files[1], "--out", str(tmp_path / "out")],
            standalone_mode=False,
        )
    defaults = defaults_of(TASKS[command])
    of_the_command = {"train", "test", "out", "known", "limits"}
    assert {name: defaults[name] for name in reached.keys() - of_the_command} == {
        name: reached[name] for name in reached.keys() - of_the_command
    }


@pytest.mark.parametrize("command", TASKS)
def test_help_says_the_defaults_of_the_task(command: str) -> None:
    in_words = {SEEDS: "42, 43 and 44", MULTIPLIERS: "-2 to 2"}
    group = get_command(commands)
    assert isinstance(group, TyperGroup)
    helps = {str(each.name): getattr(each, "help", "") for each in group.commands[command].params}
    defaults = {name: value for name, value in defaults_of(TASKS[command]).items() if name in helps and value}
    del defaults["train"], defaults["out"]
    assert {"seeds", "backbone"} < defaults.keys()
    assert f"{defaults.pop('max_length')} of {'reward' if command == 'reward' else 'others'}" in helps["max_length"]
    for name, value in defaults.items():
        if value is not inspect.Parameter.empty:
            assert helps[name].endswith(f"default: {in_words.get(value, value)}.")


def test_what_is_trained_on_has_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["downstream", "reward", "--test", "test.jsonl", "--out", str(tmp_path / "out")])
    assert "--train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("toxicity", "--train"),
        ("toxicity", "--test"),
        ("toxicity", "--validation"),
        ("reward", "--train"),
        ("reward", "--test"),
        ("instructions", "--train"),
        ("instructions", "--test"),
        ("instructions", "--known"),
        ("steering", "--train"),
        ("steering", "--test"),
    ],
)
def test_a_file_that_is_missing_is_named_before_any_is_read(
    command: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_rows", lambda *_: pytest.fail("rows were read"))
    there = written(labelled(), tmp_path / "there.jsonl")
    files = {"--train": there, "--test": there, missing: str(tmp_path / "gone.jsonl")}
    arguments = [word for pair in files.items() for word in pair]
    with pytest.raises(DatasetError, match=r"gone\.jsonl"):
        app(["downstream", command, *arguments, "--out", str(tmp_path / "out")], standalone_mode=False)
    assert not (tmp_path / "out").exists()


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


def instructions(number: int) -> Dataset:
    rows = [{"instruction": f"Who wrote book {n}?", "output": f"The cat wrote {n}."} for n in range(number)]
    return Dataset.from_list(rows)


@pytest.mark.slow
def test_instructions_says_that_a_judge_which_always_says_a_is_uninformative(
    tiny_backbone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], odd_server: FaultyProxy
) -> None:
    odd_server.reply = lambda _request: (200, completion('{"better": "A"}'))
    known = Dataset.from_dict({"instruction": ["Why?"] * 6, "good": [*"abcdef"], "bad": ["z"] * 6})
    command = ["downstream", "instructions", "--train", written(instructions(10), tmp_path / "train.jsonl")]
    command += ["--test", written(instructions(3), tmp_path / "test.jsonl"), "--out", str(tmp_path / "out")]
    command += ["--known", written(known, tmp_path / "known.jsonl"), "--strong", "good", "--weak", "bad"]
    command += ["--backbone", tiny_backbone, "--seeds", "42", "--answers", "2", "--max-new-tokens", "4"]
    judge = ["--endpoint", odd_server.address, "--price-in", "1000", "--price-out", "1000"]
    app([*command, *judge, "--dry-run"], standalone_mode=False)
    planned = capsys.readouterr().out
    assert re.search(
        r": 16 calls .* 512 tokens of answers, which cost .* dollars at most; .* at most 48 calls", planned
    )
    assert not (tmp_path / "out").exists()
    app([*command, *judge], standalone_mode=False)
    said = capsys.readouterr().out.splitlines()
    warned, trained = (next(i for i, line in enumerate(said) if words in line) for words in ("will be", "seed 42: "))
    assert warned < trained
    assert "response_loss " in said[-2]
    assert said[-1].startswith("win rate: uninformative, since both orders agree in 0 of 6 known pairs")
    assert len(odd_server.requests) == 16
    app([*command, *judge, "--dry-run"], standalone_mode=False)
    assert ": 0 calls " in capsys.readouterr().out


def test_steering_says_its_control_rate_and_what_was_left_out(
    tiny_backbone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "question": f"Do you like {n} cups?\n (A) Yes\n (B) No" if n else "Do you like tea?",
            "answer_matching_behavior": "(A)",
            "answer_not_matching_behavior": "(B)",
        }
        for n in range(11)
    ]
    command = ["downstream", "steering", "--train", written(Dataset.from_list(rows), tmp_path / "train.jsonl")]
    command += ["--out", str(tmp_path / "out"), "--backbone", tiny_backbone, "--layers", "2", "--seeds", "42"]
    app(command, standalone_mode=False)
    said = capsys.readouterr().out.splitlines()
    assert "steering_control_rate " in said[-2]
    assert "layer2/" not in said[-2]
    assert said[-1] == "left out of train: 1 no option letters in the question"
