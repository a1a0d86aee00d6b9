"""Result files: figures with the machine, commit, date, command and versions that they were measured with."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_datasets.files.atomic import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("fac-datasets", "torch", "transformers", "datasets", "numpy", "pyarrow")


def write_result(name: str, figures: dict[str, Any]) -> Path:
    """Write `results/NAME.json`."""
    path = RESULTS / f"{name}.json"
    record = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "command": " ".join(["python -m tests.benchmarks." + Path(sys.argv[0]).stem, *map(_said, sys.argv[1:])]),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        **figures,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path


def landed(path: Path, make: Callable[[], Any]) -> Any:
    """What a unit of a study found, read where it has landed, else made and kept there as JSON."""
    if not path.exists():
        write_atomically(path, json.dumps(make()).encode())
    return json.loads(path.read_text())


def interval(value: float, drawn: NDArray[np.float64]) -> dict[str, float]:
    """A figure with the 95 % percentile interval of its bootstraps."""
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"value": float(value), "low": float(low), "high": float(high)}


def machine() -> dict[str, Any]:
    """Processor, cores, memory and GPU of this machine."""
    import torch

    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _said(argument: str) -> str:
    """An argument of the command; of a folder somewhere on this machine only its name."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return result.stdout.strip()
