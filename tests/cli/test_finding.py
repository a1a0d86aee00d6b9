"""`fac-datasets find`: rows by id, by words and by example, of texts and of columns that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from fac_datasets import FeatureExtractor
from fac_datasets.cli.finding import MOST
from fac_datasets.errors import FeatureSpaceMismatch, OptionError
from tests.command_line import command
from tests.tiny import TEXTS


@pytest.fixture
def models(tiny_backbone: str, tiny_sae: str) -> list[str]:
    return ["--backbone", tiny_backbone, "--sae", tiny_sae]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


@pytest.fixture
def extracted(data: Path, tiny_extractor: FeatureExtractor) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS}).map(tiny_extractor, batched=True)


@pytest.fixture
def names(extracted: datasets.Dataset, tmp_path: Path) -> tuple[Path, int, int]:
    """A table that names two features of the first row, and these features."""
    first, second = extracted[0]["feature_ids"][:2]
    table = {
        "feature_id": [first, second],
        "feature_space": [extracted[0]["feature_space"]] * 2,
        "explanation": ["hot tea", "cold tea"],
    }
    datasets.Dataset.from_dict(table).to_parquet(tmp_path / "names.parquet")
    return tmp_path / "names.parquet", first, second


def test_rows_are_found_by_id_and_printed_with_the_peak_marked(
    models: list[str], data: Path, extracted: datasets.Dataset, tmp_path: Path
) -> None:
    feature = extracted[0]["feature_ids"][0]
    fires = sum(feature in ids for ids in extracted["feature_ids"])
    printed = command("find", data, feature, 95_000, *models, "--top", 2, "--json", tmp_path / "found.json")
    lines = printed.splitlines()
    assert f"{feature}: fires in {fires} rows" in lines
    assert "95000: fires in no row" in lines
    (start,) = (number for number, line in enumerate(lines) if line.startswith(f"{feature}:"))
    report = json.loads((tmp_path / "found.json").read_text())
    assert report["feature_space"] == extracted[0]["feature_space"]
    assert [row["feature_id"] for row in report["found"]] == [feature, feature, 95_000]
    for line, row in zip(lines[start + 1 :], report["found"][:2], strict=False):
        assert line.startswith(f"  row {row['row']}, {row['activation']:.2f}: ")
        assert line.count("**") == 2


def test_rows_are_found_by_words_of_names(
    models: list[str], data: Path, names: tuple[Path, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, first, second = names
    printed = command("find", data, "tea", *models, "--names", table, "--top", 1)
    assert f"{first} (hot tea): fires in" in printed
    assert f"{second} (cold tea): fires in" in printed
    assert f"{second} (" not in command("find", data, "Tea", "HOT", *models, "--names", table, "--top", 1)
    monkeypatch.setattr(FeatureExtractor, "_load", lambda _: pytest.fail("a model was loaded"))
    with pytest.raises(OptionError, match=r"the word 'hut'; near are \d+ \(hot tea\)"):
        command("find", data, "hut", *models, "--names", table)


def test_rows_are_found_by_example(models: list[str], data: Path) -> None:
    printed = command("find", data, "--like", TEXTS[3], *models, "--top", 1)
    assert 0 < printed.count(": fires in") <= 10
    assert f"row {TEXTS.index(TEXTS[3])}, " in printed


def test_an_example_is_read_as_the_columns_that_are_there(
    models: list[str], tiny_backbone: str, tiny_sae: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"threshold": 0, "render": "raw", "activation": "relu", "max_length": 64}
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, **options, truncate=True)
    rows = datasets.Dataset.from_dict({"text": TEXTS}).map(extractor, batched=True)
    rows.to_parquet(tmp_path / "rows.parquet")
    assert ": fires in" in command("find", tmp_path / "rows.parquet", "--like", TEXTS[0], *models)
    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0, escape_special=True)
    rows.select_columns("text").map(extractor, batched=True).to_parquet(tmp_path / "escaped.parquet")
    with pytest.raises(FeatureSpaceMismatch):
        command("find", tmp_path / "escaped.parquet", "--like", TEXTS[0], *models)


def test_columns_that_are_there_need_no_model(extracted: datasets.Dataset, tmp_path: Path) -> None:
    extracted.to_parquet(tmp_path / "rows.parquet")
    nowhere = ["--backbone", "no/such/backbone", "--sae", "no/such/sae"]
    feature = extracted[0]["feature_ids"][0]
    assert f"{feature}: fires in" in command("find", tmp_path / "rows.parquet", feature, *nowhere)


def test_of_many_features_the_first_are_shown_and_the_others_named(extracted: datasets.Dataset, tmp_path: Path) -> None:
    extracted.to_parquet(tmp_path / "rows.parquet")
    features = sorted({feature for ids in extracted["feature_ids"] for feature in ids})[: MOST + 2]
    printed = command("find", tmp_path / "rows.parquet", *features, "--top", 1)
    assert printed.count(": fires in") == MOST
    assert f"and 2 features more, whose rows --json keeps: {features[-2]}, {features[-1]}" in printed


def test_features_are_named_in_one_way(models: list[str], data: Path) -> None:
    for arguments in ([], [3, "--like", "tea"]):
        with pytest.raises(OptionError, match="one of them"):
            command("find", data, *arguments, *models)
    with pytest.raises(OptionError, match="too large"):
        command("find", data, 2**31, *models)
