"""`fac-datasets synthesize`: samples, the table with how readily each feature fired, and what it all took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import load_dataset

from fac_datasets.errors import OptionError
from fac_datasets.rows.loading import load_rows
from tests.command_line import command
from tests.synthesis.cases import Case


@pytest.fixture(scope="module")
def given(tiny_backbone: str, tiny_sae: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments of the command, for two features of a table."""
    case, folder = Case(tiny_backbone, tiny_sae), tmp_path_factory.mktemp("given")
    case.table.to_parquet(folder / "table.parquet")
    case.seed_rows.to_json(folder / "seed.jsonl")
    (folder / "report.json").write_text(json.dumps(case.report.to_dict()))
    return [
        str(folder / "table.parquet"), str(folder / "report.json"), "--schema-of", str(folder / "seed.jsonl"),
        "--column", "text", "--backbone", tiny_backbone, "--sae", tiny_sae, "--max-features", "2", "--temperature", "1",
        "--max-new-tokens", "24",
    ]  # fmt: skip


def test_the_table_beside_the_samples_tells_how_readily_each_feature_fired(given: list[str], tmp_path: Path) -> None:
    printed = command("synthesize", *given, "--out", tmp_path / "out")
    table, before = load_rows(f"{tmp_path / 'out'}/feature_table"), load_rows(given[0])
    assert table["feature_id"] == before["feature_id"]
    tried = [row for row in table if row["tries"]]
    assert 0 < len(tried) <= 2
    assert all(0 <= row["sensitivity"] <= 1 for row in tried)
    assert load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")).column_names[:2] == [
        "text",
        "topic",
    ]
    assert "of prompts; " in printed
    assert "accepted, " in printed.splitlines()[-1]


def test_a_way_that_can_be_used_for_no_target_is_an_error(given: list[str], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'edited' can be used for no target: it changes what another way wrote"):
        command("synthesize", *given, "--methods", "edited", "--out", tmp_path / "out")
