"""A table that a folder keeps is printed again only for the same features, wherever their columns came from."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from fac_datasets import FeatureExtractor
from fac_datasets.errors import OutputError
from tests.command_line import command
from tests.tiny import TEXTS


@pytest.fixture
def rows(tiny_backbone: str, tiny_sae: str) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS[:8]}).map(
        FeatureExtractor(tiny_backbone, tiny_sae, threshold=0), batched=True
    )


def with_stronger_features(rows: datasets.Dataset) -> datasets.Dataset:
    """The same rows in the same space, with activations of another extraction."""
    stronger = [[2 * value for value in row] for row in rows["feature_activations"]]
    kind = rows.features["feature_activations"]
    return (
        rows.remove_columns("feature_activations")
        .add_column("feature_activations", stronger)
        .cast_column("feature_activations", kind)
    )


@pytest.mark.slow
def test_a_table_of_other_activations_is_not_printed(rows: datasets.Dataset, tmp_path: Path) -> None:
    rows.to_parquet(tmp_path / "rows.parquet")
    command("table", tmp_path / "rows.parquet", "--out", tmp_path / "out")
    assert "holds this finished run" in command("table", tmp_path / "rows.parquet", "--out", tmp_path / "out")
    with_stronger_features(rows).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(OutputError, match="other data or options"):
        command("table", tmp_path / "other.parquet", "--out", tmp_path / "out")


@pytest.mark.slow
def test_names_of_a_table_of_another_space_are_not_printed(rows: datasets.Dataset, tmp_path: Path) -> None:
    rows.to_parquet(tmp_path / "rows.parquet")
    command("table", tmp_path / "rows.parquet", "--out", tmp_path / "table")
    table = datasets.load_dataset(str(tmp_path / "table"), split="train", cache_dir=str(tmp_path / "cache"))
    table.to_parquet(tmp_path / "table.parquet")
    other = [space.replace("/layer2/", "/layer1/") for space in table["feature_space"]]
    table.remove_columns("feature_space").add_column("feature_space", other).to_parquet(tmp_path / "other.parquet")
    command("explain", tmp_path / "table.parquet", "--out", tmp_path / "names")
    with pytest.raises(OutputError, match="other data or options"):
        command("explain", tmp_path / "other.parquet", "--out", tmp_path / "names")
