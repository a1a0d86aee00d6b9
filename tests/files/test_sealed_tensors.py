"""Tensors with a digest come back as they were written, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fac_datasets.errors import OutputError
from fac_datasets.files.sealed_tensors import load_sealed, save_sealed

TENSORS = {
    "weights": torch.arange(12.0).reshape(3, 4),
    "halves": torch.ones(5, dtype=torch.bfloat16),
    "step": torch.tensor(7),
    "nothing": torch.empty(0),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_sealed(tmp_path / "file.safetensors", TENSORS, {"progress": "half"})
    return tmp_path / "file.safetensors"


def test_tensors_and_words_come_back(file: Path) -> None:
    tensors, metadata = load_sealed(file)
    assert metadata == {"progress": "half"}
    assert set(tensors) == set(TENSORS)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_a_changed_number_is_seen(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(OutputError, match="not as it was written"):
        load_sealed(file)


def test_changed_words_are_seen(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"progress":"half"', b'"progress":"full"'))
    with pytest.raises(OutputError, match="not as it was written"):
        load_sealed(file)


def test_a_file_without_a_digest_is_of_an_older_version(file: Path) -> None:
    save_file(load_file(file), file, {"progress": "half"})
    with pytest.raises(OutputError, match="an older version wrote it"):
        load_sealed(file)


@pytest.mark.parametrize("content", [b"", b"half", b"\xff" * 64])
def test_what_is_no_such_file_is_an_error(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(OutputError, match="cannot be read"):
        load_sealed(file)
