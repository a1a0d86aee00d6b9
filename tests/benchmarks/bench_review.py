"""How fast and with how much memory does a large table go to an Argilla server?

    fac-datasets extract TEXTS --threshold 0 --out FOLDER
    python -m tests.benchmarks.bench_review --features FOLDER

writes `results/review.json`. Needs `make argilla`. The table has all features of the texts, and some of them twice
under other ids, to make 10,000. Server and client share the machine. The server's own rate is that of records made
before, sent 500 at a time by nothing but requests; the two take turns, each into a dataset of its own.

    ratio_to_bare = our records a second / those of bare requests
    memory_growth_mb = the most memory in the last nine tenths of the push - the most in the first tenth
    again_memory_growth_mb = the same of a second push, which changes nothing
    load_average = processes that wanted to run, at the beginning and at the end; what is below 1 at the beginning is a
        machine with nothing else to do

Memory is what a process holds of its own, without pages of files that it has mapped. Both pushes are measured in new
processes, which do nothing but open the table and push it: what another task has left free would hide a growth.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import argilla
import datasets

from fac_datasets import TopTokensExplainer, explain, feature_table, review
from fac_datasets.review.explanations import _form, _records
from fac_datasets.review.records import ReviewDataset
from tests.benchmarks.record import write_result
from tests.servers.argilla.server import API_KEY, ArgillaServer

RECORDS, TURN, REPEATS, LARGEST_BATCH = 10_000, 1_000, 3, 500


def table_of(files: list[str], folder: Path) -> datasets.Dataset:
    """A feature table of as many rows as asked for, on disk."""
    extracted = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder))
    found = explain(feature_table(extracted), TopTokensExplainer())
    beyond = max(found["feature_id"]) + 1
    doubled = found.map(lambda row: {"feature_id": row["feature_id"] + beyond})
    rows = datasets.concatenate_datasets([found, doubled]).select(range(RECORDS))
    rows.to_parquet(folder / "table.parquet")
    return opened(folder)


def opened(folder: Path) -> datasets.Dataset:
    """The table from disk."""
    return datasets.load_dataset(
        "parquet", data_files=str(folder / "table.parquet"), split="train", cache_dir=str(folder)
    )


def bare(client: argilla.Argilla, table: datasets.Dataset, name: str) -> float:
    """Seconds for records that were made before."""
    dataset = ReviewDataset.open(name, client, None, _form(None, 1))
    items = [dataset._item(record, None) for record in _records(table, None, {})]
    path = f"/api/v1/datasets/{dataset.dataset.id}/records/bulk"
    started = time.perf_counter()
    for first in range(0, len(items), LARGEST_BATCH):
        client.http_client.put(path, json={"items": items[first : first + LARGEST_BATCH]}).raise_for_status()
    return time.perf_counter() - started


def ours(client: argilla.Argilla, table: datasets.Dataset, name: str) -> float:
    """Seconds for a push."""
    started = time.perf_counter()
    review.push_explanations(table, name, client=client)
    return time.perf_counter() - started


def measured(url: str, folder: Path, name: str) -> tuple[float, list[float], review.PushReport]:
    """Seconds and the report of a push, and the process's memory in MB, measured at equal distances."""
    client, table = argilla.Argilla(api_url=url, api_key=API_KEY, retries=0), opened(folder)
    memory, ended = [own_mb()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            memory.append(own_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    report = review.push_explanations(table, name, client=client)
    seconds = time.perf_counter() - started
    ended.set()
    watcher.join()
    return seconds, memory, report


def in_new_process(*arguments: Any) -> tuple[float, list[float], review.PushReport]:
    """What `measured` gives in a process that has done nothing before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measured, *arguments).result()


def growth(memory: list[float]) -> float:
    """MB that the last nine tenths needed more than the first."""
    tenth = len(memory) // 10
    return round(max(memory[tenth:]) - max(memory[:tenth]), 1)


def sampled(memory: list[float]) -> list[float]:
    """Eleven or so of the measurements."""
    return [round(megabytes, 1) for megabytes in memory[:: max(1, len(memory) // 10)]]


def own_mb() -> float:
    """Memory of this process in MB, without mapped files."""
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", type=Path, required=True, help="folder written by fac-datasets extract")
    files = sorted(map(str, (parser.parse_args().features / "data").glob("*.parquet")))
    with tempfile.TemporaryDirectory() as folder, ArgillaServer(Path(folder) / "server") as server:
        client = argilla.Argilla(api_url=server.url, api_key=API_KEY, retries=0)
        load = [os.getloadavg()[0]]
        table = table_of(files, Path(folder))
        few = table.select(range(TURN))
        pushes, bares = [], []
        for turn in range(REPEATS):
            bares.append(bare(client, few, f"bare-{turn}"))
            pushes.append(ours(client, few, f"ours-{turn}"))
            print(f"{TURN} records: bare {bares[-1]:.1f} s, ours {pushes[-1]:.1f} s", flush=True)
        seconds, memory, report = in_new_process(server.url, Path(folder), "all")
        assert report.added == RECORDS
        again_seconds, again_memory, report = in_new_process(server.url, Path(folder), "all")
        assert report.unchanged == RECORDS
        started = time.perf_counter()
        review.pull_explanations(table, "all", client=client)
        pull_seconds = time.perf_counter() - started
        load.append(os.getloadavg()[0])
        figures = {
            "load_average": load,
            "records": RECORDS,
            "seconds": seconds,
            "records_per_second": RECORDS / seconds,
            "memory_growth_mb": growth(memory),
            "memory_mb": sampled(memory),
            "again_seconds": again_seconds,
            "again_memory_growth_mb": growth(again_memory),
            "again_memory_mb": sampled(again_memory),
            "pull_seconds": pull_seconds,
            "turn_records": TURN,
            "bare_seconds": bares,
            "ours_seconds": pushes,
            "ratio_to_bare": statistics.median(b / o for b, o in zip(bares, pushes, strict=True)),
        }
    print(write_result("review", figures))
    for name, value in figures.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
