"""Makes `evaluate.load("fac")` find the metrics of this installation, and loads them by name.

By a bare name evaluate asks the Hub first, which takes half a minute where nothing answers, and then takes the latest
module of that name in its cache, whoever wrote it. So for the names of these metrics, and for them only, it is given
their scripts, as if their path had been typed. Nothing is written before one is loaded.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, wraps
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fac_datasets.files.resources import resource_folder

if TYPE_CHECKING:
    from evaluate import EvaluationModule

_LOADING = "evaluate.loading"
"""The module of evaluate that looks for metrics."""


@cache
def metric_names() -> list[str]:
    """Names of the metrics that ship with this package."""
    return sorted(
        script.stem for script in resource_folder("metrics").glob("*/*.py") if script.stem == script.parent.name
    )


def load_metric(name: str) -> EvaluationModule:
    """Load a metric from this installation, whatever the working folder and the caches hold.

    Raises:
        ValueError: there is no such metric.

    Example:
        >>> load_metric("fac").compute(predictions=[[1]], references=[[1, 2]])["fac"]
        0.5
    """
    import evaluate

    if name not in metric_names():
        raise ValueError(f"there is no metric {name!r}; there are {metric_names()}")
    return evaluate.load(_folder(name))


def register_metrics() -> None:
    """Let evaluate find the metrics by their bare names before it looks anywhere else.

    Runs when `fac_datasets` is imported, before or after evaluate, which is not imported for it. A folder of such a
    name in the working folder still comes first, and a `revision` is still looked for on the Hub. Under
    `HF_HUB_OFFLINE` evaluate is told to stay offline too.
    """
    _stay_offline()
    if _LOADING in sys.modules:
        _find_ours_first(sys.modules[_LOADING])
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


class _WhenImported(importlib.abc.MetaPathFinder):
    """Sees evaluate being imported, and changes it once it is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _LOADING:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _find_ours_first(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _find_ours_first(loading: ModuleType) -> None:
    find: Callable[..., Any] = loading.evaluation_module_factory
    if hasattr(find, "__wrapped__"):
        return

    @wraps(find)
    def find_ours_first(path: str, module_type: str | None = None, revision: Any = None, **options: Any) -> Any:
        is_name = path in metric_names() and module_type in (None, "metric") and revision is None
        if is_name and not Path(path, f"{path}.py").is_file():
            path = _folder(path)
        if Path(path).parent == resource_folder("metrics"):
            options.setdefault("dynamic_modules_path", _modules_folder(loading))
        return find(path, module_type=module_type, revision=revision, **options)

    vars(loading)["evaluation_module_factory"] = find_ours_first


def _folder(name: str) -> str:
    return str(resource_folder("metrics") / name)


@cache
def _modules_folder(loading: ModuleType) -> str:
    """Where evaluate copies scripts to; where its cache cannot be written, a folder for this process."""
    try:
        return str(loading.init_dynamic_modules())
    except OSError:
        folder = tempfile.mkdtemp(prefix="fac-datasets-modules-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return str(loading.init_dynamic_modules(hf_modules_cache=folder))


def _stay_offline() -> None:
    """Pass `HF_HUB_OFFLINE` on: evaluate knows it under a name of its own only."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if offline and "HF_EVALUATE_OFFLINE" not in os.environ:
        os.environ["HF_EVALUATE_OFFLINE"] = "1"
        if "evaluate.config" in sys.modules:
            vars(sys.modules["evaluate.config"])["HF_EVALUATE_OFFLINE"] = True
