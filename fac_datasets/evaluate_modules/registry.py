"""Makes `evaluate.load("fac")` work without a network, and loads the metrics by name.

evaluate looks for a module it cannot reach on the Hub in its cache of modules. The metrics are written there the way
evaluate itself does: `evaluate_modules/metrics/evaluate-metric--NAME/HASH/NAME.py`, where the newest file wins.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from fac_datasets.files.atomic import write_atomically
from fac_datasets.files.resources import resource_folder

if TYPE_CHECKING:
    from evaluate import EvaluationModule


def metric_names() -> list[str]:
    """Names of the metrics that ship with this package."""
    return sorted(
        script.stem for script in resource_folder("metrics").glob("*/*.py") if script.stem == script.parent.name
    )


def load_metric(name: str) -> EvaluationModule:
    """Load a metric from this installation, whatever the caches hold.

    Raises:
        ValueError: there is no such metric.

    Example:
        >>> load_metric("fac").compute(predictions=[[1]], references=[[1, 2]])["fac"]
        0.5
    """
    import evaluate

    if name not in metric_names():
        raise ValueError(f"there is no metric {name!r}; there are {metric_names()}")
    return evaluate.load(str(resource_folder("metrics") / name))


def register_metrics() -> None:
    """Write the metrics into evaluate's module cache, where they are missing or outdated.

    Runs when `fac_datasets` is imported. Several processes may do it at once. Where the cache cannot be written, one
    warning says so and `load_metric` still works. Under `HF_HUB_OFFLINE` evaluate is told to stay offline too.
    """
    _stay_offline()
    modules = modules_cache() / "evaluate_modules"
    try:
        for name in metric_names():
            _register(resource_folder("metrics") / name / f"{name}.py", modules)
    except OSError as error:
        warnings.warn(
            f"evaluate.load cannot find the metrics of fac-datasets, because {modules} cannot be written ({error}); "
            f"use fac_datasets.load_metric instead, or set HF_MODULES_CACHE",
            stacklevel=2,
        )


def modules_cache() -> Path:
    """Where evaluate keeps modules, read from the environment as evaluate reads it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or str(Path(cache) / "huggingface")
    return Path(os.environ.get("HF_MODULES_CACHE") or Path(home) / "modules").expanduser()


def _stay_offline() -> None:
    """Pass `HF_HUB_OFFLINE` on: evaluate knows it under a name of its own only, and tries the Hub before its cache."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if offline and "HF_EVALUATE_OFFLINE" not in os.environ:
        os.environ["HF_EVALUATE_OFFLINE"] = "1"
        if "evaluate.config" in sys.modules:
            vars(sys.modules["evaluate.config"])["HF_EVALUATE_OFFLINE"] = True


def _register(script: Path, modules: Path) -> None:
    content = script.read_bytes()
    versions = modules / "metrics" / f"evaluate-metric--{script.stem}"
    ours = versions / hashlib.sha256(content).hexdigest() / script.name
    if ours.exists() and ours.read_bytes() == content:
        others = [version for version in versions.glob(f"*/{script.name}") if version != ours]
        if all(version.stat().st_mtime <= ours.stat().st_mtime for version in others):
            return
    for package in (modules, modules / "metrics", versions, ours.parent):
        package.mkdir(parents=True, exist_ok=True)
        if not (package / "__init__.py").exists():
            write_atomically(package / "__init__.py", b"")
    write_atomically(ours, content)
