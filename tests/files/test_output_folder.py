"""Output folders belong to one run, and what is no run's is never removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fac_datasets.errors import OutputError
from fac_datasets.files.output_folder import claim

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
