"""`evaluate.load("fac")` works by its bare name and offline, and the registration harms nothing."""

from __future__ import annotations

import evaluate
import pytest

from fac_datasets import load_metric
from fac_datasets.coverage.interval import ONE_ROW
from fac_datasets.evaluate_modules.registry import metric_names
from fac_datasets.files.resources import resource_folder

KEYS = {
    *("fac", "low", "high", "of_anchor", "of_relevant", "of_missing"),
    *("n_covered", "n_relevant", "missing", "names", "n_rows", "n_tokens"),
}


def test_the_bare_name_loads() -> None:
    result = evaluate.load("fac").compute(predictions=[[1, 2], [2]], references=[[1, 2, 3], [3, 4], []])
    assert set(result) == KEYS
    assert (result["fac"], result["n_covered"], result["n_relevant"]) == (0.5, 2, 4)
    assert result["missing"] == [3, 4]


def test_a_single_row_has_no_interval_but_a_reason() -> None:
    result = evaluate.load("fac").compute(predictions=[[1, 1]], references=[[1, 2]])
    assert (result["fac"], result["low"], result["high"], result["no_interval"]) == (0.5, None, None, ONE_ROW)


def test_the_folder_in_a_checkout_loads() -> None:
    metric = evaluate.load(str(resource_folder("metrics") / "fac"))
    assert metric.compute(predictions=[[1]], references=[[1]])["fac"] == 1


def test_load_metric_gives_this_installation_s_own() -> None:
    assert load_metric("fac").compute(predictions=[[1]], references=[[1, 2]])["fac"] == 0.5
    with pytest.raises(ValueError, match="no metric 'fca'"):
        load_metric("fca")


def test_every_metric_folder_is_a_space() -> None:
    for name in metric_names():
        folder = resource_folder("metrics") / name
        assert {"app.py", "README.md", "requirements.txt", f"{name}.py"} <= {path.name for path in folder.iterdir()}
