"""A report that a folder keeps is printed again only where everything that decides it is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fac_datasets.errors import OutputError
from tests.command_line import command
from tests.tiny import TEXTS


@pytest.fixture
def evaluate(tiny_backbone: str, tiny_sae: str, tmp_path: Path) -> list[str]:
    rows = [{"question": text, "answer": text[::-1], "kind": str(len(text) % 2)} for text in TEXTS[:8]]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pair = ["--backbone", tiny_backbone, "--sae", tiny_sae]
    return ["sae", "evaluate", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "out"), *pair]


def test_a_report_is_printed_again_for_the_same_columns(evaluate: list[str]) -> None:
    asked = [*evaluate, "--column", "question", "--kind-column", "kind"]
    assert command(*asked) == command(*asked)


@pytest.mark.parametrize(
    ("options", "differing"),
    [
        (["--column", "answer"], "columns"),
        (["--column", "question", "--kind-column", "kind"], "kind_column"),
        (["--column", "question", "--dtype", "bfloat16"], "dtype"),
    ],
)
def test_a_report_of_something_else_is_not_printed(options: list[str], differing: str, evaluate: list[str]) -> None:
    command(*evaluate, "--column", "question")
    with pytest.raises(OutputError, match=f"of other {differing}; choose another --out"):
        command(*evaluate, *options)
    command(*evaluate, *options, "--overwrite")
    command(*evaluate, *options)


def test_a_report_of_an_older_version_is_not_printed(evaluate: list[str], tmp_path: Path) -> None:
    command(*evaluate, "--column", "question")
    path = tmp_path / "out" / "report.json"
    report = json.loads(path.read_text())
    del report["columns"], report["kind_column"]
    path.write_text(json.dumps(report))
    with pytest.raises(OutputError, match="columns, kind_column"):
        command(*evaluate, "--column", "question")


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_report_of_something_else_than_an_sae_is_kept(
    overwrite: list[str], evaluate: list[str], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text('{"fac": 0.5}')
    with pytest.raises(OutputError, match="no report of an SAE"):
        command(*evaluate, "--column", "question", *overwrite)
    assert (tmp_path / "out" / "report.json").read_text() == '{"fac": 0.5}'
