"""What looks like a key in files: in their names, in text of any encoding, in metadata, and in what is packed."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc

from fac_datasets.errors import PublishError
from fac_datasets.publishing.secret_rules import LONGEST, Secret, secrets_in, without_secrets

_PIECE = 1 << 16
"""Bytes that are looked through at once."""

_BEFORE = 1 << 12
"""Bytes before a piece that are looked at again, for what its first key stands behind."""

_AT_ONCE, _BYTES_AT_ONCE = 256, 1 << 23
"""Pieces, or bytes of them, for which RE2 is prepared once."""

_DEEPEST = 2
"""A zip in a zip is looked through, one in that is not."""

_RATIO, _ALWAYS = 100, 1 << 28
"""Times the size of a file that it may unpack to, and bytes that every file may."""

_IN_MEMORY = 1 << 24
"""Bytes of an unpacked file above which it goes to a temporary one."""

_PNG = b"\x89PNG\r\n\x1a\n"
_LETTER = r"[\t\n\r -~]\x00+"
"""One of UTF-16 or UTF-32, with its zeros; a zero elsewhere parts words."""

_LETTERS = re.compile(rb"(?:[\t\n\r -~]\0++){3,}+|\A\0++(?:[\t\n\r -~]\0++){3,}+")
"""Several of them, whose zeros may begin before a piece; each quantifier takes all, or zeros would take for ever."""
_OPENERS: Mapping[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What unpacking ends with."""


class _Piece(NamedTuple):
    """A part of a file."""

    place: str
    data: bytes
    lines: int | None = None
    """Before it; None where lines mean nothing."""
    begin: int = 0
    """First byte that is this piece's own; others are of its neighbours."""
    end: int | None = None


def secrets_in_streams(files: Iterable[tuple[str, IO[bytes]]], own: str | None = None) -> Iterator[tuple[str, Secret]]:
    """What looks like a key in files and in their names, with its place, which tells none.

    Pictures are looked at for texts beside them; zips, gzip, bzip2 and xz for what is packed in them. Other formats are
    taken as text, in which zeros mean nothing, so that those of UTF-16 hide no key. Memory does not grow with size.

    Args:
        files: names and contents.
        own: see `secrets_in`.

    Raises:
        PublishError: a packed file cannot be looked through: it is locked or damaged, nested too deeply, or unpacks to
            too much.
    """
    waiting: list[_Piece] = []
    for name, stream in files:
        for piece in _pieces(stream, name):
            waiting.append(piece)
            if len(waiting) == _AT_ONCE or sum(len(each.data) for each in waiting) >= _BYTES_AT_ONCE:
                yield from _found(waiting, own)
                waiting.clear()
    yield from _found(waiting, own)


def _found(pieces: list[_Piece], own: str | None) -> Iterator[tuple[str, Secret]]:
    for index, secret in secrets_in(pa.array([piece.data for piece in pieces], pa.large_binary()), own):
        piece = pieces[index]
        if piece.begin <= secret.start and (piece.end is None or secret.start < piece.end):
            place = without_secrets(piece.place, own)
            if piece.lines is not None:
                line = piece.lines + piece.data.count(b"\n", 0, secret.start) + 1
                place = f"line {line} of {place}"
            yield place, secret


def _pieces(stream: IO[bytes], name: str) -> Iterator[_Piece]:
    yield _Piece(f"the name of {name}", name.encode(errors="replace"))
    size = stream.seek(0, io.SEEK_END)
    yield from _content(stream, name, _Room(max(_ALWAYS, _RATIO * size)), 0)


class _Room:
    """Bytes that may still be unpacked from one file."""

    def __init__(self, size: int) -> None:
        self.left = size

    def unpack(self, source: io.BufferedIOBase, name: str, *, partly: bool = False) -> IO[bytes]:
        """A copy in which one can go back; where it is damaged, of what can be read, if that will do."""
        copy: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed where it was asked for
        try:
            # Not `read`, which gives nothing of a piece whose end is damaged.
            while read := source.read1(_PIECE):
                self.left -= len(read)
                if self.left < 0:
                    raise _cannot_be_read(name, f"unpacks to more than {_RATIO} times its size")
                copy.write(read)
        except PublishError:
            copy.close()
            raise
        except _DAMAGED:
            if not partly:
                copy.close()
                raise
        return copy


