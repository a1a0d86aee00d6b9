"""How long it takes to choose rows that cover features, and how much memory, beside greedy in plain Python.

    python -m tests.benchmarks.bench_select

Rows activate about 60 of 65,536 features, common ones many times as often as rare ones. Chosen are 1,000 rows, with the
dataset as its own anchor. Each way and size runs in a process of its own on a memory-mapped file of feature columns;
times are those of the processor in one thread, since other processes may run beside, and are the median of several
runs. A stream gives 10,000,000 rows, made anew each time they are read. Writes `results/select.json`:

- `ratio_to_naive`: seconds of greedy in Python over ours, at 20,000 rows;
- `growth`: seconds at 1,000,000 rows over those at 125,000, over the ratio of n log n;
- `peak_gb`: most memory at 1,000,000 rows beyond what the process held before; `columns_gb` is the size of the columns.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter

from tests.benchmarks.record import write_result
from tests.memory import forget_peak, peak_mb

D_SAE, FEATURES_A_ROW = 65_536, 60
SPACE = f"m@{1:016x}/layer1/chat/s@{2:016x}/sae/max/>0.5/windows512"
THRESHOLD = 1.0
SIZE = 1_000
NAIVE_ROWS, SMALL_ROWS, LARGE_ROWS, STREAM_ROWS = 20_000, 125_000, 1_000_000, 10_000_000
BATCH = 10_000
REPEATS = 3

FEATURES = datasets.Features(
    {
        "feature_ids": datasets.List(datasets.Value("int32")),
        "feature_activations": datasets.List(datasets.Value("float32")),
        "feature_space": datasets.Value("string"),
    }
)


def batch_of(number: int, features_a_row: int) -> pa.Table:
    """Feature columns of 10,000 rows, the same each time."""
    generator = np.random.default_rng(number)
    # One feature of each of many ranges of ids, or none, so that the ids of a row rise without being sorted.
    n_ranges = features_a_row * 4 // 3
    width = D_SAE // n_ranges
    in_range = (width * generator.random((BATCH, n_ranges)) ** 3).astype(np.int32)
    is_there = generator.random((BATCH, n_ranges), dtype=np.float32) < features_a_row / n_ranges
    ids = (in_range + width * np.arange(n_ranges, dtype=np.int32))[is_there]
    values = THRESHOLD + generator.standard_exponential(len(ids), dtype=np.float32)
    offsets = np.concatenate([[0], is_there.sum(1).cumsum()]).astype(np.int32)
    columns = [pa.ListArray.from_arrays(offsets, pa.array(part)) for part in (ids, values)]
    return pa.table([*columns, pa.array([SPACE] * BATCH)], schema=FEATURES.arrow_schema)


def dataset_of(n_rows: int, folder: Path) -> datasets.Dataset:
    """A dataset in a memory-mapped file."""
    path = folder / f"{n_rows}.arrow"
    if not path.exists():
        with ArrowWriter(path=str(path), features=FEATURES) as writer:
            for number in range(math.ceil(n_rows / BATCH)):
                writer.write_table(batch_of(number, FEATURES_A_ROW).slice(0, n_rows - number * BATCH))
            writer.finalize()
    return datasets.Dataset.from_file(str(path))


def batches(n_rows: int, features_a_row: int) -> Iterator[tuple[int, pa.Table]]:
    """What a stream reads."""
    for number in range(n_rows // BATCH):
        yield number, batch_of(number, features_a_row)


def stream_of(n_rows: int, features_a_row: int) -> datasets.IterableDataset:
    """The same rows as they pass."""
    from datasets.iterable_dataset import ArrowExamplesIterable

    rows = ArrowExamplesIterable(batches, {"n_rows": n_rows, "features_a_row": features_a_row})
    return datasets.IterableDataset(rows, info=datasets.DatasetInfo(features=FEATURES))


def ours(dataset: Any) -> list[int]:
    from fac_datasets import select_covering_subset

    return list(select_covering_subset(dataset, threshold=THRESHOLD, size=SIZE))


def naive(dataset: datasets.Dataset) -> list[int]:
    """Greedy with Python's sets, which looks at every row each time."""
    rows: list[set[int]] = []
    for batch in dataset.with_format("arrow").iter(batch_size=BATCH):
        pairs = zip(batch["feature_ids"].to_pylist(), batch["feature_activations"].to_pylist(), strict=True)
        rows += [{i for i, value in zip(ids, values, strict=True) if value > THRESHOLD} for ids, values in pairs]
    missing = set().union(*rows)
    chosen: list[int] = []
    while len(chosen) < SIZE and missing:
        gains = [len(row & missing) for row in rows]
        best = max(range(len(rows)), key=gains.__getitem__)
        if not gains[best]:
            break
        chosen.append(best)
        missing -= rows[best]
    return chosen


