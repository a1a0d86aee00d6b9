"""Digests of files, and of the tensors in them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fac_datasets.errors import BackboneError
from fac_datasets.files.atomic import cache_folder, write_atomically


def remembered_digest(files: Sequence[Path], digest_of: Callable[[Sequence[Path]], str]) -> str:
    """A digest of files, remembered while their sizes and times are unchanged."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:32]
    remembered = cache_folder("digests") / key
    if remembered.exists():
        return remembered.read_text()
    digest = digest_of(files)
    write_atomically(remembered, digest.encode())
    return digest


def tensors_digest(files: Sequence[Path]) -> str:
    """sha256 over the tensors of safetensors files by name, whatever their sharding and metadata."""
    headers: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for file in files:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
        header.pop("__metadata__", None)
        headers.update({name: (file, 8 + size, entry) for name, entry in header.items()})
    digest = hashlib.sha256()
    for name in sorted(headers):
        file, base, entry = headers[name]
        begin, end = entry["data_offsets"]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        with file.open("rb") as stream:
            stream.seek(base + begin, os.SEEK_SET)
            remaining = end - begin
            while remaining:
                block = stream.read(min(remaining, 1 << 24))
                if not block:
                    raise BackboneError(f"{file.name} ends inside tensor {name!r}; download it again")
                digest.update(block)
                remaining -= len(block)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
