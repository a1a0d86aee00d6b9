"""A publication takes memory for some rows at a time, and not for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

ROWS = 60_000
"""Of 1,000 characters each."""

PUBLISH = """
import sys
import datasets
from fac_datasets import augment, publish
from tests.memory import forget_peak, peak_mb
from tests.publishing.conftest import NEW_TEXTS, synthetic_rows

def texts():
    for row in range(int(sys.argv[1])):
        yield {"text": " ".join(f"word{row * place % 9973}" for place in range(1, 101))}

space = "m@%016x/layer1/raw/s@%016x/sae/max/>0/windows512" % (1, 2)
seed = datasets.Dataset.from_generator(texts)
about = {"id": "x", "rows": 1, "tokens": 1, "fingerprint": None, "revision": "", "split": ""}
report = {
    "dataset": about, "anchor": about, "fac": 0.5, "low": 0.4, "high": 0.6, "n_covered": 1, "n_relevant": 2,
    "missing": [1], "covered": [0], "threshold": "q90", "feature_space": space, "version": "0.1.0",
}
augmented = augment(seed, synthetic_rows(NEW_TEXTS, space))
options = {"anchor": seed.select(range(len(seed) // 2)), "license": "mit", "dry_run": True}
publish(augment(seed.select(range(10)), synthetic_rows(NEW_TEXTS, space)), "me/data", report, **options)
forget_peak()
before = peak_mb()
publish(augmented, "me/data", report, **options)
print(seed.data.nbytes / 1e6, peak_mb() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_by_several_times_the_rows(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", PUBLISH, str(ROWS)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment, timeout=600
    )
    assert result.returncode == 0, result.stderr
    size, growth = map(float, result.stdout.split())
    assert size > 50
    # Pages of the rows' own file count while they are read; no copy of all of them comes beside.
    assert growth < 1.6 * size + 10
