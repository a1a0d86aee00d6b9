"""`fac-datasets compare`: two datasets, pairs and many, in words, as a folder and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pytest

from fac_datasets import FeatureExtractor, coverage
from fac_datasets.errors import ColumnError, DatasetError, FeatureSpaceMismatch, OptionError, OutputError
from tests.command_line import command

pytestmark = pytest.mark.slow

WORDS = ["tea", "Madrid", "42", "percent", "dogs", "def", "the", "of", "quiet"]


@pytest.fixture(scope="module")
def pair(tiny_backbone: str, tiny_sae: str) -> list[str]:
    return ["--backbone", tiny_backbone, "--sae", tiny_sae]


def texts(ending: str, n: int = 40) -> list[str]:
    rng = np.random.default_rng(len(ending))
    return [" ".join(rng.choice(WORDS, size=8)) + ending for _ in range(n)]


def write(path: Path, rows: dict[str, list[str]]) -> Path:
    datasets.Dataset.from_dict(rows).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    coffee, rain = texts(" naïve coffee"), texts(" grey <b>rain</b>")
    return {
        "coffee": write(folder / "coffee.parquet", {"text": coffee}),
        "rain": write(folder / "rain.parquet", {"text": rain}),
        "pairs": write(folder / "pairs.parquet", {"prompt": ["Say."] * 40, "chosen": coffee, "rejected": rain}),
    }


def rows_of(out: Path) -> datasets.Dataset:
    return datasets.load_dataset(str(out), split="train")


@pytest.fixture(scope="module")
def compared(files: dict[str, Path], pair: list[str]) -> tuple[Path, str]:
    out = files["coffee"].parent / "compared"
    return out, command("compare", files["coffee"], files["rain"], *pair, "--out", out)


def test_the_folder_holds_table_picture_and_report(compared: tuple[Path, str]) -> None:
    out, said = compared
    found = rows_of(out)
    report = json.loads((out / "report.json").read_text())
    assert report["n_features"] == len(found)
    assert report["a"] == {"name": "coffee.parquet", "rows": 40, "more": found["more_in"].count("a")}
    assert report["a"]["more"] > 0
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert said.startswith(f"{len(found)} features in 40 rows of coffee.parquet and 40 of rain.parquet: ")
    assert "more in coffee.parquet:\n  " in said


def test_a_finished_run_is_printed_again_and_another_is_refused(
    compared: tuple[Path, str], files: dict[str, Path], pair: list[str], tmp_path: Path
) -> None:
    out, said = compared
    both = [files["coffee"], files["rain"], *pair, "--out", out]
    again = command("compare", *both, "--html", tmp_path / "page.html")
    assert again == f"{out} holds this finished run\n{said}"
    page = (tmp_path / "page.html").read_text()
    assert "<mark>" in page
    assert "&lt;b&gt;" in page
    assert "<b>rain" not in page
    with pytest.raises(OutputError, match="--overwrite"):
        command("compare", *both, "--alpha", 0.01)


def test_without_a_folder_nothing_is_written(
    compared: tuple[Path, str], files: dict[str, Path], pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("compare", files["coffee"], files["rain"], *pair) == compared[1]
    assert list(tmp_path.iterdir()) == []


def test_columns_of_an_earlier_extraction_are_used(
    compared: tuple[Path, str], files: dict[str, Path], pair: list[str], tmp_path: Path
) -> None:
    extracted = []
    for name in ("coffee", "rain"):
        rows = datasets.Dataset.from_parquet(str(files[name])).map(
            FeatureExtractor(pair[1], pair[3], threshold=0), batched=True
        )
        rows.to_parquet(tmp_path / f"{name}.parquet")
        extracted.append(tmp_path / f"{name}.parquet")
    assert command("compare", *extracted, "--backbone", "no/such", "--sae", "no/such") == compared[1]


def test_the_two_sides_of_preferences_are_compared_within_pairs(
    files: dict[str, Path], pair: list[str], tmp_path: Path
) -> None:
    said = command("compare", files["pairs"], "--paired", *pair, "--out", tmp_path, "--html", tmp_path / "page.html")
    assert " features in 40 pairs of chosen and rejected: " in said
    found = rows_of(tmp_path)
    assert {"activation", "split_half", "style", "style_r"} <= {*found.column_names}
    assert found["more_in"].count("a") > 0
    turned = command("compare", files["pairs"], "--paired", *pair, "--column", "rejected", "--other-column", "chosen")
    assert " features in 40 pairs of rejected and chosen: " in turned


def test_the_rows_of_two_datasets_are_compared_within_pairs(files: dict[str, Path], pair: list[str]) -> None:
    both = [files["coffee"], files["rain"]]
    assert "40 pairs of coffee.parquet and rain.parquet" in command("compare", *both, "--paired", *pair)


def test_sides_of_different_columns_are_compared(files: dict[str, Path], pair: list[str]) -> None:
    said = command("compare", files["pairs"], files["rain"], *pair, "--column", "chosen", "--other-column", "text")
    assert "40 rows of pairs.parquet and 40 of rain.parquet" in said


def test_names_are_those_of_a_table(
    compared: tuple[Path, str], files: dict[str, Path], pair: list[str], tmp_path: Path
) -> None:
    first = rows_of(compared[0])[0]
    named = {name: [first[name]] for name in ("feature_id", "feature_space")}
    datasets.Dataset.from_dict({**named, "explanation": ["hot drinks"]}).to_parquet(tmp_path / "names.parquet")
    said = command("compare", files["coffee"], files["rain"], *pair, "--names", tmp_path / "names.parquet")
    assert f"{first['feature_id']} (hot drinks): " in said


def test_a_matrix_of_datasets_is_that_of_their_coverage(
    files: dict[str, Path], pair: list[str], tmp_path: Path
) -> None:
    given = [files["coffee"], files["rain"], files["coffee"]]
    said = command("compare", "--matrix", *given, *pair, "--out", tmp_path)
    assert said.startswith("| features of | number | in coffee.parquet | in rain.parquet | in coffee.parquet (2) |\n")
    extractor = FeatureExtractor(pair[1], pair[3])
    coffee, rain = (
        datasets.Dataset.from_parquet(str(files[name])).map(extractor, batched=True) for name in ("coffee", "rain")
    )
    found = {(row["features_of"], row["are_in"]): row["share"] for row in rows_of(tmp_path).to_list()}
    assert found["coffee.parquet", "rain.parquet"] == coverage(rain, coffee).fac
    assert found["rain.parquet", "coffee.parquet (2)"] == coverage(coffee, rain).fac
    assert found["coffee.parquet", "coffee.parquet (2)"] == 1
    assert json.loads((tmp_path / "report.json").read_text())["shares"][0][1] == coverage(rain, coffee).fac
    assert command("compare", "--matrix", *given, *pair, "--out", tmp_path).endswith(said)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["coffee"], r"takes two datasets, and not 1; --paired takes one"),
        (["coffee", "rain", "rain"], "takes two datasets, and not 3"),
        (["coffee", "rain", "rain", "--paired"], "--paired takes one dataset"),
        (["coffee", "--matrix"], "at least two datasets"),
        (["coffee", "rain", "--matrix", "--paired"], "--matrix goes without"),
        (["coffee", "rain", "--alpha", "2"], "alpha=2.0 is not in"),
        (["coffee", "rain", "--threshold", "q17"], "q17"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: list[str], problem: str, files: dict[str, Path], pair: list[str], tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=problem):
        command("compare", *(files.get(word, word) for word in words), *pair, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_compared_leaves_nothing_behind(files: dict[str, Path], pair: list[str], tmp_path: Path) -> None:
    out = ["--out", tmp_path / "out", *pair]
    with pytest.raises(ColumnError, match="there is no column 'chosen'"):
        command("compare", files["coffee"], "--paired", *out)
    with pytest.raises(ColumnError, match="preference data; name the column"):
        command("compare", files["coffee"], files["pairs"], *out)
    short = write(tmp_path / "short.parquet", {"text": texts("!", 3)})
    with pytest.raises(DatasetError, match="a has 40 rows and b has 3"):
        command("compare", files["coffee"], short, "--paired", *out)
    other = tmp_path / "other.parquet"
    rows = datasets.Dataset.from_parquet(str(short))
    rows.map(FeatureExtractor(pair[1], pair[3], threshold=0, render="raw"), batched=True).to_parquet(other)
    with pytest.raises(FeatureSpaceMismatch):
        command("compare", files["coffee"], other, *out)
    empty = write(tmp_path / "empty.parquet", {"text": []})
    with pytest.raises(DatasetError, match="no rows"):
        command("compare", files["coffee"], empty, *out)
    assert not (tmp_path / "out").exists()