def run_one(way: str, n_rows: int, folder: Path, features_a_row: int) -> dict[str, Any]:
    """Seconds, memory and rows of one way, in this process alone."""
    rows: Any = stream_of(n_rows, features_a_row) if way == "stream" else dataset_of(n_rows, folder)
    function = naive if way == "naive" else ours
    # What is loaded on first use takes neither time nor memory of a choice.
    ours(dataset_of(BATCH, folder))
    forget_peak()
    before, seconds, chosen = peak_mb(), [], []
    for _ in range(REPEATS if way == "ours" else 1):
        started = time.process_time()
        chosen = function(rows)
        seconds.append(time.process_time() - started)
    found = {"seconds": statistics.median(seconds), "memory_mb": peak_mb() - before, "peak_mb": peak_mb()}
    if way != "stream":
        found["columns_mb"] = rows.data.nbytes / 1e6
    return {**found, "chosen": chosen}


def main() -> None:
    """Run every way at every size in a process of its own; with `--one`, be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "ROWS", "FOLDER"))
    parser.add_argument("--stream-features", type=int, default=FEATURES_A_ROW, help="features of a row of the stream")
    options = parser.parse_args()
    if options.one:
        way, n_rows, folder = options.one
        print(json.dumps(run_one(way, int(n_rows), Path(folder), options.stream_features)))
        return
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for n_rows in (BATCH, NAIVE_ROWS, SMALL_ROWS, LARGE_ROWS):
            dataset_of(n_rows, Path(scratch))
        for way, n_rows in (
            ("ours", NAIVE_ROWS),
            ("naive", NAIVE_ROWS),
            ("ours", SMALL_ROWS),
            ("ours", LARGE_ROWS),
            ("stream", STREAM_ROWS),
        ):
            command = [sys.executable, "-m", "tests.benchmarks.bench_select", "--one", way, str(n_rows), scratch]
            command += ["--stream-features", str(options.stream_features)]
            result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs[f"{way}_{n_rows}"] = json.loads(result.stdout)
            print(way, n_rows, {**runs[f"{way}_{n_rows}"], "chosen": "..."}, flush=True)
    small, by_python = runs[f"ours_{NAIVE_ROWS}"], runs[f"naive_{NAIVE_ROWS}"]
    if small["chosen"] != by_python["chosen"]:
        raise ValueError("ours and greedy in Python choose different rows")
    for run in runs.values():
        run["n_chosen"] = len(run.pop("chosen"))
    large = runs[f"ours_{LARGE_ROWS}"]
    n_log_n = LARGE_ROWS * math.log(LARGE_ROWS) / (SMALL_ROWS * math.log(SMALL_ROWS))
    figures = {
        "ratio_to_naive": by_python["seconds"] / small["seconds"],
        "growth": large["seconds"] / runs[f"ours_{SMALL_ROWS}"]["seconds"] / n_log_n,
        "peak_gb": large["memory_mb"] / 1e3,
        "columns_gb": large["columns_mb"] / 1e3,
        "stream_peak_gb": runs[f"stream_{STREAM_ROWS}"]["peak_mb"] / 1e3,
        "stream_features_a_row": options.stream_features,
        "runs": runs,
    }
    print(write_result("select", figures))


if __name__ == "__main__":
    main()
