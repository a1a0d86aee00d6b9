"""Keys are found in files of any encoding, in what is beside a picture, and in what is packed; memory stays bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from fac_datasets.errors import PublishError
from fac_datasets.publishing import secret_files
from fac_datasets.publishing.secret_rules import LONGEST
from fac_datasets.publishing.secrets import secrets_in_files

# Put together here, so that no scanner takes this file for a leak.
KEY = "ghp" + "_" + "aB3" * 12
TEXT = f"one\ntwo {KEY}\n"


def places(content: bytes | Path, name: str = "x") -> list[str]:
    return [found.place for found in secrets_in_files({name: content})]


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.comment = comment
    return packed.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    all_chunks = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in all_chunks
    )


@pytest.mark.parametrize("name", ["Dockerfile", "a.ipynb", "a.log", "a.md"])
def test_a_text_is_looked_through_whatever_it_is_called(name: str) -> None:
    assert places(TEXT.encode(), name) == [f"line 2 of {name}"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_a_text_is_looked_through_however_it_is_encoded(encoding: str) -> None:
    assert places(TEXT.encode(encoding)) == ["line 2 of x"]


def test_letters_before_a_key_do_not_hide_it_in_utf_16() -> None:
    # In UTF-16 this letter is a hyphen and an N.
    assert places(f"中{KEY}".encode("utf-16")) == ["line 1 of x"]


def test_a_key_in_a_name_is_found_and_not_shown() -> None:
    assert places(b"", f"logs/{KEY}.txt") == ["the name of logs/***.txt"]
    assert places(TEXT.encode(), f"{KEY}.txt")[1] == "line 2 of ***.txt"


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b"Comment\0" + KEY.encode()),
        (b"zTXt", b"Comment\0\0" + zlib.compress(KEY.encode())),
        (b"iTXt", b"Comment\0\0\0en\0Comment\0" + KEY.encode()),
        (b"iTXt", b"Comment\0\1\0en\0Comment\0" + zlib.compress(KEY.encode())),
        (b"eXIf", b"MM\0*" + KEY.encode("utf-16-le")),
    ],
    ids=["tEXt", "zTXt", "iTXt", "iTXt, compressed", "eXIf"],
)
def test_a_text_beside_a_picture_is_looked_through(chunk: tuple[bytes, bytes]) -> None:
    assert len(places(png(chunk))) == 1


def test_a_comment_in_a_jpeg_is_looked_through() -> None:
    assert len(places(b"\xff\xd8\xff\xfe" + struct.pack(">H", len(KEY) + 2) + KEY.encode() + b"\xff\xd9")) == 1


def test_pictures_and_weights_without_a_key_pass() -> None:
    drawn = np.random.default_rng(0)
    assert places(png((b"IDAT", drawn.bytes(1 << 20)))) == []
    assert places(drawn.bytes(1 << 24)) == []


def test_metadata_of_weights_are_looked_through() -> None:
    assert len(places(save({"W": np.ones(4)}, {"note": KEY}))) == 1


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_what_is_compressed_is_looked_through(compress: Callable[[bytes], bytes]) -> None:
    assert places(compress(TEXT.encode()), "x.log") == ["line 2 of x.log"]


def test_what_can_be_read_of_a_damaged_file_is_looked_through() -> None:
    drawn = np.random.default_rng(0).bytes(4000).hex()
    assert places(gzip.compress(f"{TEXT}{drawn}".encode())[:-200]) == ["line 2 of x"]
    assert places(f"BZh is how bzip2 begins, {KEY}".encode()) == ["line 1 of x"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip_is_looked_through(compression: int) -> None:
    assert places(zipped({"d/a.txt": TEXT.encode(), "b.txt": b"fine"}, compression), "x.zip") == [
        "line 2 of d/a.txt in x.zip"
    ]


def test_names_and_comments_in_a_zip_are_looked_through() -> None:
    assert places(zipped({KEY: TEXT.encode()}, comment=KEY.encode()), "x.zip") == [
        "the comment of x.zip",
        "the name of *** in x.zip",
        "line 2 of *** in x.zip",
    ]


def test_a_zip_in_a_zip_is_looked_through() -> None:
    inner = zipped({"a.txt": TEXT.encode("utf-16")})
    assert places(zipped({"in.zip": inner}), "x.zip") == ["line 2 of a.txt in in.zip in x.zip"]
    assert places(gzip.compress(inner), "x.zip.gz") == ["line 2 of a.txt in x.zip.gz"]


def test_a_zip_behind_something_else_is_looked_through() -> None:
    assert places(b"#!/bin/sh\n" + zipped({"a.txt": TEXT.encode()}), "x") == ["line 2 of a.txt in x"]


def test_what_is_packed_too_deeply_is_refused() -> None:
    deep = zipped({"c.zip": zipped({"b.zip": zipped({"a.txt": b"fine"})})})
    with pytest.raises(
        PublishError, match=r"^b\.zip in c\.zip in x is packed more than 2 deep, and so cannot be looked"
    ):
        places(deep)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_files, "_ALWAYS", 1 << 20)
    bomb = zipped({"a": bytes(1 << 25), "b": bytes(1 << 25)})
    for content in (bomb, gzip.compress(bytes(1 << 25))):
        with pytest.raises(PublishError, match="unpacks to more than 100 times its size, and so cannot be looked"):
            places(content)


def test_a_locked_or_damaged_file_in_a_zip_is_refused_and_its_name_not_shown() -> None:
    whole = zipped({KEY: b"fine " * 40})
    locked = bytearray(whole)
    locked[6] |= 1
    locked[whole.rindex(b"PK\1\2") + 8] |= 1
    damaged = whole.replace(b"fi", b"xx") if b"fi" in whole else whole[:60] + b"\xff\xff\xff" + whole[63:]
    for content in (bytes(locked), damaged):
        with pytest.raises(PublishError, match=r"is locked or damaged, and so cannot be looked through") as refused:
            places(content)
        assert KEY not in str(refused.value)
        assert refused.value.__suppress_context__


@pytest.mark.parametrize("offset", [-40, -20, -1, 0, 1])
def test_a_key_is_found_once_at_the_seams_of_a_large_file(offset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_files, "_PIECE", 1 << 16)
    for seam in ((1 << 16) - LONGEST, 1 << 16, 1 << 17):
        content = bytearray(b"word\n" * 50_000)
        content[seam + offset : seam + offset + len(KEY) + 2] = f" {KEY} ".encode()
        line = content[: seam + offset].count(b"\n") + 1
        assert places(bytes(content)) == [f"line {line} of x"]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["txt", "gz"])
def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    with path.open("wb") if ending == "txt" else gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(1 << 7):
            stream.write(b"hf_" + b"x" * 40 + b" some words here\n" * 60_000)
        stream.write(TEXT.encode())
    tracemalloc.start()
    assert len(places(path)) == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80 << 20
