"""How long it takes, and how much memory, to merge the coverages of 10,000 shards.

    python -m tests.benchmarks.bench_coverage_merge

makes 10,000 states of 65,536 features with random maxima and counts, one after the other, reads each back from its
file's bytes as a cluster's driver would, and adds it to a running state. Writes `results/coverage_merge.json`.
"""

from __future__ import annotations

import time

import numpy as np

from fac_datasets import FeatureCoverage
from tests.benchmarks.record import write_result
from tests.memory import peak_mb

SHARDS, D_SAE = 10_000, 65_536
SPACE = f"llama@{1:016x}/layer16/chat/sae@{2:016x}/sae/max/>0.5/windows512"


def main() -> None:
    """Merge and measure; the states themselves are made outside the time."""
    generator = np.random.default_rng(0)
    maxima = generator.exponential(size=2 * D_SAE).astype(np.float32)
    counts = generator.integers(0, 100_000, size=2 * D_SAE)
    merged = FeatureCoverage(D_SAE, SPACE, 1.0)
    shard = FeatureCoverage(D_SAE, SPACE, 1.0)
    before = peak_mb()
    seconds, total = 0.0, np.zeros(D_SAE, dtype=np.int64)
    for number in range(SHARDS):
        # Another window of the same random numbers for each shard.
        window = slice(number, number + D_SAE)
        shard.maxima, shard.counts = maxima[window].copy(), counts[window].copy()
        shard.n_rows = 100_000
        content = shard.to_bytes()
        total += shard.counts
        started = time.perf_counter()
        merged.add(FeatureCoverage.from_bytes(content))
        seconds += time.perf_counter() - started
    assert merged.n_rows == SHARDS * 100_000
    assert np.array_equal(merged.counts, total)
    figures = {
        "shards": SHARDS,
        "d_sae": D_SAE,
        "rows": merged.n_rows,
        "seconds": round(seconds, 1),
        "milliseconds_per_shard": round(1e3 * seconds / SHARDS, 3),
        "megabytes_per_shard": round(len(content) / 1e6, 3),
        "memory_growth_mb": round(peak_mb() - before, 1),
    }
    print(figures)
    print(write_result("coverage_merge", figures))


if __name__ == "__main__":
    main()
