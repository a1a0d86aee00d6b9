"""The commands around a review: what a run made goes to the server, and what people said of it is used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import httpx
import pytest

from fac_datasets import FeatureExtractor, LocalGenerator, augment, coverage, relevant_features, review, synthesize
from fac_datasets.errors import FeatureSpaceMismatch, OutputError
from fac_datasets.pipeline import Settings, run
from fac_datasets.rows.loading import load_rows
from tests.command_line import command
from tests.repository import REPOSITORY
from tests.servers.argilla.fixtures import SPACE, Annotator, records_of
from tests.servers.argilla.server import API_KEY, ArgillaServer, why_unavailable
from tests.tiny import TEXTS

if TYPE_CHECKING:
    import argilla

pytestmark = pytest.mark.slow

People = tuple[Annotator, ...]


@pytest.fixture(autouse=True)
def credentials(server: ArgillaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", API_KEY)


@pytest.fixture(scope="module")
def pair(tiny_backbone: str, tiny_sae: str) -> list[str]:
    return ["--backbone", tiny_backbone, "--sae", tiny_sae]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of a seed and an anchor."""
    folder = tmp_path_factory.mktemp("rows")
    for name, texts in (("seed", TEXTS[:2]), ("anchor", TEXTS[2:8])):
        datasets.Dataset.from_dict({"text": texts}).to_parquet(folder / f"{name}.parquet")
    return folder / "seed.parquet", folder / "anchor.parquet"


@pytest.fixture(scope="module")
def augmented(
    rows: tuple[Path, Path], tiny_backbone: str, tiny_sae: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder that `fac-datasets run` wrote."""
    out = tmp_path_factory.mktemp("run") / "augmented"
    settings = Settings(
        tiny_backbone, tiny_sae, threshold="q75", max_features=5, max_new_tokens=24, temperature=1.0, license="mit"
    )
    seed, anchor = (load_rows(str(path)) for path in rows)
    run(seed, anchor, out, settings, say=lambda _line: None)
    return out


def test_the_samples_of_a_run_are_reviewed_and_those_that_people_keep_are_taken(
    augmented: Path,
    pair: list[str],
    client: argilla.Argilla,
    annotators: People,
    name: str,
    tmp_path: Path,
) -> None:
    made = load_rows(str(augmented), "synthetic")
    assert f"{len(made)} records added" in command("review", "push", "samples", augmented, "--name", name, *pair)
    records = records_of(client, name)
    assert all("<mark>" in record["fields"]["sample"] for record in records.values())
    kept, dropped, edited = made.select(range(3))
    answer = annotators[0].answer
    answer(records[kept["synthetic_id"]]["id"], shows_concept="yes", natural="yes", keep="keep", edited=kept["text"])
    answer(records[dropped["synthetic_id"]]["id"], shows_concept="yes", natural="no", keep="drop")
    text = edited["text"] + "!"
    answer(records[edited["synthetic_id"]]["id"], shows_concept="yes", natural="yes", keep="keep", edited=text)

    out = tmp_path / "reviewed"
    pull = ["review", "pull", "samples", augmented, "--name", name, "--out", out, *pair]
    said = command(*pull)
    assert f"3 of {len(made)} records reviewed: 3 responses submitted" in said
    assert "1 have edited texts" in said
    reviewed = load_rows(str(out))
    assert text in reviewed["text"]
    result = augment(load_rows(str(augmented), "seed").remove_columns("synthetic_id"), reviewed)
    assert {kept["synthetic_id"]} <= {*result.dataset["synthetic"]["synthetic_id"]}
    assert dropped["synthetic_id"] not in result.dataset["synthetic"]["synthetic_id"]

    answer(records[kept["synthetic_id"]]["id"], shows_concept="yes", natural="yes", keep="drop")
    command(*pull)
    (again,) = load_rows(str(out)).filter(lambda row: row["synthetic_id"] == kept["synthetic_id"])
    assert again["accepted"] is False
    with pytest.raises(OutputError, match="--overwrite"):
        command(*pull, "--consensus", "unanimous")


def test_what_people_say_of_features_decides_coverage_and_synthesis(
    rows: tuple[Path, Path],
    pair: list[str],
    client: argilla.Argilla,
    annotators: People,
    name: str,
    tmp_path: Path,
    tiny_backbone: str,
    tiny_sae: str,
) -> None:
    seed, anchor = rows
    command("table", anchor, "--out", tmp_path / "table", *pair)
    command("explain", tmp_path / "table", "--out", tmp_path / "named")
    measure = ["coverage", seed, anchor, "--threshold", "q75", *pair]
    command(*measure, "--json", tmp_path / "report.json")
    push = ["review", "push", "explanations", tmp_path / "named", "--name", name, "--guideline", "helpfulness"]
    command(*push, "--report", tmp_path / "report.json")
    records = records_of(client, name)
    missing = [number for number, record in records.items() if record["metadata"].get("state") == "missing"]
    covered = [number for number, record in records.items() if record["metadata"].get("state") == "covered"]
    chosen = [*missing[:2], *covered[:1]]
    for number in chosen:
        annotators[0].answer(records[number]["id"], fits="no", corrected=f"concept {number}", relevant="yes")
    annotators[0].answer(records[missing[2]]["id"], fits="yes", relevant="no")

    out = tmp_path / "judged"
    said = command("review", "pull", "explanations", tmp_path / "named", "--name", name, "--out", out)
    assert f"{out}: 3 of {len(records)} features are relevant" in said
    judged = load_rows(str(out))
    assert sorted(map(str, relevant_features(judged))) == sorted(chosen)

    assert "covers 1 of the 3 features" in command(*measure, "--features", out)
    foreign = judged.remove_columns("feature_space").add_column("feature_space", [SPACE] * len(judged))
    foreign.to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(FeatureSpaceMismatch):
        command(*measure, "--features", tmp_path / "foreign.parquet")

    extractor = FeatureExtractor(tiny_backbone, tiny_sae, threshold=0)
    extracted = [load_rows(str(path)).map(extractor, batched=True) for path in rows]
    report = coverage(*extracted, threshold="q75", features=relevant_features(judged))
    synthetic = synthesize(
        report,
        judged,
        extractor=extractor,
        generator=LocalGenerator(tiny_backbone),
        examples=extracted[1],
        max_attempts=40,
        max_new_tokens=24,
        temperature=1.0,
    )
    assert len(synthetic)
    assert {*synthetic["target_name"]} <= {f"concept {number}" for number in missing[:2]}
    assert review.summary(judged).reviewed == 4


@pytest.mark.embedded
@pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))
def test_the_demo_starts_a_server_with_two_reviews_and_stops_it(tmp_path: Path) -> None:
    start = [sys.executable, "-m", "fac_datasets", "review", "demo", "--folder", str(tmp_path / "data"), "--port", "0"]
    for stopping in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(
            start, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True
        ) as demo:
            assert demo.stdout is not None
            lines = [demo.stdout.readline() for _ in range(3)]
            assert lines[0].startswith("open http://127.0.0.1:"), lines
            assert "the same command goes on" in lines[2]
            demo.send_signal(stopping)
            assert demo.wait(timeout=60) == 0
        url = lines[0].removeprefix("open ").partition(",")[0]
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
