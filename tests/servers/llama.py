"""llama.cpp's server with a model, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_RUNNING: list[Any] = []
"""A server stops when nothing refers to it any more."""


def serve(gguf: Path, name: str) -> str:
    """Start a server that serves a model under a name until this process ends; its address.

    Its threads wait for each other busily, so that more of them than free cores are slower than one: OMP_NUM_THREADS
    says how many, as for everything else in this process.
    """
    import torch
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.model_alias = {name}
    parameters.n_ctx = 4 * 2048
    parameters.n_parallel = 4
    parameters.cpuparams.n_threads = torch.get_num_threads()
    parameters.port = 0
    parameters.verbosity = -1
    server = xllamacpp.Server(parameters)
    _RUNNING.append(server)
    return str(server.listening_address)
