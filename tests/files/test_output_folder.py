"""Output folders belong to one run, and what is no run's is never removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock

from fac_datasets.errors import DatasetError, FacDatasetsError, GenerationError, OutputError
from fac_datasets.files.output_folder import alone_in, claim

IDENTITY = {"command": "table", "version": "1", "rows": ["abc"], "options": [10]}


def test_another_runs_parts_are_removed_only_when_asked(tmp_path: Path) -> None:
    assert claim(tmp_path, "table.json", IDENTITY, parts=("data",), overwrite=False)
    assert not claim(tmp_path, "table.json", IDENTITY, parts=("data",), overwrite=False)
    (tmp_path / "data").mkdir()
    other = {**IDENTITY, "options": [20]}
    with pytest.raises(OutputError, match="--overwrite"):
        claim(tmp_path, "table.json", other, parts=("data",), overwrite=False)
    assert claim(tmp_path, "table.json", other, parts=("data",), overwrite=True)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", ['{"columns": 3, "version": 2}', "[1, 2]", "no JSON"])
def test_a_file_that_only_has_a_records_name_protects_its_folder(content: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(content)
    (tmp_path / "data").mkdir()
    with pytest.raises(OutputError, match="no record of fac-datasets"):
        claim(tmp_path, "table.json", IDENTITY, parts=("data",), overwrite=True)
    assert (tmp_path / "data").exists()


def test_a_record_of_an_older_version_is_one(tmp_path: Path) -> None:
    older = {name: IDENTITY[name] for name in ("command", "rows", "options")}
    (tmp_path / "table.json").write_text(json.dumps(older))
    assert claim(tmp_path, "table.json", IDENTITY, parts=("data",), overwrite=True)


def fail_in(folder: Path, error: FacDatasetsError, *, claimed: bool = True, answers: str = "") -> None:
    """A run that writes its answers, and fails."""
    with (
        pytest.raises(type(error)),
        alone_in(folder, "run.json", claimed=claimed, lock=".lock", parts=("log", "journal"), dear=("journal",)),
    ):
        (folder / "log").write_text("begun")
        (folder / "journal").mkdir()
        (folder / "journal" / "answers").write_text(answers)
        raise error


@pytest.fixture
def claimed(tmp_path: Path) -> Path:
    """A folder of a run that has just begun."""
    claim(tmp_path / "run", "run.json", IDENTITY, parts=("log", "journal"), overwrite=False)
    return tmp_path / "run"


def test_a_run_that_cannot_succeed_gives_up_its_folder(claimed: Path) -> None:
    fail_in(claimed, DatasetError("no rows"))
    assert not claimed.exists()


def test_other_peoples_files_stay_where_a_run_gives_up_its_folder(claimed: Path) -> None:
    (claimed / "mine").touch()
    fail_in(claimed, DatasetError("no rows"))
    assert [path.name for path in claimed.iterdir()] == ["mine"]


def test_answers_stay_whatever_fails(claimed: Path) -> None:
    fail_in(claimed, DatasetError("no rows"), answers="paid for")
    assert (claimed / "journal" / "answers").read_text() == "paid for"
    assert (claimed / "run.json").exists()


@pytest.mark.parametrize("error", [GenerationError("the server is gone"), OutputError("the disk is full")])
def test_all_stays_where_the_next_call_may_succeed(error: FacDatasetsError, claimed: Path) -> None:
    fail_in(claimed, error)
    assert (claimed / "log").exists()


def test_a_folder_that_was_the_runs_before_stays(claimed: Path) -> None:
    fail_in(claimed, DatasetError("no rows"), claimed=False)
    assert (claimed / "log").exists()


def test_a_second_process_is_told_to_wait(claimed: Path) -> None:
    with (
        FileLock(claimed / ".lock"),
        pytest.raises(OutputError, match="another process is at work"),
        alone_in(claimed, "run.json", claimed=False, lock=".lock", parts=(), dear=()),
    ):
        pass
