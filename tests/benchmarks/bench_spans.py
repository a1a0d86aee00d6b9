"""How long does the feature table take, beside the reference's sorted lists of spans?

    fac-datasets extract TEXTS --threshold 0 --out FOLDER
    python -m tests.benchmarks.bench_spans --features FOLDER

writes `results/spans.json`. Both start from the same texts and feature columns on disk, and end with spans of every
feature. The reference (the span collection of the paper's authors, written anew) decodes 32 tokens up to each peak and
inserts them into a list of the 1,000 strongest of its feature; texts are tokenized outside its time. Beside it stands
a lean variant, which keeps the 48 strongest in a heap and decodes only these at the end. Ours is `feature_table`: 32
spans of 10 tokens, 16 weaker ones and 32 silent ones a feature, firing rates and quantiles.

    ratio_to_heaps = reference seconds / ours, medians of three runs each
"""

from __future__ import annotations

import argparse
import bisect
import heapq
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np

from fac_datasets import feature_table
from fac_datasets.backbone.bundled import embedded_backbone_folder
from fac_datasets.backbone.pretrained import load_tokenizer
from fac_datasets.interpretation.spans import STRONGEST
from tests.benchmarks.record import write_result
from tests.memory import forget_peak, peak_mb

REFERENCE_KEPT, REFERENCE_TOKENS, D_SAE, REPEATS = 1_000, 32, 8_192, 3


class Row(NamedTuple):
    """What the reference has of a text once the model has run."""

    token_ids: list[int]
    features: list[int]
    activations: list[float]
    positions: list[int]
    """Token of each feature's peak."""


def rows(dataset: datasets.Dataset, tokenizer: Any) -> Iterator[Row]:
    """The rows as the reference sees them."""
    for row in dataset.with_format("numpy").iter(batch_size=1):
        found = tokenizer(str(row["text"][0]), add_special_tokens=False, return_offsets_mapping=True)
        ends = np.array([end for _, end in found["offset_mapping"]])
        positions = np.minimum(np.searchsorted(ends, row["feature_ends"][0]), len(ends) - 1)
        yield Row(
            found["input_ids"],
            row["feature_ids"][0].tolist(),
            row["feature_activations"][0].tolist(),
            positions.tolist(),
        )


def reference_heaps(dataset: datasets.Dataset, tokenizer: Any) -> tuple[float, list[list[float]]]:
    """Seconds for the reference's way, and the activations that it kept of each feature, rising."""
    kept: list[list[float]] = [[] for _ in range(D_SAE)]
    spans: list[list[tuple[int, int, float, str]]] = [[] for _ in range(D_SAE)]
    seconds = 0.0
    for number, row in enumerate(rows(dataset, tokenizer)):
        started = time.perf_counter()
        tokens = [row.token_ids[max(0, place - REFERENCE_TOKENS + 1) : place + 1] for place in row.positions]
        texts = tokenizer.batch_decode(tokens) if tokens else []
        for feature, activation, text in zip(row.features, row.activations, texts, strict=True):
            values = kept[feature]
            if len(values) >= REFERENCE_KEPT and activation <= values[0]:
                continue
            if len(values) >= REFERENCE_KEPT:
                values.pop(0)
                spans[feature].pop(0)
            place = bisect.bisect_left(values, activation)
            values.insert(place, activation)
            spans[feature].insert(place, (feature, number, activation, text))
        seconds += time.perf_counter() - started
    return seconds, kept


def lean_heaps(dataset: datasets.Dataset, tokenizer: Any) -> float:
    """Seconds for heaps of as many places as ours keeps, decoded at the end."""
    heaps: list[list[tuple[float, int, list[int]]]] = [[] for _ in range(D_SAE)]
    seconds = 0.0
    for number, row in enumerate(rows(dataset, tokenizer)):
        started = time.perf_counter()
        for feature, activation, place in zip(row.features, row.activations, row.positions, strict=True):
            heap = heaps[feature]
            if len(heap) < STRONGEST:
                tokens = row.token_ids[max(0, place - REFERENCE_TOKENS + 1) : place + 1]
                heapq.heappush(heap, (activation, number, tokens))
            elif activation > heap[0][0]:
                tokens = row.token_ids[max(0, place - REFERENCE_TOKENS + 1) : place + 1]
                heapq.heapreplace(heap, (activation, number, tokens))
        seconds += time.perf_counter() - started
    started = time.perf_counter()
    for heap in heaps:
        if heap:
            tokenizer.batch_decode([tokens for _, _, tokens in heap])
    return seconds + time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", type=Path, required=True, help="folder written by fac-datasets extract")
    parser.add_argument("--rows", type=int, help="only the first rows")
    arguments = parser.parse_args()
    files = sorted(map(str, (arguments.features / "data").glob("*.parquet")))
    dataset = datasets.load_dataset("parquet", data_files=files, split="train")
    dataset = dataset.select(range(min(len(dataset), arguments.rows or len(dataset))))
    tokenizer = load_tokenizer(str(embedded_backbone_folder()))
    ours = []
    forget_peak()
    before = peak_mb()
    for _ in range(REPEATS):
        started = time.perf_counter()
        table = feature_table(dataset)
        ours.append(time.perf_counter() - started)
    memory = peak_mb() - before
    print(f"ours: {ours}", flush=True)
    reference, lean = [], []
    for _ in range(REPEATS):
        taken, kept = reference_heaps(dataset, tokenizer)
        reference.append(taken)
        lean.append(lean_heaps(dataset, tokenizer))
        print(f"reference: {reference[-1]:.1f}, lean: {lean[-1]:.1f}", flush=True)
    strongest = dict(zip(table["feature_id"], table["max_activation"], strict=True))
    assert strongest == {feature: np.float32(values[-1]) for feature, values in enumerate(kept) if values}
    entries = sum(len(ids) for batch in dataset.with_format("numpy").iter(1_000) for ids in batch["feature_ids"])
    seconds = statistics.median(ours)
    figures = {
        "rows": len(dataset),
        "tokens": int(sum(dataset["feature_tokens"])),
        "peaks": entries,
        "feature_space": table[0]["feature_space"],
        "seconds": ours,
        "reference_seconds": reference,
        "lean_seconds": lean,
        "ratio_to_heaps": statistics.median(reference) / seconds,
        "ratio_to_lean_heaps": statistics.median(lean) / seconds,
        "memory_mb": memory,
    }
    print(write_result("spans", figures))
    for name in ("ratio_to_heaps", "ratio_to_lean_heaps", "memory_mb"):
        print(f"{name}: {figures[name]:.1f}")


if __name__ == "__main__":
    main()
