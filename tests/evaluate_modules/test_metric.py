"""All ten metrics behave as evaluate's users expect: at once, bit by bit, together, in several processes, offline."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import pytest
import yaml

from fac_datasets import diversity, load_metric
from fac_datasets.errors import ColumnError, DatasetError, RowError
from fac_datasets.evaluate_modules.registry import metric_names
from fac_datasets.files.resources import resource_folder
from tests.tiny import TEXTS

pytestmark = pytest.mark.slow

NAMES = [
    "compression_ratio",
    "distinct_n",
    "fac",
    "near_duplicate_rate",
    "ngram_entropy",
    "novelsum",
    "pair_cosdist",
    "pos_distinct_n",
    "semantic_entropy",
    "vendi_score",
]
OF_VECTORS = ["novelsum", "pair_cosdist", "semantic_entropy", "vendi_score"]
VECTORS = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)


def given(name: str) -> dict[str, Any]:
    """Input that needs no model, for each metric."""
    if name == "fac":
        return {"predictions": [[1, 2], [2], [5], [1]], "references": [[1, 2, 3], [3, 4], [5]]}
    return {"predictions": VECTORS if name in OF_VECTORS else TEXTS}


def options(name: str) -> dict[str, Any]:
    return {"k": 3} if name == "semantic_entropy" else {}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        first[key] == second[key] or math.isclose(first[key], second[key], rel_tol=1e-5) for key in first
    )


def test_the_family_is_complete() -> None:
    assert metric_names() == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fac"])
def test_a_metric_is_its_plain_function(name: str) -> None:
    expected = getattr(diversity, name)(given(name)["predictions"], **options(name))
    assert same(evaluate.load(name).compute(**given(name), **options(name)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_rows_may_come_one_by_one_in_batches_or_at_once(name: str) -> None:
    rows, anchor = given(name)["predictions"], given(name).get("references")
    expected = load_metric(name).compute(predictions=rows, references=anchor, **options(name))
    metric = load_metric(name)
    metric.add(prediction=rows[0])
    metric.add_batch(predictions=rows[1:3])
    metric.add_batch(predictions=rows[3:])
    assert same(metric.compute(references=anchor, **options(name)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_a_dataset_are_rows(name: str) -> None:
    rows, anchor = given(name)["predictions"], given(name).get("references")
    column = datasets.Dataset.from_dict({"rows": list(rows)})["rows"]
    expected = load_metric(name).compute(predictions=rows, references=anchor, **options(name))
    assert same(load_metric(name).compute(predictions=column, references=anchor, **options(name)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_are_an_error(name: str) -> None:
    with pytest.raises(DatasetError, match="needs at least one"):
        load_metric(name).compute(predictions=[], references=[[1]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [5, None, ["a"]])
def test_what_is_no_text_is_an_error_with_its_row(name: str, bad: object) -> None:
    with pytest.raises(RowError, match="row 1 holds"):
        load_metric(name).compute(predictions=["a", bad], references=["a"])


@pytest.mark.parametrize("name", NAMES)
def test_one_text_in_place_of_a_list_is_an_error(name: str) -> None:
    with pytest.raises(ColumnError, match="put it into a list"):
        load_metric(name).compute(predictions="a text", references=["a"])


@pytest.mark.parametrize("name", ["fac", *OF_VECTORS])
def test_a_number_in_place_of_a_row_is_an_error(name: str) -> None:
    with pytest.raises(RowError, match="row 0 of the batch holds int"):
        load_metric(name).add(prediction=5)
    with pytest.raises(RowError, match="row 0 of the batch holds float"):
        load_metric(name).add_batch(predictions=[1.0])


@pytest.mark.parametrize("name", OF_VECTORS)
def test_embeddings_of_different_lengths_are_an_error(name: str) -> None:
    with pytest.raises(RowError, match="row 1 has an embedding of length 2, row 0 one of 1"):
        load_metric(name).compute(predictions=[[1.0], [1.0, 2.0]], **({"k": 1} if name == "semantic_entropy" else {}))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fac"])
def test_every_result_counts_rows(name: str) -> None:
    values = load_metric(name).compute(**given(name), **options(name))
    assert values["n_rows"] == len(given(name)["predictions"])
    assert "n_tokens" in values


@pytest.mark.embedded
def test_metrics_of_texts_combine_with_fac() -> None:
    family = evaluate.combine(["fac", "distinct_n", "pair_cosdist"])
    values = family.compute(predictions=TEXTS[:3], references=TEXTS)
    assert 0 < values["fac"] < 1
    assert values["distinct_2"] == diversity.distinct_n(TEXTS[:3])["distinct_2"]
    assert values["fac_n_rows"] == values["pair_cosdist_n_rows"] == 3


def test_an_anchor_of_another_length_is_accepted_and_ignored() -> None:
    texts = evaluate.combine(["distinct_n", "compression_ratio", "near_duplicate_rate"])
    values = texts.compute(predictions=TEXTS, references=["another number of rows"])
    assert values["distinct_2"] == diversity.distinct_n(TEXTS)["distinct_2"]
    assert values["compression_ratio_n_rows"] == len(TEXTS)


DISTRIBUTED = """
import json, sys
import evaluate, fac_datasets
from tests.evaluate_modules.test_metric import given, options

