"""What a bitext is read from: a file that can be opened again and again, or a stream that cannot.

A stream (standard input, a named pipe, a process substitution) is copied to a temporary file *while* it is read for the
first time (in memory up to 16 MiB, then on disk). The first pass starts at once, and later ones see the same.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import IO, BinaryIO, cast

from align_eval.errors import AlignEvalError, FormatError
from align_eval.files import (
    BlockReader,
    LinesCheck,
    StrPath,
    check_line_size,
    count_lines,
    decode_lines,
    decoded,
    is_special,
    open_binary,
    output_errors,
    unpacked,
    unpacking_errors,
)
from align_eval.first_bytes import ENOUGH, check_text, sniff

STDIN = "standard input"
_IN_MEMORY, _SPOOLED = 1 << 24, 1 << 16


class _Spool:
    """A stream and a copy of what has been read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read = getattr(stream, "read1", stream.read)
        self._folder = tempfile.gettempdir()
        self._copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._size = 0
        self._ended = False

    def blocks(self) -> Iterator[bytes]:
        """All of it from the beginning."""
        position = 0
        while block := self._read_at(position, _SPOOLED):
            position += len(block)
            yield block

    def _read_at(self, position: int, size: int) -> bytes:
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
            if is_special(self.path):
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
            return unpacked(cast(BinaryIO, io.BufferedReader(BlockReader(self._spool.blocks()), _SPOOLED)), self.path)
        return open_binary(self.path)

    def whole(self) -> IO[bytes]:
        """All bytes in a temporary file that can be sought in; the caller closes it."""
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

    def line_blocks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield blocks of whole lines, about ``size`` bytes each; a byte order mark at the start is dropped.

        Every block but the last ends with a line feed.
        """
        rest: list[bytes] = []
        start = True
        with self.open() as stream, unpacking_errors(self.name):
            done = 0
            while block := stream.read(size):
                if start or b"\0" in block:
                    check_text(block, self.name, self._line_at(done) if done else 1, start=start)
                done += len(block)
                if start:
                    start = False
                    block = block.removeprefix(b"\xef\xbb\xbf")
                cut = block.rfind(b"\n") + 1
                if cut:
                    rest.append(block[:cut])
                    yield b"".join(rest)
                    rest = [block[cut:]]
                else:
                    rest.append(block)
                    check_line_size(sum(map(len, rest)), self.name, partial(self._line_at, done))
        if last := b"".join(rest):
            yield last

    def _line_at(self, place: int) -> int:
        """The number of the line, from 1, in which byte ``place`` (from 0) stands."""
        line = 1
        with self.open() as stream:
            while place > 0 and (block := stream.read(min(place, 1 << 20))):
                line += block.count(b"\n")
                place -= len(block)
        return line

    def decode_block(self, block: bytes, first: int) -> Iterator[tuple[int, str]]:
        """The lines of one block of whole lines, the first of them being line ``first`` of the file."""
        for number, raw in enumerate(block.removesuffix(b"\n").split(b"\n"), first):
            yield number, decoded(raw.removesuffix(b"\r"), self.name, number)

    def malformed(self, message: str, line: int | None, remedy: str) -> FormatError:
        """A :class:`FormatError` about ``line`` of this file."""
        return FormatError(message, file=self.name, line=line, remedy=remedy)

    def placed(self, error: AlignEvalError, line: int | None) -> AlignEvalError:
        """The error with this file and a line of it, where it names no file yet."""
        if error.file is not None:
            return error
        return type(error)(error.message, file=self.name, line=line, remedy=error.remedy)
