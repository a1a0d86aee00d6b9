"""`evaluate.load("fac")` works by its bare name and offline, and the registration harms nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import evaluate
import pytest

from fac_datasets import load_metric, register_metrics
from fac_datasets.evaluate_modules.registry import metric_names, modules_cache
from fac_datasets.files.resources import resource_folder

KEYS = {"fac", "low", "high", "n_covered", "n_relevant", "missing", "n_rows", "n_tokens"}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty module cache."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "modules" / "evaluate_modules" / "metrics" / "evaluate-metric--fac"


def scripts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/fac.py"))


def test_the_bare_name_loads() -> None:
    result = evaluate.load("fac").compute(predictions=[[1, 2], [2]], references=[[1, 2, 3], [3, 4], []])
    assert set(result) == KEYS
    assert (result["fac"], result["n_covered"], result["n_relevant"]) == (0.5, 2, 4)
    assert result["missing"] == [3, 4]


def test_the_folder_in_a_checkout_loads() -> None:
    metric = evaluate.load(str(resource_folder("metrics") / "fac"))
    assert metric.compute(predictions=[[1]], references=[[1]])["fac"] == 1


def test_load_metric_gives_this_installation_s_own() -> None:
    assert load_metric("fac").compute(predictions=[[1]], references=[[1, 2]])["fac"] == 0.5
    with pytest.raises(ValueError, match="no metric 'fca'"):
        load_metric("fca")


def test_registration_writes_only_what_is_missing(modules: Path) -> None:
    register_metrics()
    (script,) = scripts(modules)
    written = script.stat().st_mtime_ns
    register_metrics()
    assert script.stat().st_mtime_ns == written
    assert script.read_text() == (resource_folder("metrics") / "fac" / "fac.py").read_text()


def test_registration_wins_over_another_version(modules: Path) -> None:
    register_metrics()
    (ours,) = scripts(modules)
    other = modules / ("0" * 64) / "fac.py"
    other.parent.mkdir()
    other.write_text("raise RuntimeError('an old version')\n")
    os.utime(other, (time.time() + 5, time.time() + 5))
    # A version that claims to be from the future is older than what is written now only after its time has passed.
    os.utime(other, (time.time() - 1, time.time() - 1))
    os.utime(ours, (time.time() - 60, time.time() - 60))
    register_metrics()
    assert ours.stat().st_mtime > other.stat().st_mtime


def test_two_processes_register_at_once(modules: Path) -> None:
    command = [sys.executable, "-c", "import fac_datasets"]
    processes = [subprocess.Popen(command, env=os.environ) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    (script,) = scripts(modules)
    assert script.read_text() == (resource_folder("metrics") / "fac" / "fac.py").read_text()
    assert [path.name for path in script.parent.iterdir() if path.name.startswith(".")] == []


def test_a_cache_that_cannot_be_written_is_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "file" / "modules"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        register_metrics()
    assert len(caught) == 1
    assert "load_metric" in str(caught[0].message)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_MODULES_CACHE": "/m"}, "/m"),
        ({"HF_HOME": "/h"}, "/h/modules"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/modules"),
        ({"HOME": "/home/me"}, "/home/me/.cache/huggingface/modules"),
    ],
)
@pytest.mark.slow
def test_the_cache_is_where_evaluate_looks(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_MODULES_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(modules_cache()) == expected
    program = "import evaluate.config; print(evaluate.config.HF_MODULES_CACHE)"
    theirs = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert theirs.stdout.strip() == expected


def test_every_metric_folder_is_a_space() -> None:
    for name in metric_names():
        folder = resource_folder("metrics") / name
        assert {"app.py", "README.md", "requirements.txt", f"{name}.py"} <= {path.name for path in folder.iterdir()}