process, cache = int(sys.argv[1]), sys.argv[2]
for name in sys.argv[3:]:
    metric = evaluate.load(name, num_process=2, process_id=process, experiment_id="together", cache_dir=cache)
    rows = given(name)["predictions"]
    half = len(rows) // 2
    metric.add_batch(predictions=rows[half:] if process else rows[:half])
    print(json.dumps(metric.compute(references=given(name).get("references"), **options(name))))
"""


def test_two_processes_measure_together(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DISTRIBUTED, str(process), str(tmp_path), *NAMES], stdout=subprocess.PIPE, text=True
        )
        for process in range(2)
    ]
    first, second = (process.communicate(timeout=300)[0].splitlines() for process in processes)
    assert second == ["null"] * len(NAMES)
    for name, line in zip(NAMES, first, strict=True):
        assert same(json.loads(line), load_metric(name).compute(**given(name), **options(name))), name


OFFLINE = """
import socket, sys, time
touched = []
def refuse(*given, **_):
    touched.append(given)
    raise OSError("there is no network")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
if sys.argv[1] == "evaluate first":
    import evaluate, fac_datasets
else:
    import fac_datasets, evaluate
for name in sys.argv[2:]:
    started = time.perf_counter()
    evaluate.load(name)
    print(name, time.perf_counter() - started)
assert not touched
"""


@pytest.mark.alone
@pytest.mark.parametrize("order", ["evaluate first", "fac_datasets first"])
def test_all_load_by_bare_name_without_a_network_in_well_under_a_second(order: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    for name in ("HF_MODULES_CACHE", "HF_EVALUATE_OFFLINE"):
        environment.pop(name, None)
    command = [sys.executable, "-c", OFFLINE, order, *NAMES]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    seconds = {line.split()[0]: float(line.split()[1]) for line in output.splitlines()}
    assert list(seconds) == NAMES
    # The first one loads what all share.
    assert max(list(seconds.values())[1:]) < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_every_folder_is_a_space_that_says_what_it_measures(name: str) -> None:
    folder = resource_folder("metrics") / name
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    held = yaml.safe_load(header)
    assert held["sdk"] == "gradio"
    assert set(held["tags"]) == {"evaluate", "metric"}
    assert all(f"## {part}" in text for part in ("Description", "How to use", "Limits", "Citation"))
    extra = "" if name == "fac" else "[metrics]"
    assert (folder / "requirements.txt").read_text().startswith(f"fac-datasets{extra}==")
    described = load_metric(name)
    assert described.description.strip()
    assert described.citation.strip().startswith("@")
    assert "predictions" in described.inputs_description
