"""`fac-datasets select`: rows, curve and what was left out, in folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import load_dataset

from fac_datasets import FeatureCoverage, select_covering_subset
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError, OutputError, RowError
from tests.command_line import command
from tests.coverage.cases import D_SAE, space, table
from tests.tiny import TEXTS

DATASET = (
    table([{1: 3.0}, {1: 3.0, 2: 3.0, 3: 3.0}, {3: 3.0, 4: 3.0}, {5: 3.0}, {}])
    .add_column("text", ["one", "two", "three", "four", "five"])
    .add_column("label", ["a", "a", "b", "b", "b"])
    .add_column("score", [1.0, 0.5, 1.0, 0.0, None])
)
ANCHOR = table([{1: 3.0, 2: 3.0}, {4: 3.0, 9: 3.0}]).add_column("text", ["six", "seven"])
PLAIN = ["--threshold", "1", "--backbone", "no/such/backbone", "--sae", "no/such/sae"]


@pytest.fixture
def data(tmp_path: Path) -> str:
    DATASET.to_parquet(tmp_path / "data.parquet")
    return str(tmp_path / "data.parquet")


@pytest.fixture
def anchor(tmp_path: Path) -> str:
    ANCHOR.to_parquet(tmp_path / "anchor.parquet")
    return str(tmp_path / "anchor.parquet")


def rows(folder: Path) -> list[str]:
    return list(load_dataset(str(folder), split="train")["text"])


def test_it_writes_the_rows_the_selection_and_its_curve(data: str, anchor: str, tmp_path: Path) -> None:
    out, left = tmp_path / "out", tmp_path / "left"
    printed = command("select", data, "--anchor", anchor, "--out", out, "--left-out", left, *PLAIN)
    assert printed == (
        f"{out}: 2 of 5 rows cover 3 of 4 features at 1, coverage 0.750: no other row adds anything\nmissing: 9\n"
    )
    assert rows(out) == ["two", "three"]
    assert rows(left) == ["one", "four", "five"]
    found = json.loads((out / "selection.json").read_text())
    expected = select_covering_subset(DATASET, anchor=ANCHOR, threshold=1).to_dict()
    assert {**found, **expected} == found
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_run_again_it_prints_what_was_found_and_other_options_need_overwrite(data: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = command("select", data, "--out", out, *PLAIN)
    assert command("select", data, "--out", out, *PLAIN) == f"{out} holds this finished run\n{first}"
    with pytest.raises(OutputError, match="other data or options"):
        command("select", data, "--out", out, "--size", "1", *PLAIN)
    command("select", data, "--out", out, "--size", "1", "--overwrite", *PLAIN)
    assert rows(out) == ["two"]


def test_a_killed_run_is_made_whole(data: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = command("select", data, "--out", out, *PLAIN)
    (out / "selection.json").unlink()
    assert command("select", data, "--out", out, *PLAIN) == first


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--size", "1"], ["two"]),
        (["--tokens", "2"], ["three"]),
        (["--target", "0.5"], ["two"]),
        (["--per-feature", "2"], ["two", "three", "one", "four"]),
        (["--feature-weights", "anchor_rows", "--size", "1"], ["two"]),
        (["--per", "label"], ["two", "three", "four"]),
    ],
)
def test_options_are_those_of_the_function(data: str, tmp_path: Path, options: list[str], texts: list[str]) -> None:
    command("select", data, "--out", tmp_path / "out", *options, *PLAIN)
    assert rows(tmp_path / "out") == texts


@pytest.mark.parametrize("form", ["dataset", "state"])
def test_what_is_given_is_a_dataset_or_the_state_of_an_extraction(data: str, tmp_path: Path, form: str) -> None:
    given = table([{1: 3.0, 2: 3.0, 3: 3.0}]).add_column("text", ["eight"])
    path = tmp_path / ("given.parquet" if form == "dataset" else "given.safetensors")
    if form == "dataset":
        given.to_parquet(path)
    else:
        FeatureCoverage(D_SAE, space(), 1.0).update(given.with_format("arrow")[:]).save(path)
    command("select", data, "--out", tmp_path / "out", "--given", path, *PLAIN)
    assert rows(tmp_path / "out") == ["three", "four"]


def test_columns_of_a_prefix_are_kept_as_they_are(data: str, anchor: str, tmp_path: Path) -> None:
    prefixed = DATASET.rename_columns({n: f"my_{n}" for n in DATASET.column_names if n.startswith("feature_")})
    prefixed.to_parquet(tmp_path / "prefixed.parquet")
    options = ["--anchor", anchor, "--prefix", "my_", "--anchor-prefix", "", "--out", tmp_path / "out"]
    command("select", tmp_path / "prefixed.parquet", *options, *PLAIN)
    found = load_dataset(str(tmp_path / "out"), split="train")
    assert found["text"][:] == ["two", "three"]
    assert found.column_names == prefixed.column_names


def test_columns_are_extracted_where_there_are_none(tiny_backbone: str, tiny_sae: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    options = ["--backbone", tiny_backbone, "--sae", tiny_sae, "--size", "3", "--out", tmp_path / "out"]
    printed = command("select", path, *options)
    assert "3 of" in printed
    assert "as many rows as asked for" in printed
    assert "feature_ids" in load_dataset(str(tmp_path / "out"), split="train").column_names


REFUSED: dict[str, tuple[list[str], type[Exception], str]] = {
    "target above 1": (["--target", "1.5"], OptionError, "target=1.5"),
    "unknown weights": (["--feature-weights", "rare"], OptionError, "'rare' is neither"),
    "no such quality": (["--quality", "stars"], ColumnError, "no column 'stars'"),
    "no such group": (["--per", "topic"], ColumnError, "no column 'topic'"),
    "a quality of null": (["--quality", "score"], RowError, "row 4 has the quality None in score"),
    "given is missing": (["--given", "no-such.parquet"], DatasetError, "no-such.parquet"),
    "a state is missing": (["--given", "no-such.safetensors"], OptionError, "--given no-such.safetensors cannot be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_nothing_behind(data: str, tmp_path: Path, case: str) -> None:
    options, error, message = REFUSED[case]
    out, left = tmp_path / "out", tmp_path / "left"
    with pytest.raises(error, match=message):
        command("select", data, "--out", out, "--left-out", left, *options, *PLAIN)
    assert not out.exists()
    assert not left.exists()


def test_another_space_is_refused(data: str, tmp_path: Path) -> None:
    other = table([{1: 3.0}], space(layer=4)).add_column("text", ["nine"])
    other.to_parquet(tmp_path / "other.parquet")
    for role in ("--anchor", "--given"):
        with pytest.raises(FeatureSpaceMismatch):
            command("select", data, "--out", tmp_path / "out", role, tmp_path / "other.parquet", *PLAIN)
    assert not (tmp_path / "out").exists()


def test_what_is_left_out_has_a_folder_of_its_own(data: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is the folder of --out"):
        command("select", data, "--out", tmp_path / "out", "--left-out", tmp_path / "out", *PLAIN)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        command("select", data, "--out", tmp_path / "out", "--left-out", tmp_path / "mine", *PLAIN)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "mine" / "notes.txt").exists()
