"""Own tokens per second of the extractor, beside the limit of the machine, a first attempt, and the reference's way.

    python -m tests.benchmarks.bench_extraction

runs all four on the same 400 texts in one process, interleaved, several times over, and takes medians; then lets the
extractor alone pass 1,000 and 30,000 rows of the tiny model of the tests, to see whether time and memory grow. Writes
`results/extraction.json`. The texts are instructions with their input, see `texts`.
"""

from __future__ import annotations

import argparse
import heapq
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from datasets.arrow_writer import ArrowWriter
from transformers import AutoModelForCausalLM

from fac_datasets import FeatureExtractor
from fac_datasets.backbone.pretrained import load_model
from fac_datasets.backbone.windows import Window
from fac_datasets.rows.tables import with_columns
from tests.benchmarks.data import SEED_TASKS, USER_INSTRUCTIONS
from tests.benchmarks.record import write_result
from tests.memory import peak_mb
from tests.tiny import TEXTS, make_tiny_backbone, make_tiny_sae

N_TEXTS, REPEATS = 400, 3
SMALL, LARGE = 1_000, 30_000
PACKED = 128
"""Tokens of a row of the packed batches."""


def texts() -> list[str]:
    """The 252 user-oriented and the first 148 seed instructions of self-instruct, each with its first input."""
    rows = [*USER_INSTRUCTIONS.rows(), *SEED_TASKS.rows()][:N_TEXTS]
    parts = ([row["instruction"], row["instances"][0]["input"]] for row in rows)
    return ["\n\n".join(part for part in of_row if part) for of_row in parts]


