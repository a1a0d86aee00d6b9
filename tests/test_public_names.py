"""Importing is quick, and every public name is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fac_datasets


@pytest.mark.alone
def test_importing_is_quick_and_loads_neither_torch_nor_evaluate() -> None:
    program = (
        "import sys, time; start = time.perf_counter(); import fac_datasets; "
        "print(time.perf_counter() - start, [m for m in ('torch', 'evaluate', 'datasets') if m in sys.modules])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split(" ", 1)
        for _ in range(3)
    ]
    assert min(float(seconds) for seconds, _ in runs) < 0.3
    assert runs[0][1].strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in fac_datasets.__all__:
        assert getattr(fac_datasets, name) is not None
    assert callable(fac_datasets.coverage)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fac_datasets.nothing
