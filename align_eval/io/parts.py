"""One file of an output while it grows: lines that hold block by block, or a Parquet file that is whole at its end."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from align_eval.corpora.words import split_words
from align_eval.errors import InputError
from align_eval.files import StrPath, sha256_of
from align_eval.io.locks import open_unlinked

#: Rows that are held in memory and become one row group of a Parquet file.
ROW_GROUP = 16_384


class Lines:
    """Lines, compressed block by block as ``name``, the final one, says; what was appended holds.

    ``size`` bytes of an earlier run hold, with the digest ``held`` so far; whatever stands behind them is cut off.
    """

    def __init__(self, path: Path, name: str, size: int = 0, held: Any = None) -> None:
        self._compress = compressor(name)
        self.bytes, self._sha = size, held or hashlib.sha256()
        handle = open_unlinked(path, os.O_RDWR | os.O_CREAT)
        self._stream = os.fdopen(handle, "r+b")
        self._stream.truncate(size)
        self._stream.seek(size)

    def append(self, lines: list[str]) -> None:
        self._write(self._compress("".join(f"{line}\n" for line in lines).encode("utf-8")) if lines else b"")

    def _write(self, block: bytes) -> None:
        self._stream.write(block)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._sha.update(block)
        self.bytes += len(block)

    def digest(self) -> str:
        return str(self._sha.hexdigest())

    def complete(self) -> None:
        if not self.bytes:
            self._write(self._compress(b""))  # no line at all is a compressed file too

    def close(self) -> None:
        with contextlib.suppress(OSError):  # bytes that a full disk refused; they do not hold
            self._stream.close()


class Parquet:
    """A Parquet file: columns ``id``, ``source``, ``target`` (words), ``links``, ``scores``, from lines of JSON.

    It cannot be read before its end is written: what a kill can cost is one such file, of which no ``bytes`` hold.
    """

    bytes = 0

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        words = pa.list_(pa.string())
        self._rows: list[dict[str, Any]] = []
        self._schema = pa.schema(
            {"id": pa.string(), "source": words, "target": words, "links": pa.list_(pa.list_(pa.int32())),
             "scores": pa.list_(pa.float32())}
        )  # fmt: skip
        self._path = path
        handle = open_unlinked(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        self._stream = os.fdopen(handle, "wb")
        self._writer: Any = pq.ParquetWriter(self._stream, self._schema, compression="zstd")

    def append(self, lines: list[str]) -> None:
        for line in lines:
            row = json.loads(line)
            for side in ("source", "target"):
                if isinstance(row[side], str):
                    row[side] = split_words(row[side])
            self._rows.append(row)
        if len(self._rows) >= ROW_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def digest(self) -> str:
        return sha256_of(self._path)

    def complete(self) -> None:
        if self._rows:
            self._write()
        self._writer.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what a full disk refused
            self._writer.close()
        with contextlib.suppress(OSError):
            self._stream.close()


def require_parquet_name(path: StrPath) -> None:
    """Raise :class:`InputError` unless ``path`` ends in ``.parquet``."""
    if not os.fspath(path).endswith(".parquet"):
        raise InputError("a Parquet file that is not called so", file=path, remedy="Let its name end in .parquet")


def compressor(name: str) -> Callable[[bytes], bytes]:
    """A function from bytes to bytes that compresses a block as the name's ending says (.gz, .xz, .zst, else plain).

    Blocks may be concatenated: gzip members, xz streams, Zstandard frames.
    """
    if name.endswith(".gz"):
        return lambda block: gzip.compress(block, mtime=0)
    if name.endswith(".xz"):
        return lzma.compress
    if name.endswith(".zst"):
        import zstandard

        return lambda block: zstandard.ZstdCompressor().compress(block)
    return lambda block: block
