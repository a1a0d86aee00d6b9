"""All measures side by side, from the command line and on cards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fac_datasets import diversity
from fac_datasets.cli.main import app
from fac_datasets.diversity import all_measures as module
from fac_datasets.diversity.all_measures import all_measures, measures_table
from fac_datasets.errors import MissingExtra
from tests.tiny import TEXTS


@pytest.mark.slow
def test_every_measure_has_its_usual_value() -> None:
    values = all_measures({"seed": TEXTS, "other": TEXTS[:3]})
    for measure in (diversity.distinct_n, diversity.compression_ratio, diversity.pair_cosdist, diversity.vendi_score):
        found = measure(TEXTS)
        assert {name: values["seed"][name] for name in found} == pytest.approx(found)
    assert (values["seed"]["n_rows"], values["other"]["n_rows"]) == (len(TEXTS), 3)
    assert values["other"]["pair_cosdist"] == pytest.approx(diversity.pair_cosdist(TEXTS[:3])["pair_cosdist"])
    assert not any(isinstance(value, str) for value in values["seed"].values())


def test_of_many_texts_some_are_drawn() -> None:
    first, again = (all_measures({"seed": TEXTS}, most_rows=5)["seed"] for _ in range(2))
    assert first["n_rows"] == 5
    assert first == again


def test_what_is_not_installed_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingExtra("embeddings of texts need a library")

    monkeypatch.setattr(module, "embeddings_of", missing)
    values = all_measures({"seed": TEXTS, "train": TEXTS})
    assert values["seed"]["vendi_score"] == "embeddings of texts need a library"
    table = measures_table(values)
    assert table.count("embeddings of texts need a library") == 1
    assert "| `vendi_score` |  |  |" in table


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
