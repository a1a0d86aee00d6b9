"""`fac-datasets coverage`: measures side by side, tables, and columns that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fac_datasets import FeatureExtractor
from fac_datasets.cli.main import app
from fac_datasets.coverage.interval import ONE_ROW
from fac_datasets.errors import (
    FeatureSpaceMismatch,
)
from tests.command_line import command
from tests.coverage.cases import judged, space, table
from tests.tiny import TEXTS


def test_the_command_prints_and_saves_the_numbers_side_by_side(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, texts in (("data", TEXTS[:4]), ("anchor", TEXTS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    files = [str(tmp_path / f"{name}.jsonl") for name in ("data", "anchor")]
    models = ["--backbone", tiny_backbone, "--sae", tiny_sae]
    app(["coverage", *files, *models, "--all-metrics", "--json", str(tmp_path / "report.json")], standalone_mode=False)
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert printed.startswith(f"FAC {report['fac']:.3f} [")
    assert "| measure | dataset | anchor |" in printed
    assert report["measures"]["dataset"]["n_rows"] == 4
    assert f"| `fac` | {report['fac']:.4f} |  |" in printed
    assert f"| `distinct_2` | {report['measures']['dataset']['distinct_2']:.4f} |" in printed


def test_columns_of_an_earlier_extraction_are_used(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    models = ["--backbone", tiny_backbone, "--sae", tiny_sae]
    app(["extract", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "features"), *models], standalone_mode=False)
    capsys.readouterr()
    both = [str(tmp_path / "features")] * 2
    app(["coverage", *both, "--backbone", "no/such/backbone", "--sae", "no/such/sae"], standalone_mode=False)
    assert capsys.readouterr().out.startswith("FAC 1.000 [")


@pytest.mark.embedded
def test_the_command_compares_a_table_with_the_columns_that_are_there(tmp_path: Path) -> None:
    # Nothing is extracted, so what the command line could extract does not matter.
    for name, rows in (("seed", table([{1: 3.0}])), ("anchor", table([{1: 3.0, 2: 3.0}]))):
        rows.add_column("text", ["a"] * len(rows)).to_parquet(tmp_path / f"{name}.parquet")
    measure = ["coverage", tmp_path / "seed.parquet", tmp_path / "anchor.parquet", "--threshold", 1]
    judged(space(), 1, 2).to_parquet(tmp_path / "own.parquet")
    assert "covers 1 of the 2 features" in command(*measure, "--features", tmp_path / "own.parquet")
    judged(str(FeatureExtractor().feature_space), 1, 2).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(FeatureSpaceMismatch):
        command(*measure, "--features", tmp_path / "other.parquet")


def test_a_dataset_of_one_row_is_printed_with_the_reason_for_no_interval(
    tiny_backbone: str, tiny_sae: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, texts in (("data", TEXTS[:1]), ("anchor", TEXTS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    files = [str(tmp_path / f"{name}.jsonl") for name in ("data", "anchor")]
    models = ["--backbone", tiny_backbone, "--sae", tiny_sae]
    app(["coverage", *files, *models, "--json", str(tmp_path / "report.json")], standalone_mode=False)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["low"], report["high"], report["no_interval"]) == (None, None, ONE_ROW)
    assert f"FAC {report['fac']:.3f} (no interval: {ONE_ROW}): data.jsonl covers" in capsys.readouterr().out
