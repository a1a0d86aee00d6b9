"""The main job on a tiny pair: its output, its resumption, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from huggingface_hub import DatasetCard

from fac_datasets import FeatureExtractor
from fac_datasets.coverage.interval import ONE_ROW
from fac_datasets.diversity.all_measures import measures_table
from fac_datasets.errors import (
    BackboneError,
    ColumnError,
    DatasetError,
    OptionError,
    OutputError,
    RowError,
    SAEMismatch,
)
from fac_datasets.generation import Limits
from fac_datasets.generation.local import LocalGenerator
from fac_datasets.pipeline import Settings, preview, run
from fac_datasets.sae.calibration import Calibration
from tests.interpretation.scripted import always
from tests.tiny import TEXTS

REPORT_KEYS = {
    "fac", "low", "high", "n_covered", "n_relevant", "missing", "threshold", "feature_space", "version", "dataset",
    "anchor",
}  # fmt: skip


@pytest.fixture(scope="module")
def seed_rows() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS[:2]})


@pytest.fixture(scope="module")
def anchor_rows() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS[1:8]})


@pytest.fixture(scope="module")
def settings(tiny_backbone: str, tiny_sae: str) -> Settings:
    return Settings(
        backbone=tiny_backbone,
        sae=tiny_sae,
        threshold="q75",
        max_features=5,
        max_new_tokens=24,
        temperature=1.0,
        license="mit",
    )


@pytest.fixture(scope="module")
def finished(
    seed_rows: datasets.Dataset,
    anchor_rows: datasets.Dataset,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    run(seed_rows, anchor_rows, out, settings, say=lambda _line: None)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_output_holds_report_picture_card_and_data(finished: Path) -> None:
    assert set(files(finished)) == {
        "README.md",
        "coverage.png",
        "report.json",
        "run.json",
        "journal/guided.jsonl",
        "journal/unguided.jsonl",
        "data/seed-00000-of-00001.parquet",
        "data/synthetic-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "provenance/train-00000-of-00001.parquet",
        "feature_table/train-00000-of-00001.parquet",
    }


def test_the_report_has_the_keys_of_the_design(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert set(report) >= REPORT_KEYS
    for role in ("dataset", "anchor"):
        assert set(report[role]) == {"id", "revision", "split", "rows", "tokens", "fingerprint"}
    assert report["anchor_rows_in_seed"] == 1
    for addition in ("guided", "unguided"):
        for name in ("A1", "A2"):
            gain = report["after"][addition][name]["fac"] - report["before"][name]["fac"]
            assert report["gain"][addition][name] == pytest.approx(gain)
            of_missing = report["after"][addition][name]["of_missing"]
            before = report["before"][name]
            assert (before["of_missing"], before["of_relevant"]) == (None, None)
            assert of_missing["of"] == before["n_relevant"] - before["n_covered"]
            assert of_missing["covered"] == report["after"][addition][name]["n_covered"] - before["n_covered"]
    targets = report["targets"]
    assert sorted(targets["covered"] + targets["not_reached"]) == sorted(targets["aimed_at"])
    assert report["added_tokens"]["unguided"] >= report["added_tokens"]["guided"] > 0


def test_both_configs_load_as_a_hub_dataset(finished: Path, tmp_path: Path) -> None:
    default = datasets.load_dataset(str(finished), cache_dir=str(tmp_path))
    assert list(default) == ["seed", "synthetic", "train"]
    assert len(default["train"]) == len(default["seed"]) + len(default["synthetic"])
    provenance = datasets.load_dataset(str(finished), "provenance", cache_dir=str(tmp_path))["train"]
    assert provenance["synthetic_id"] == default["synthetic"]["synthetic_id"]


def test_every_synthetic_row_activates_its_feature_anew(finished: Path, settings: Settings, tmp_path: Path) -> None:
    rows = datasets.load_dataset(str(finished), split="synthetic", cache_dir=str(tmp_path))
    claims = datasets.load_dataset(str(finished), "provenance", split="train", cache_dir=str(tmp_path))
    extractor = FeatureExtractor(settings.backbone, settings.sae, threshold=settings.threshold)
    found = extractor.extract(rows["text"])["feature_ids"]
    assert all(feature in ids for feature, ids in zip(claims["target_feature"], found, strict=True))


def test_the_card_header_is_valid(finished: Path) -> None:
    data = DatasetCard.load(finished / "README.md").data
    assert data.license == "mit"
    assert [config["config_name"] for config in data.configs] == ["default", "feature_table", "provenance"]
    assert "synthetic" in data.tags


def test_tokens_are_told_by_way_and_by_outcome(finished: Path) -> None:
    report, card = json.loads((finished / "report.json").read_text()), (finished / "README.md").read_text()
    for name in ("guided", "unguided"):
        for told in (report["by_way"][name], report["by_outcome"][name]):
            assert sum(tally["drafts"] for tally in told.values()) == sum(report["samples"][name].values())
            for tokens in ("decoded_tokens", "prompt_tokens"):
                assert sum(tally[tokens] for tally in told.values()) == report[tokens][name] > 0
    for way, tally in report["by_way"]["guided"].items():
        assert f"| {way} | {tally['drafts']} | {tally['accepted']} | {tally['decoded_tokens']:,} | " in card


def test_the_feature_table_tells_how_readily_each_feature_fired(finished: Path, tmp_path: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    table = datasets.load_dataset(str(finished), "feature_table", split="train", cache_dir=str(tmp_path))
    assert sorted(table["feature_id"]) == sorted(report["missing"])
    tried = [row for row in table if row["tries"]]
    assert {row["feature_id"] for row in tried} <= {*report["targets"]["aimed_at"]}
    assert all(0 <= row["sensitivity"] <= 1 for row in tried)
    assert any(row["sensitivity"] > 0 for row in tried)
    assert {row["sensitivity"] for row in table if not row["tries"]} == {None}


def test_a_way_that_the_generator_cannot_be_used_for_is_refused_before_anything_is_written(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    steered = dataclasses.replace(settings, methods="prompted,steered")
    with pytest.raises(OptionError, match="'prompted\\+steered' can be used for no target: scripted does not run"):
        run(seed_rows, anchor_rows, tmp_path / "out", steered, generator=always("A text."))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_preview_can_be_guided(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings
) -> None:
    guided, said = dataclasses.replace(settings, methods="guided", max_attempts=2), list[str]()
    rows = preview(seed_rows, anchor_rows, 2, guided, say=said.append)
    assert {row["method"].partition(",")[0] for row in rows} <= {"prompted+guided"}
    assert any("prompted+guided" in line for line in said if line.startswith("round 1"))


def test_the_card_tells_how_much_of_what_was_missing_is_reached(finished: Path) -> None:
    of_missing = json.loads((finished / "report.json").read_text())["after"]["guided"]["A1"]["of_missing"]
    counted = f"{of_missing['covered']} | {of_missing['of']} | {of_missing['share']:.3f} ["
    card = (finished / "README.md").read_text()
    assert f"| seed + guided on A1 | of those that the seed was missing | {counted}" in card


def test_a_target_that_stays_missing_is_told_with_its_name(
    finished: Path, seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    report = json.loads((folder / "report.json").read_text())
    feature, name = next((feature, name) for feature, name in report["targets"]["names"].items() if name)
    (folder / "report.json").write_text(json.dumps({**report, "still_missing": [int(feature)]}))
    said: list[str] = []
    run(seed_rows, anchor_rows, folder, settings, say=said.append)
    assert f"still missing: {feature} ({name})" in said


def test_the_card_shows_the_other_measures_side_by_side(finished: Path) -> None:
    measures = json.loads((finished / "report.json").read_text())["measures"]
    assert list(measures) == ["seed", "seed + guided", "seed + unguided", "anchor"]
    assert measures_table(measures) in (finished / "README.md").read_text()


def test_no_local_path_reaches_report_or_card(finished: Path, settings: Settings) -> None:
    for name in ("report.json", "README.md"):
        content = (finished / name).read_text()
        assert settings.backbone not in content
        assert str(finished) not in content


def test_a_finished_run_prints_its_report_and_changes_nothing(
    finished: Path, seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings
) -> None:
    before, lines = files(finished), list[str]()
    report = run(seed_rows, anchor_rows, finished, settings, say=lines.append)
    assert report == json.loads(before["report.json"])
    assert any("finished run" in line for line in lines)
    assert files(finished) == before


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_result(
    finished: Path,
    seed_rows: datasets.Dataset,
    anchor_rows: datasets.Dataset,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, calls = tmp_path / "out", 0
    decode = LocalGenerator._decode

    def stop_in_the_second(generator: LocalGenerator, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return decode(generator, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalGenerator, "_decode", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(seed_rows, anchor_rows, out, settings, say=lambda _line: None)
    monkeypatch.undo()
    assert not (out / "report.json").exists()
    assert not (out / "data").exists()
    lines = list[str]()
    run(seed_rows, anchor_rows, out, settings, say=lines.append)
    assert any("kept from before" in line for line in lines)
    resumed, whole = files(out), files(finished)
    assert set(resumed) == set(whole)
    assert json.loads(resumed["report.json"]) == json.loads(whole["report.json"])
    assert resumed["README.md"] == whole["README.md"]


@pytest.mark.slow
def test_another_run_in_the_folder_is_refused_and_overwritten_only_when_asked(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    def with_seed(number: int, **options: object) -> dict[str, object]:
        other = dataclasses.replace(settings, seed=number, max_features=1)
        return run(seed_rows, anchor_rows, tmp_path, other, say=lambda _line: None, **options)  # type: ignore[arg-type]

    with_seed(1)
    with pytest.raises(OutputError, match="--overwrite"):
        with_seed(2)
    settings_of = with_seed(2, overwrite=True)["settings"]
    assert isinstance(settings_of, dict)
    assert settings_of["seed"] == 2


@pytest.mark.slow
def test_a_run_whose_thresholds_were_calibrated_anew_is_another_run(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    sae = Path(shutil.copytree(settings.sae, tmp_path / "sae"))
    settings = dataclasses.replace(settings, sae=str(sae), threshold="q90", max_features=1)
    run(seed_rows, anchor_rows, tmp_path / "out", settings, say=lambda _line: None)
    for path in (sae / "calibration").iterdir():
        calibration = Calibration.load(path)
        dataclasses.replace(calibration, quantiles=calibration.quantiles * 2).save(path)
    with pytest.raises(OutputError, match="--overwrite"):
        run(seed_rows, anchor_rows, tmp_path / "out", settings, say=lambda _line: None)


def test_a_folder_with_other_files_is_left_alone(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        run(seed_rows, anchor_rows, tmp_path, settings, overwrite=True)
    assert files(tmp_path) == {"thesis.txt": b"mine"}


def test_a_folder_that_cannot_be_made_is_an_error(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run(seed_rows, anchor_rows, tmp_path / "file" / "out", settings)


def test_datasets_without_rows_or_text_leave_nothing_behind(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match="seed dataset has no rows"):
        run(seed_rows.select([]), anchor_rows, out, settings)
    with pytest.raises(DatasetError, match="anchor dataset has no rows"):
        run(seed_rows, anchor_rows.select([]), out, settings)
    with pytest.raises(ColumnError, match="no column 'body'"):
        run(seed_rows, anchor_rows, out, Settings(column="body"))
    assert not out.exists()


def test_a_run_that_aims_at_nothing_only_measures(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    report = run(
        seed_rows, anchor_rows, tmp_path, dataclasses.replace(settings, max_features=0), say=lambda _line: None
    )
    assert report["added_rows"] == {"guided": 0, "unguided": 0}
    assert report["gain"]["guided"] == {"A1": 0, "A2": 0}
    loaded = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / ".cache"))
    # Splits without rows cannot be loaded, so they are left out.
    assert {split: len(rows) for split, rows in loaded.items()} == {"seed": 2, "train": 2}


def test_an_anchor_may_have_its_texts_in_another_column(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    only_measure = dataclasses.replace(settings, max_features=0)
    same = run(seed_rows, anchor_rows, tmp_path / "same", only_measure, say=lambda _line: None)
    apart = run(
        seed_rows.rename_column("text", "chosen"),
        anchor_rows.rename_column("text", "body"),
        tmp_path / "apart",
        dataclasses.replace(only_measure, column="chosen", anchor_column="body"),
        say=lambda _line: None,
    )
    assert apart["before"]["A2"]["fac"] == same["before"]["A2"]["fac"]
    assert apart["missing"] == same["missing"]


def test_rows_that_cannot_be_read_are_counted_with_skip_bad(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    seed_rows = datasets.concatenate_datasets([seed_rows, datasets.Dataset.from_dict({"text": ["a" * 1_500_000]})])
    only_measure = dataclasses.replace(settings, max_features=0)
    with pytest.raises(RowError, match="1,500,000 characters"):
        run(seed_rows, anchor_rows, tmp_path / "out", only_measure, say=lambda _line: None)
    assert not (tmp_path / "out").exists()
    said: list[str] = []
    skipping = dataclasses.replace(only_measure, skip_bad=True)
    report = run(seed_rows, anchor_rows, tmp_path / "out", skipping, say=said.append)
    assert report["bad_rows"] == {"seed": 1, "A1": 0, "A2": 0}
    assert any("seed: 1 rows could not be read" in line for line in said)


CHATS = [[{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}] for text in TEXTS[:8]]
FORMS: dict[str, tuple[dict[str, list[object]], str | None]] = {
    "messages": ({"messages": list(CHATS)}, None),
    "conversations": (
        {
            "conversations": [
                [{"from": side, "value": said["content"]} for side, said in zip(("human", "gpt"), chat, strict=True)]
                for chat in CHATS
            ]
        },
        None,
    ),
    "instructions": ({"instruction": list(TEXTS[:8]), "output": ["Yes."] * 8}, None),
    "a column of the user's": ({"body": list(TEXTS[:8]), "number": list(range(8))}, "body"),
    "one of two candidates": ({"text": list(TEXTS[:8]), "prompt": ["no"] * 8}, "text"),
    "preferences": ({"chosen": list(TEXTS[:8]), "rejected": ["no"] * 8}, "chosen"),
    "preferences of chats": (
        {
            "chosen": [
                [{"role": "user", "content": "Say one."}, {"role": "assistant", "content": text}] for text in TEXTS[:8]
            ],
            "rejected": [[{"role": "user", "content": "Say one."}, {"role": "assistant", "content": "No."}]] * 8,
        },
        "chosen",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_runs_through(form: str, settings: Settings, tmp_path: Path) -> None:
    columns, column = FORMS[form]
    rows = datasets.Dataset.from_dict(columns)
    options = dataclasses.replace(settings, column=column, max_features=2)
    report = run(rows.select(range(2)), rows.select(range(2, 8)), tmp_path / "out", options, say=lambda _line: None)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert loaded["seed"].remove_columns("synthetic_id").to_list() == rows.select(range(2)).to_list()
    if report["added_rows"]["guided"]:
        filled = loaded["synthetic"][0][column or next(iter(columns))]
        assert filled if isinstance(filled, str) else filled[0].get("content") or filled[0]["value"]


@pytest.mark.slow
def test_a_threshold_in_the_sae_s_units_runs(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    options = dataclasses.replace(settings, threshold=2.0, max_features=2)
    report = run(seed_rows, anchor_rows, tmp_path, options, say=lambda _line: None)
    assert report["threshold"] == 2.0
    assert all(score["fac"] < 1 for score in report["before"].values())


def test_a_run_that_cannot_succeed_gives_its_folder_up(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, plain_backbone: str, tmp_path: Path
) -> None:
    for options, error in (
        ({"backbone": plain_backbone}, SAEMismatch),
        ({"layer": 9}, BackboneError),
        ({"threshold": 1e6}, DatasetError),
    ):
        with pytest.raises(error):
            run(seed_rows, anchor_rows, tmp_path / "out", dataclasses.replace(settings, **options))
        assert not (tmp_path / "out").exists()
    with pytest.raises(DatasetError, match="at least 2"):
        run(seed_rows, anchor_rows.select([1]), tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_second_process_in_the_same_folder_is_refused(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    def in_between(line: str) -> None:
        if not line.startswith("feature space"):
            return
        with pytest.raises(OutputError, match="another process"):
            run(seed_rows, anchor_rows, tmp_path, settings, say=lambda _line: None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(seed_rows, anchor_rows, tmp_path, settings, say=in_between)


@pytest.mark.parametrize(
    "options",
    [
        {"max_features": -1},
        {"max_samples": -1},
        {"max_new_tokens": 0},
        {"max_attempts": 0},
        {"temperature": -1},
        {"threshold": "x"},
    ],
)
def test_options_without_meaning_are_errors(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Settings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["max_features", "max_attempts", "max_samples", "max_calls", "max_tokens", "max_cost"])
def test_a_higher_limit_is_more_effort_and_a_lower_one_is_not(name: str) -> None:
    def limited(value: int | None) -> Settings:
        if name in ("max_features", "max_attempts", "max_samples"):
            return Settings(**{name: value})  # type: ignore[arg-type]
        return Settings(limits=Limits(**{name: value}, price_in=1.0))

    effort = limited(5).effort
    assert limited(6).is_more_than(effort)
    assert not limited(5).is_more_than(effort)
    assert not limited(4).is_more_than(effort)
    if name not in ("max_features", "max_attempts"):
        assert limited(None).is_more_than(effort)
        assert not limited(6).is_more_than(limited(None).effort)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from fac_datasets.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.slow
def test_the_command_runs_the_main_job_on_files(
    seed_rows: datasets.Dataset, anchor_rows: datasets.Dataset, tiny_backbone: str, tiny_sae: str, tmp_path: Path
) -> None:
    seed_rows.to_json(tmp_path / "seed.jsonl")
    anchor_rows.to_csv(tmp_path / "anchor.csv")
    arguments = [
        "run", str(tmp_path / "seed.jsonl"), str(tmp_path / "anchor.csv"), "--out", str(tmp_path / "out"), "--backbone",
        tiny_backbone, "--sae", tiny_sae, "--threshold", "q75", "--max-features", "3", "--max-new-tokens", "24",
    ]  # fmt: skip
    first = cli(*arguments)
    assert first.returncode == 0, first.stderr
    for part in (
        "seed (seed.jsonl): 2 rows",
        "round 1, ",
        "FAC before on A1",
        "FAC before on A2",
        "missing features",
        "tried",
        "unguided",
        "FAC after on A2",
    ):
        assert part in first.stdout
    again = cli(*arguments)
    assert again.returncode == 0
    assert "holds this finished run" in again.stdout
    other = cli(*arguments, "--seed", "5")
    assert other.returncode == 1
    assert "--overwrite" in other.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "no/such", "no/such", "--out", "OUT"], "no/such"),
        (["run", "TEXT", "TEXT", "--out", "OUT"], "no .jsonl, .json, "),
        (["run", "EMPTY", "EMPTY", "--out", "OUT"], "cannot be read|no rows"),
        (["run", "ROWS", "ROWS", "--out", "OUT", "--threshold", "q7"], "neither a number"),
        (["run", "ROWS", "ROWS", "--out", "OUT", "--split", "dev"], "no split 'dev'"),
        (["run", "ROWS", "ROWS", "--out", "OUT", "--column", "body"], "no column 'body'"),
    ],
)
def test_bad_arguments_are_one_line_and_leave_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "TEXT").write_text("a")
    (tmp_path / "EMPTY.jsonl").write_text("")
    (tmp_path / "ROWS.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    places = {name: str(tmp_path / f"{name}.jsonl") for name in ("EMPTY", "ROWS")}
    places |= {"TEXT": str(tmp_path / "TEXT"), "OUT": str(tmp_path / "out")}
    result = cli(*(places.get(argument, argument) for argument in arguments))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert re.search(message, result.stderr.strip().splitlines()[-1]), result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_seed_of_one_row_runs_and_is_told_without_an_interval(
    anchor_rows: datasets.Dataset, settings: Settings, tmp_path: Path
) -> None:
    said: list[str] = []
    one = datasets.Dataset.from_dict({"text": TEXTS[:1]})
    run(one, anchor_rows, tmp_path / "out", dataclasses.replace(settings, max_features=1), say=said.append)
    assert any(line.startswith("FAC before on A1: ") and f"(no interval: {ONE_ROW})" in line for line in said)
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"(no interval: {ONE_ROW})" in card
