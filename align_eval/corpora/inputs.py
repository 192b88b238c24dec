"""What a bitext is read from: a file that can be opened again and again, or a stream that cannot.

A stream (standard input, a named pipe, a process substitution) is copied to a temporary file *while* it is read for the
first time (in memory up to 16 MiB, then on disk). The first pass starts at once, and later ones see the same.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, cast

from align_eval.errors import InputError
from align_eval.files import (
    LinesCheck,
    StrPath,
    count_lines,
    decode_lines,
    open_binary,
    output_errors,
    unpacked,
    unpacking_errors,
)
from align_eval.first_bytes import ENOUGH, sniff

STDIN = "standard input"
_IN_MEMORY = 1 << 24


class _Spool:
    """A stream and a copy of what has been read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        import tempfile

        self._read = getattr(stream, "read1", stream.read)
        self._folder = tempfile.gettempdir()
        self._copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._size = 0
        self._ended = False

    def read_at(self, position: int, size: int) -> bytes:
        if position < self._size:
            self._copy.seek(position)
            return self._copy.read(min(size, self._size - position))
        if self._ended:
            return b""
        block: bytes = self._read(size)
        if not block:
            self._ended = True
            return b""
        with output_errors(self._folder):
            self._copy.seek(self._size)
            self._copy.write(block)
        self._size += len(block)
        return block


class _SpoolReader(io.RawIOBase):
    def __init__(self, spool: _Spool) -> None:
        self._spool = spool
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._spool.read_at(self._position, len(buffer))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


class Input:
    """A file by its path, or standard input for ``-``. Each :meth:`open` starts at the first byte.

    Raises:
        MissingFileError: the file does not exist or cannot be opened (at once, not when it is first read).
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.fspath(path)
        self.name = STDIN if self.path == "-" else self.path
        self._spool: _Spool | None = None
        self.is_folder = self.path != "-" and os.path.isdir(self.path)
        if self.path == "-":
            self._spool = _Spool(sys.stdin.buffer)
        elif not self.is_folder:
            if _is_stream(self.path):
                self._spool = _Spool(cast(BinaryIO, open(self.path, "rb")))  # noqa: SIM115
            else:
                open_binary(self.path).close()

    @classmethod
    def named(cls, path: StrPath) -> Input:
        """Something that is not opened here, such as a data set: only its name is kept."""
        one = cls.__new__(cls)
        one.path = one.name = os.fspath(path)
        one.is_folder, one._spool = os.path.isdir(one.path), None
        return one

    def __fspath__(self) -> str:
        return self.path

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, which libraries may open by its path."""
        return self._spool is None and not self.is_folder

    @property
    def is_compressed(self) -> bool:
        """Whether the name or the first bytes say that it is compressed."""
        if self.path.endswith((".gz", ".xz", ".zst")):
            return True
        if not self.is_file:
            return False
        with open(self.path, "rb") as raw:
            return sniff(raw.read(ENOUGH)) is not None

    def open(self) -> BinaryIO:
        """The bytes from the beginning, decompressed."""
        if self._spool is not None:
            return unpacked(cast(BinaryIO, io.BufferedReader(_SpoolReader(self._spool), 1 << 16)), self.path)
        return open_binary(self.path)

    def whole(self) -> IO[bytes]:
        """All bytes in a temporary file that can be sought in; the caller closes it."""
        import tempfile

        copy = tempfile.TemporaryFile()  # noqa: SIM115
        with self.open() as stream, unpacking_errors(self.name), output_errors(tempfile.gettempdir()):
            shutil.copyfileobj(stream, copy, 1 << 20)
        copy.seek(0)
        return copy

    def lines(self, check: LinesCheck | None = None) -> Iterator[tuple[int, str]]:
        """Yield ``(line number from 1, line)`` as :func:`align_eval.files.decode_lines` does."""
        with self.open() as stream:
            yield from decode_lines(stream, self.name, check)

    def count_lines(self) -> int:
        """The number of lines, counted without decoding."""
        with self.open() as stream:
            return count_lines(stream, self.name)

    def head(self, size: int = 1 << 16, limit: int = 1 << 24) -> tuple[bytes, bool]:
        """The first bytes, and whether that is all there is.

        Reads ``size`` bytes, and on to the first line end if that is further away, but never more than ``limit``. Of a
        stream it reads no more than the first line needs, so that a slow writer is not waited for.
        """
        data = b""
        with self.open() as stream, unpacking_errors(self.name):
            read = cast(io.BufferedReader, stream).read1
            while len(data) < limit and (b"\n" not in data or (self._spool is None and len(data) < size)):
                block = read(max(size, len(data)))
                if not block:
                    return data, True
                data += block
            return data, False


def _is_stream(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False  # opening it says what is wrong
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def open_inputs(path: StrPath, target: StrPath | None) -> tuple[Input, Input | None]:
    """The inputs of a bitext: one file, or two parallel ones."""
    if target is not None and os.fspath(path) == "-" == os.fspath(target):
        raise InputError("source and target cannot both be standard input", remedy="Name a file for one of them")
    return Input(path), None if target is None else Input(target)
