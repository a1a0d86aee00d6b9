"""`fac-datasets coverage`: measures side by side, tables, and columns that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fac_datasets import FeatureExtractor
from fac_datasets.cli.main import app
from fac_datasets.coverage.interval import ONE_ROW
from fac_datasets.errors import ColumnError, FeatureSpaceMismatch, OptionError, RowError
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


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def models(tiny_backbone: str, tiny_sae: str) -> list[str]:
    return ["--backbone", tiny_backbone, "--sae", tiny_sae]


def test_columns_splits_and_prefixes_are_those_of_each(models: list[str], tmp_path: Path) -> None:
    plain = [write(tmp_path / "plain.jsonl", [{"text": text} for text in TEXTS[:4]])]
    plain += [write(tmp_path / "plain-anchor.jsonl", [{"text": text} for text in TEXTS])]
    expected = command("coverage", *plain, *models, "--json", tmp_path / "plain.json")
    data = write(tmp_path / "pairs.jsonl", [{"chosen": text, "rejected": "No."} for text in TEXTS[:4]])
    for split, texts in (("train", ["No."]), ("test", TEXTS)):
        (tmp_path / "anchor").mkdir(exist_ok=True)
        write(tmp_path / "anchor" / f"{split}.jsonl", [{"body": text} for text in texts])
    options = ["--column", "chosen", "--anchor-column", "body", "--split", "train", "--anchor-split", "test"]
    apart = command("coverage", data, tmp_path / "anchor", *options, *models, "--json", tmp_path / "apart.json")
    assert apart.split(":")[0] == expected.split(":")[0]
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "apart"))
    assert one["missing"] == other["missing"]
    assert [other[role]["tokens"] for role in ("dataset", "anchor")] == [
        one[role]["tokens"] for role in ("dataset", "anchor")
    ]


@pytest.mark.embedded
def test_feature_columns_of_any_prefix_are_used_without_their_texts(tmp_path: Path) -> None:
    rows, wider = table([{1: 3.0}]), table([{1: 3.0, 2: 3.0}])
    wider.rename_columns({name: f"my_{name}" for name in wider.column_names}).to_parquet(tmp_path / "anchor.parquet")
    rows.to_parquet(tmp_path / "rows.parquet")
    both = [tmp_path / "rows.parquet", tmp_path / "anchor.parquet", "--threshold", 1]
    assert "covers 1 of the 2 features" in command("coverage", *both, "--prefix", "", "--anchor-prefix", "my_")
    with pytest.raises(ColumnError, match=r"anchor.parquet: there is no column 'your_feature_space'"):
        command("coverage", *both, "--prefix", "", "--anchor-prefix", "your_")


def test_a_wrong_column_of_the_anchor_is_found_before_the_dataset_is_extracted(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FeatureExtractor, "_load", lambda _: pytest.fail("a model was loaded"))
    data = write(tmp_path / "data.jsonl", [{"text": TEXTS[0]}])
    anchor = write(tmp_path / "anchor.jsonl", [{"body": TEXTS[0]}])
    with pytest.raises(ColumnError, match=r"anchor.jsonl: no known schema is among the columns \['body'\]"):
        command("coverage", data, anchor, *models)
    with pytest.raises(ColumnError, match=r"anchor.jsonl: there is no column 'content'"):
        command("coverage", data, anchor, "--anchor-column", "content", *models)


def test_rows_that_cannot_be_read_are_named_and_left_out_with_skip_bad(models: list[str], tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [{"text": TEXTS[0]}, {"text": None}])
    anchor = write(tmp_path / "anchor.jsonl", [{"text": text} for text in TEXTS])
    with pytest.raises(RowError, match="holds nothing"):
        command("coverage", data, anchor, *models)
    printed = command("coverage", data, anchor, *models, "--skip-bad")
    assert "row 1, which holds nothing" in printed
    assert "FAC 0." in printed


def test_another_number_format_is_that_of_the_backbone(models: list[str], tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [{"text": text} for text in TEXTS])
    scores = []
    for dtype in ("float32", "bfloat16"):
        command("coverage", data, data, *models, "--dtype", dtype, "--json", tmp_path / f"{dtype}.json")
        scores.append(json.loads((tmp_path / f"{dtype}.json").read_text())["n_relevant"])
    assert scores[0] != scores[1]


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


def test_denominators_and_what_is_missing_are_told_with_names(models: list[str], tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [{"text": text} for text in TEXTS[:2]])
    more = write(tmp_path / "more.jsonl", [{"text": text} for text in TEXTS[:4]])
    anchor = write(tmp_path / "anchor.jsonl", [{"text": text} for text in TEXTS])
    command("coverage", data, anchor, *models, "--json", tmp_path / "seed.json")
    of_seed = json.loads((tmp_path / "seed.json").read_text())
    worst = of_seed["missing"][0]
    names = judged(of_seed["feature_space"], 1).select([0]).remove_columns("feature_id")
    names.add_column("feature_id", [worst]).add_column("explanation", ["tea"]).to_parquet(tmp_path / "names.parquet")
    seed = command("coverage", data, anchor, *models, "--names", tmp_path / "names.parquet")
    assert f"missing: {worst} (tea), " in seed
    printed = command(
        "coverage", more, anchor, *models, "--missing-of", tmp_path / "seed.json", "--json", tmp_path / "more.json"
    )
    report = json.loads((tmp_path / "more.json").read_text())
    reached, of = (report["of_missing"][key] for key in ("covered", "of"))
    assert of == len(of_seed["missing"])
    assert f"of those that the seed was missing: {reached} of {of}, " in printed
    assert "of all the anchor's features: " in printed
    assert "of the relevant ones" not in printed


def test_tables_that_are_none_of_features_are_told_before_anything_is_extracted(
    models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FeatureExtractor, "_load", lambda _: pytest.fail("a model was loaded"))
    data = write(tmp_path / "data.jsonl", [{"text": text} for text in TEXTS[:2]])
    odd = write(tmp_path / "odd.jsonl", [{"feature_id": 3, "explanation": 7, "evidence": ["llm"]}])
    with pytest.raises(ColumnError, match="'explanation' holds"):
        command("coverage", data, data, *models, "--names", odd)
    with pytest.raises(ColumnError, match="the table has no column 'feature_space'"):
        command("coverage", data, data, *models, "--features", odd)


def test_rows_and_activations_count_on_request(models: list[str], tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [{"text": text} for text in TEXTS[:3]])
    anchor = write(tmp_path / "anchor.jsonl", [{"text": text} for text in TEXTS])
    scores = {}
    for count in ("binary", "rows", "activation"):
        printed = command("coverage", data, anchor, *models, "--count", count, "--json", tmp_path / "report.json")
        scores[count] = json.loads((tmp_path / "report.json").read_text())["fac"]
        assert printed.startswith(f"FAC {'' if count == 'binary' else f'by {count} '}{scores[count]:.3f} [")
    assert len({*scores.values()}) == 3
    with pytest.raises(OptionError, match="count='mean'"):
        command("coverage", data, anchor, *models, "--count", "mean")


@pytest.mark.parametrize("content", ["no JSON", "[1]", "{}", '{"missing": null}'])
def test_a_file_that_is_no_report_of_a_seed_is_one_sentence(content: str, models: list[str], tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [{"text": text} for text in TEXTS[:2]])
    (tmp_path / "seed.json").write_text(content)
    with pytest.raises(OptionError, match=r"missing[-_]of"):
        command("coverage", data, data, *models, "--missing-of", tmp_path / "seed.json")
