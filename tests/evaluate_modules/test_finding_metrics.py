"""evaluate finds the metrics of this installation by their bare names, at once, whatever its cache and the network
hold."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import evaluate
import pytest

from fac_datasets import load_metric, register_metrics
from fac_datasets.evaluate_modules.registry import metric_names

pytestmark = pytest.mark.slow

LOADS = """
import sys, time
import {first}, {second}
started = time.perf_counter()
metrics = [evaluate.load(name) for name in sys.argv[1:]]
print(time.perf_counter() - started)
print(metrics[0].compute(predictions=[[1]], references=[[1, 2]])["fac"])
print(fac_datasets.load_metric("distinct_n").compute(predictions=["a b"])["n_tokens"])
"""
ORDERS = [("evaluate", "fac_datasets"), ("fac_datasets", "evaluate")]


def loaded(order: tuple[str, str], folder: Path, **variables: str) -> list[str]:
    """What a new process prints that loads all metrics: seconds, a value of `fac`, and words of a text."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HF_HUB_OFFLINE", "HF_EVALUATE_OFFLINE", "HF_MODULES_CACHE")
    }
    program = LOADS.format(first=order[0], second=order[1])
    environment = {**inherited, "HF_HOME": str(folder), **variables}
    command = [sys.executable, "-c", program, "fac", *(name for name in metric_names() if name != "fac")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.alone
@pytest.mark.parametrize("order", ORDERS)
def test_without_a_network_and_without_the_flag_nothing_waits(order: tuple[str, str], tmp_path: Path) -> None:
    # Nothing listens there, so whoever asks is refused, and evaluate would look in its cache.
    seconds, fac, words = loaded(order, tmp_path / "home", HF_ENDPOINT="http://127.0.0.1:9")
    assert (fac, words) == ("0.5", "2")
    assert float(seconds) < 5


@pytest.mark.parametrize("order", ORDERS)
def test_a_home_that_cannot_be_written_is_no_hindrance(order: tuple[str, str], tmp_path: Path) -> None:
    # A file in place of a folder: root may write into every folder.
    (tmp_path / "file").write_text("no folder")
    assert loaded(order, tmp_path / "file" / "home")[1:] == ["0.5", "2"]


def test_a_later_module_in_the_cache_is_not_ours(tmp_path: Path) -> None:
    modules = tmp_path / "home" / "modules" / "evaluate_modules" / "metrics" / "evaluate-metric--fac"
    other = modules / ("0" * 64) / "fac.py"
    other.parent.mkdir(parents=True)
    other.write_text("raise RuntimeError('another version')\n")
    tomorrow = time.time() + 86_400
    os.utime(other, (tomorrow, tomorrow))
    assert loaded(ORDERS[1], tmp_path / "home")[1] == "0.5"


def test_importing_writes_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", "import fac_datasets"], env=environment, check=True)
    assert not (tmp_path / "home").exists()


def test_a_folder_of_that_name_in_the_working_folder_comes_first_but_not_for_load_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fac").mkdir()
    (tmp_path / "fac" / "fac.py").write_text(
        "import evaluate\n\n\nclass Fac(evaluate.Metric):\n"
        "    def _info(self):\n        return evaluate.MetricInfo(description='mine', citation='', features={})\n"
    )
    monkeypatch.chdir(tmp_path)
    assert evaluate.load("fac").description == "mine"
    assert load_metric("fac").description != "mine"


def test_other_names_are_looked_for_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="no_such_metric"):
        evaluate.load("no_such_metric")
    with pytest.raises(FileNotFoundError):
        evaluate.load("fac", module_type="comparison")


def test_registering_again_changes_nothing() -> None:
    from evaluate import loading

    found = loading.evaluation_module_factory
    register_metrics()
    assert loading.evaluation_module_factory is found


def test_several_processes_load_at_once(tmp_path: Path) -> None:
    program = "import fac_datasets, evaluate; evaluate.load('fac')"
    environment = {**os.environ, "HF_HOME": str(tmp_path)}
    processes = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(3)]
    assert [process.wait() for process in processes] == [0] * 3