def _cannot_be_read(name: str, reason: str) -> PublishError:
    return PublishError(
        f"{without_secrets(name)} {reason}, and so cannot be looked through for keys; publish it unpacked, or leave it "
        f"out"
    )


def _content(stream: IO[bytes], name: str, room: _Room, depth: int) -> Iterator[_Piece]:
    """The pieces of a file, and of what is packed in it."""
    stream.seek(0)
    head = stream.read(len(_PNG))
    packed = zipfile.is_zipfile(stream)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    if (packed or opener) and depth == _DEEPEST:
        raise _cannot_be_read(name, f"is packed more than {_DEEPEST} deep")
    if packed:
        yield from _of_zip(stream, name, room, depth)
    if not (packed and head.startswith(b"PK")):
        stream.seek(0)
        yield from _read(stream, name, utf16=_is_utf16(head))
    if head == _PNG:
        for text in _texts_of_png(stream):
            yield _Piece(f"a text in {name}", text)
    if opener is not None:
        stream.seek(0)
        with room.unpack(opener(stream), name, partly=True) as unpacked:
            yield from _content(unpacked, name, room, depth + 1)


def _of_zip(stream: IO[bytes], name: str, room: _Room, depth: int) -> Iterator[_Piece]:
    try:
        archive = zipfile.ZipFile(stream)
    except _DAMAGED:
        # Only its end is that of a zip.
        stream.seek(0)
        yield from _read(stream, name, utf16=False)
        return
    with archive:
        yield _Piece(f"the comment of {name}", archive.comment)
        for member in archive.infolist():
            path = f"{member.filename} in {name}"
            described = [member.filename.encode(errors="replace"), member.comment, member.extra]
            yield _Piece(f"the name of {path}", b"\n".join(described))
            if member.is_dir():
                continue
            try:
                with archive.open(member) as source:
                    unpacked = room.unpack(cast("io.BufferedIOBase", source), path)
            except PublishError:
                raise
            except _DAMAGED:
                # The error tells the name, which may hold a key.
                raise _cannot_be_read(path, "is locked or damaged") from None
            with unpacked:
                yield from _content(unpacked, path, room, depth + 1)


def _read(stream: IO[bytes], name: str, *, utf16: bool) -> Iterator[_Piece]:
    """A file piece by piece, each with the end of the one before."""
    decoder = codecs.getincrementaldecoder("utf-16")("replace") if utf16 else None
    kept, begin, lines = b"", 0, 0
    while True:
        read = stream.read(_PIECE)
        text = _without_zeros(read) if decoder is None else decoder.decode(read).encode(errors="replace")
        data = kept + text
        if not read:
            yield _Piece(name, data, lines, begin)
            return
        end = max(begin, len(data) - LONGEST)
        yield _Piece(name, data, lines, begin, end)
        cut = max(0, end - _BEFORE)
        lines += data.count(b"\n", 0, cut)
        kept, begin = data[cut:], end - cut


def _without_zeros(read: bytes) -> bytes:
    # RE2 tells at once of what is no text that there is nothing to do.
    if not pc.match_substring_regex(pa.array([read], pa.large_binary()), _LETTER * 3)[0].as_py():
        return read
    return _LETTERS.sub(lambda letters: letters[0].replace(b"\0", b""), read)


def _is_utf16(head: bytes) -> bool:
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not head.startswith(codecs.BOM_UTF32_LE)


def _texts_of_png(stream: IO[bytes]) -> Iterator[bytes]:
    """The texts of a PNG that are compressed; the others stand in it as they are."""
    stream.seek(len(_PNG))
    while len(head := stream.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        after = stream.tell() + size + 4
        if kind in (b"zTXt", b"iTXt"):
            _, _, rest = stream.read(min(size, _IN_MEMORY)).partition(b"\0")
            # One byte names the way of compression; iTXt has another before it, and two texts behind.
            packed = rest[1:] if kind == b"zTXt" else rest[2:].partition(b"\0")[2].partition(b"\0")[2]
            # Other texts are not compressed.
            with suppress(zlib.error):
                yield zlib.decompressobj().decompress(packed, _IN_MEMORY)
        stream.seek(after)
