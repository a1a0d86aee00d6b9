"""Torch in worker processes: no thread pool that a fork broke, and no more threads than their share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import multiprocess
import psutil

Result = TypeVar("Result")

_state = threading.local()


def in_sound_thread(task: Callable[[], Result]) -> Result:
    """Run a task that computes with torch, in a worker process too.

    GNU OpenMP keeps threads for every thread that has computed. A fork takes over the record of them but not the
    threads, so that the first parallel loop of a forked process waits for them forever; a new thread starts afresh.
    """
    if not _is_worker() or getattr(_state, "is_sound", False):
        return task()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return _thread_of(os.getpid()).submit(_with_own_share, task).result()


def _is_worker() -> bool:
    return multiprocess.parent_process() is not None or multiprocessing.parent_process() is not None


@lru_cache(maxsize=1)
def _thread_of(_process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def _with_own_share(task: Callable[[], Result]) -> Result:
    import torch

    _state.is_sound = True
    if "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, _usual_threads(os.getpid()) // n_workers())
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
    return task()


@lru_cache(maxsize=1)
def _usual_threads(_process: int) -> int:
    import torch

    return torch.get_num_threads()


def in_ray_actor() -> bool:
    """Whether this process is an actor of Ray."""
    ray = sys.modules.get("ray")
    return bool(ray and ray.is_initialized() and ray.get_runtime_context().get_actor_id())


def n_workers() -> int:
    """Worker processes of this one's parent that have asked so far, this one included."""
    parent = os.getppid()
    # psutil names a user without an entry in passwd, as containers have them, by number; getpass raises.
    folder = Path(tempfile.gettempdir()) / f"fac-datasets-workers-{psutil.Process().username()}"
    folder.mkdir(exist_ok=True)
    (folder / f"{parent}-{os.getpid()}").touch()
    siblings = 0
    for file in folder.iterdir():
        its_parent, _, process = file.name.partition("-")
        if not _is_child(int(process), int(its_parent)):
            file.unlink(missing_ok=True)
        elif int(its_parent) == parent:
            siblings += 1
    return siblings


def _is_child(process: int, parent: int) -> bool:
    try:
        return bool(psutil.Process(process).ppid() == parent)
    except psutil.NoSuchProcess:
        return False
