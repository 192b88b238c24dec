"""Zstandard streams: the standard library's where it has them (Python 3.14), else the package zstandard's."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from align_eval.errors import InputError


class _ZstdStream(io.RawIOBase):
    """Zstandard frames unpacked with the package zstandard; a frame that is cut short raises ``EOFError``.

    (The package's own ``stream_reader`` takes the end of the file for the end of the data.)
    """

    def __init__(self, raw: BinaryIO) -> None:
        import zstandard

        self._raw = raw
        self._fresh = zstandard.ZstdDecompressor
        self._frame: Any = None
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._pending:
            packed = (
                self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            ) or self._raw.read(1 << 14)
            if self._frame is None or self._frame.eof:
                if not packed:
                    return 0
                self._frame = self._fresh().decompressobj()
            elif not packed:
                raise EOFError("the file ends within a Zstandard frame")
            self._pending = memoryview(self._frame.decompress(packed))
        size = min(len(buffer), len(self._pending))
        buffer[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size


def zstd_reader(raw: BinaryIO, name: str) -> Any:
    """Unpacked bytes of ``raw``; it is closed if that cannot be.

    Raises:
        InputError: neither Python nor a package can read Zstandard; names the file and the extra.
    """
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        pass
    else:
        return zstd.open(raw, "rb")
    try:
        return _ZstdStream(raw)
    except ImportError:
        raw.close()
        raise InputError(
            "Zstandard files need the package zstandard", file=name, remedy="Install it: pip install 'align-eval[zstd]'"
        ) from None


def zstd_writer(raw: BinaryIO, name: str) -> Any:
    """A stream that packs into ``raw`` and leaves that open.

    Raises:
        InputError: as :func:`zstd_reader`.
    """
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        pass
    else:
        return zstd.open(raw, "wb")
    try:
        import zstandard
    except ImportError:
        raise InputError(
            "Zstandard files need the package zstandard", file=name, remedy="Install it: pip install 'align-eval[zstd]'"
        ) from None
    return zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
