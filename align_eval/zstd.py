"""Zstandard streams: frames one after another are one text, and a frame that is cut short is an error."""

from __future__ import annotations

import io
from typing import Any, BinaryIO


class ZstdReader(io.RawIOBase):
    """The unpacked bytes of Zstandard frames in ``raw``; a frame that is cut short raises ``EOFError``.

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
            ended = self._frame is None or self._frame.eof
            left = self._frame.unused_data if self._frame is not None and ended else b""
            packed = left or self._raw.read(1 << 12)  # 128 MiB unpacked at most
            if not packed:
                if ended:
                    return 0
                raise EOFError("the file ends within a Zstandard frame")
            if ended:
                self._frame = self._fresh().decompressobj()
            self._pending = memoryview(self._frame.decompress(packed))
        size = min(len(buffer), len(self._pending))
        buffer[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size


def zstd_writer(raw: BinaryIO) -> Any:
    """A stream that packs into ``raw`` and leaves that open."""
    import zstandard

    return zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
