"""Options of all commands: what is wrong with one is said in a sentence, before anything is loaded or written."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import datasets
import pytest

from fac_datasets import FeatureExtractor
from fac_datasets.errors import DatasetError, FacDatasetsError, OptionError, OutputError
from tests.command_line import command
from tests.tiny import TEXTS

COMMANDS = {
    "run": ["run", "DATA", "DATA", "--out", "OUT"],
    "extract": ["extract", "DATA", "--out", "OUT"],
    "coverage": ["coverage", "DATA", "DATA"],
    "compare": ["compare", "DATA", "DATA", "--out", "OUT"],
    "table": ["table", "DATA", "--out", "OUT"],
    "relevance": ["relevance", "DATA", "--contrast", "DATA", "--label-column", "label", "--out", "OUT"],
    "score": ["score", "DATA", "--held-out", "DATA", "--out", "OUT"],
    "explain": ["explain", "DATA", "--out", "OUT"],
    "sae train": ["sae", "train", "DATA", "--layer", "2", "--out", "OUT"],
    "sae evaluate": ["sae", "evaluate", "DATA", "--out", "OUT"],
    "sae calibrate": ["sae", "calibrate", "DATA", "--sae", "SAE"],
    "review push samples": ["review", "push", "samples", "DATA", "--name", "mine"],
    "review pull samples": ["review", "pull", "samples", "DATA", "--name", "mine", "--out", "OUT"],
}
WITH_DTYPE = [name for name in COMMANDS if name not in ("explain", "sae calibrate")]
WITH_OUT = [name for name, words in COMMANDS.items() if "--out" in words]


@pytest.fixture(autouse=True)
def nothing_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a dataset that must not be opened."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"text": "Hello."}\n')
    for load in ("load_dataset", "load_from_disk"):
        monkeypatch.setattr(datasets, load, lambda *_, **__: pytest.fail("a dataset was loaded"))


def refusal(name: str, *options: str, data: str = "rows.jsonl", out: str = "out") -> str:
    """What a command says that refuses, having written nothing."""
    words = [{"DATA": data, "OUT": out}.get(word, word) for word in COMMANDS[name]]
    before = sorted(Path().rglob("*"))
    with pytest.raises(FacDatasetsError) as refused:
        command(*words, *options)
    assert sorted(Path().rglob("*")) == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", WITH_DTYPE)
def test_a_number_format_in_which_nothing_computes_is_refused(name: str) -> None:
    assert "dtype='int8' is none of float32, bfloat16" in refusal(name, "--dtype", "int8")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    assert "device='cuda:7' is not on this machine" in refusal(name, "--device", "cuda:7")
    assert "device='gpu' is no torch device" in refusal(name, "--device", "gpu")


@pytest.mark.parametrize("name", WITH_OUT)
def test_an_output_folder_that_is_a_file_is_refused(name: str) -> None:
    Path("mine.txt").touch()
    assert "mine.txt is a file; name a folder" in refusal(name, out="mine.txt")
    assert "mine.txt is a file; name a folder" in refusal(name, out="mine.txt/below")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_missing_dataset_is_refused(name: str) -> None:
    assert "there is no file or folder 'gone.jsonl'" in refusal(name, data="gone.jsonl")


@pytest.mark.parametrize(
    "words",
    [
        ["coverage", "me/on-the-hub", "gone.jsonl"],
        ["coverage", "rows.jsonl", "rows.jsonl", "--features", "gone.jsonl"],
        ["run", "me/on-the-hub", "gone.jsonl", "--out", "out"],
        ["relevance", "rows.jsonl", "--contrast", "me/on-the-hub", "--background", "gone.jsonl", "--out", "out"],
        ["score", "me/on-the-hub", "--held-out", "gone.jsonl", "--out", "out"],
        ["publish", "data", "rows", "me/mine", "--anchor", "gone.jsonl"],
        ["sae", "train", "me/on-the-hub", "gone.jsonl", "--layer", "2", "--out", "out", "--streaming"],
    ],
    ids=" ".join,
)
def test_the_second_dataset_is_missed_before_the_first_is_loaded(words: list[str]) -> None:
    with pytest.raises(DatasetError, match=r"there is no file or folder 'gone.jsonl'"):
        command(*words)


@pytest.mark.parametrize(
    "options",
    [
        ["--max-length", "8"],
        ["--batch-tokens", "0"],
        ["--render", "html"],
        ["--threshold", "q1"],
        ["--coverage-threshold", "q1"],
        ["--shard", "2/1"],
        ["--part-rows", "0"],
        ["--engine", "spark"],
    ],
    ids=" ".join,
)
def test_extract_refuses_options_without_a_meaning(options: list[str]) -> None:
    refusal("extract", *options)


def test_the_engine_ray_may_name_a_device_of_its_actors() -> None:
    # Whichever of the two comes first, the missing dataset is what is said.
    for options in (["--device", "cuda:7", "--engine", "ray"], ["--engine", "ray", "--device", "cuda:7"]):
        assert "no file or folder" in refusal("extract", *options, data="gone.jsonl")


def test_a_report_that_cannot_be_written_is_refused() -> None:
    Path("folder").mkdir()
    assert "folder is a folder; name a file" in refusal("coverage", "--json", "folder")
    assert "rows.jsonl is a file; name a folder" in refusal("coverage", "--json", "rows.jsonl/report.json")


def test_the_version_is_said() -> None:
    assert command("--version") == f"fac-datasets {version('fac-datasets')}\n"


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"dtype": "int8"}, "dtype='int8'"), ({"batch_tokens": 0}, "batch_tokens=0")],
)
def test_the_extractor_itself_refuses_them_too(options: dict[str, object], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        FeatureExtractor(**options)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_refused_from_python_too(tiny_backbone: str, tiny_sae: str) -> None:
    with pytest.raises(OptionError, match="is not on this machine"):
        FeatureExtractor(tiny_backbone, tiny_sae, device="cuda:7").extract(TEXTS[:1])


def test_an_extraction_into_a_file_is_refused_from_python_too(tiny_extractor: FeatureExtractor) -> None:
    from fac_datasets.features.extraction_job import ExtractionJob

    Path("mine.txt").touch()
    with pytest.raises(OutputError, match=r"mine.txt is a file; name a folder"):
        ExtractionJob("rows.jsonl", Path("mine.txt"), tiny_extractor).claim()