class Ways:
    """Four ways to the same features, of texts that are rendered once for all of them."""

    def __init__(self, rows: list[str], dtype: str) -> None:
        self.rows = rows
        self.extractor = FeatureExtractor(dtype=dtype)
        self.windows: list[Window] = self.extractor.windows(rows)
        self.n_own = sum(int(window.own.sum()) for window in self.windows)
        path = self.extractor.backbone.info.path
        self.whole = load_model(AutoModelForCausalLM, path, dtype)
        self.cut, self.sae = self.extractor.backbone.model, self.extractor.sae
        self.layer = self.extractor.backbone.layer

    def ours(self) -> None:
        """(1) The extractor, spans and all, with rendering, tokenizing and columns."""
        self.extractor({"text": self.rows})

    @torch.inference_mode()
    def limit(self) -> None:
        """(2) The own tokens alone through the cut model, without any padding, and one product with the encoder."""
        own = np.concatenate([window.token_ids[window.own] for window in self.windows])
        packed = torch.from_numpy(np.resize(own, (-(-len(own) // PACKED), PACKED)))
        for start in range(0, len(packed), 32):
            residual = self.cut(input_ids=packed[start : start + 32], use_cache=False).last_hidden_state
            self.sae.pre_activations(residual.flatten(0, 1).float())

    @torch.inference_mode()
    def naive(self) -> None:
        """(3) What one writes first: the whole model, all hidden states, padded batches, dense activations, maximum."""
        tokenizer = self.extractor.backbone.tokenizer
        for start in range(0, len(self.rows), 8):
            chats = [[{"role": "user", "content": row}] for row in self.rows[start : start + 8]]
            rendered = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
            inputs = tokenizer(rendered, padding=True, return_tensors="pt", add_special_tokens=False)
            hidden = self.whole(**inputs, output_hidden_states=True).hidden_states[self.layer].float()
            activations = self.sae.encode(hidden) * inputs["attention_mask"][..., None]
            activations.amax(dim=1)

    @torch.inference_mode()
    def reference(self) -> None:
        """(4) The reference's way: a text at a time, cut, dense, a decoded span and a heap for each active feature."""
        tokenizer = self.extractor.backbone.tokenizer
        heaps: dict[int, list[tuple[float, int, str]]] = {}
        for number, window in enumerate(self.windows):
            token_ids = torch.from_numpy(window.token_ids)
            residual = self.cut(input_ids=token_ids[None], use_cache=False).last_hidden_state[0].float()
            values, places = self.sae.encode(residual[torch.from_numpy(window.own)]).max(dim=0)
            own = token_ids[torch.from_numpy(window.own)]
            for feature in values.nonzero()[:, 0].tolist():
                place = int(places[feature])
                span = tokenizer.decode(own[max(0, place - 31) : place + 1])
                heap = heaps.setdefault(feature, [])
                entry = (float(values[feature]), number, span)
                if len(heap) < 1000:
                    heapq.heappush(heap, entry)
                else:
                    heapq.heappushpop(heap, entry)


def own_tokens_per_second(
    dtype: str, rows: list[str], repeats: int, names: Sequence[str] = ("ours", "limit", "naive", "reference")
) -> dict[str, Any]:
    """Medians and every repeat of each way, in own tokens per second."""
    ways = Ways(rows, dtype)
    steps: dict[str, Callable[[], None]] = {name: getattr(ways, name) for name in names}
    measured: dict[str, list[float]] = {name: [] for name in steps}
    # The first round warms up and is not counted.
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            speed = ways.n_own / (time.perf_counter() - started)
            print(f"{dtype}, round {repeat}, {name}: {speed:.0f} own tokens/s", flush=True)
            if repeat:
                measured[name].append(speed)
    speeds = {name: statistics.median(values) for name, values in measured.items()}
    # The ratio of two ways is taken within each round, since a machine's speed drifts.
    ratios = {
        f"ratio_to_{name}": statistics.median(
            ours / other for ours, other in zip(measured["ours"], measured[name], strict=True)
        )
        for name in names
        if name != "ours"
    }
    lengths = [int(window.own.sum()) for window in ways.windows]
    columns = ways.extractor({"text": rows})
    return {
        **ratios,
        "own_tokens_per_second": speeds,
        "repeats": measured,
        "arrow_seconds": arrow_seconds(columns),
        "parquet_bytes_per_own_token": parquet_bytes(columns) / ways.n_own,
        "own_tokens": ways.n_own,
        "own_tokens_quartiles": np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1]).tolist(),
    }


def arrow_seconds(columns: dict[str, Any], repeats: int = 10) -> dict[str, float]:
    """Medians of the seconds in which feature columns turn into Arrow, and in which they are read from there.

    `map` turns them with its own writer, or takes a table where the dataset has the format `"arrow"`.
    """
    rows = datasets.Dataset.from_dict(columns)
    table = pa.table({"row": range(len(rows))})

    def writing() -> None:
        writer = ArrowWriter(stream=pa.BufferOutputStream())
        writer.write_batch(columns)
        writer.finalize()

    steps: dict[str, Callable[[], Any]] = {
        "converting": writing,
        "converting_in_arrow_format": lambda: with_columns(table, columns, rows.features),
        "reading": lambda: rows.with_format("numpy")[:],
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def parquet_bytes(columns: dict[str, Any]) -> int:
    """Size of feature columns as parquet."""
    content = io.BytesIO()
    datasets.Dataset.from_dict(columns).to_parquet(content)
    return content.tell()


def pass_tiny_rows(n_rows: int) -> dict[str, float]:
    """Map rows with the tiny model in this process: seconds a row, and the most memory taken, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        backbone, sae = make_tiny_backbone(Path(folder) / "backbone"), Path(folder) / "sae"
        make_tiny_sae(backbone, sae)
        extractor = FeatureExtractor(str(backbone), str(sae))
        rows = datasets.Dataset.from_generator(tiny_rows, gen_kwargs={"n_rows": n_rows}, cache_dir=f"{folder}/cache")
        rows.select(range(SMALL)).map(extractor, batched=True, cache_file_name=f"{folder}/first.arrow")
        # As many rows in all for every size, so that each bears its share of Python's garbage collections.
        repeats = 2 * LARGE // n_rows
        started = time.perf_counter()
        for repeat in range(repeats):
            rows.map(extractor, batched=True, cache_file_name=f"{folder}/{repeat}.arrow")
        seconds = time.perf_counter() - started
    return {"seconds_per_row": seconds / repeats / n_rows, "peak_mb": peak_mb()}


def tiny_rows(n_rows: int) -> Iterator[dict[str, str]]:
    """Rows of the tests' texts, none equal to another and none longer for its number."""
    for number in range(n_rows):
        yield {"text": f"{number:05d} {TEXTS[number % len(TEXTS)]}"}


def growth(repeats: int) -> dict[str, Any]:
    """Time a row and memory, from few rows to many, each in a process of its own, in turns."""
    runs: dict[int, list[dict[str, float]]] = {SMALL: [], LARGE: []}
    for _ in range(repeats):
        for n_rows, measured in runs.items():
            command = [sys.executable, "-m", "tests.benchmarks.bench_extraction", "--tiny-rows", str(n_rows)]
            result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            measured.append(json.loads(result.stdout))
            print(f"{n_rows} tiny rows: {measured[-1]}", flush=True)
    pairs = list(zip(runs[SMALL], runs[LARGE], strict=True))
    return {
        "row_time_growth": statistics.median(b["seconds_per_row"] / a["seconds_per_row"] - 1 for a, b in pairs),
        "memory_growth_mb": statistics.median(b["peak_mb"] - a["peak_mb"] for a, b in pairs),
        "tiny_rows": runs,
    }


def main() -> None:
    """Measure everything, or with `--tiny-rows` one part of the growth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--tiny-rows", type=int)
    arguments = parser.parse_args()
    if arguments.tiny_rows:
        print(json.dumps(pass_tiny_rows(arguments.tiny_rows)))
        return
    rows = texts()
    figures = {
        **own_tokens_per_second("float32", rows, arguments.repeats),
        **growth(arguments.repeats),
        "in_bfloat16": own_tokens_per_second("bfloat16", rows, arguments.repeats, ("ours", "limit")),
        "texts": f"{N_TEXTS} of {USER_INSTRUCTIONS.origin} and {SEED_TASKS.origin}",
        "sha256": [USER_INSTRUCTIONS.sha256, SEED_TASKS.sha256],
        "threads": torch.get_num_threads(),
    }
    print(write_result("extraction", figures))


if __name__ == "__main__":
    main()
