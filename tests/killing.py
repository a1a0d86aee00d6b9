"""Processes that are killed at a moment of their work; they start quickly, from one that has everything imported."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "fac_datasets.pipeline",
        "fac_datasets.generation.local",
        *("accelerate", "matplotlib.pyplot", "sentence_transformers", "sklearn.metrics", "spacy", "torch._dynamo"),
        "transformers.models.llama.modeling_llama",
    ]
)


def is_killed(do: Callable[..., Any], *arguments: Any, when: Callable[[], bool], after: float = 0.0) -> bool:
    """Start a process and kill it so many seconds after a moment; whether it was still at work then."""
    process = _CONTEXT.Process(target=do, args=arguments)
    process.start()
    while process.is_alive() and not when():
        time.sleep(0.001)
    process.join(after)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"exit code {process.exitcode}"
    return process.exitcode == -signal.SIGKILL
