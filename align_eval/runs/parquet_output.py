"""Links as Parquet, one shard a file: columns ``id``, ``source``, ``target`` (words), ``links``, ``scores``."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from align_eval.corpora.tokenize import split_words
from align_eval.errors import InputError
from align_eval.files import StrPath, output_errors, sha256_of

# Rows that are held in memory and become one row group.
ROW_GROUP = 16_384


class ParquetOutput:
    """One Parquet file, written from the JSON lines of the output format ``jsonl`` (see ``LineOutput``).

    A Parquet file cannot be read before its end is written, so an unfinished one is started over: what a kill can cost
    is one shard. :func:`align_eval.corpora.read_links` reads it.

    Args:
        path: where the finished file is to stand; it must end in ``.parquet``.
        settings: not used: nothing is continued.
        resume: not used likewise.

    Raises:
        InputError: another ending.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: StrPath, settings: dict[str, Any], resume: bool = True) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        check_name(path)
        self.path = Path(os.path.realpath(path))
        self.part = self.path.with_name(f"{self.path.name}.part")
        self.lines = 0
        self._rows: list[dict[str, Any]] = []
        words = pa.list_(pa.string())
        self._schema = pa.schema(
            {
                "id": pa.string(),
                "source": words,
                "target": words,
                "links": pa.list_(pa.list_(pa.int32())),
                "scores": pa.list_(pa.float32()),
            }
        )
        with output_errors(path):
            self._writer: Any = pq.ParquetWriter(os.fspath(self.part), self._schema, compression="zstd")

    def append(self, lines: list[str]) -> None:
        """Write a block of JSON lines.

        Raises:
            OutputError: the disk is full or the file cannot be written.
        """
        for line in lines:
            row = json.loads(line)
            for side in ("source", "target"):
                if isinstance(row[side], str):
                    row[side] = split_words(row[side])
            self._rows.append(row)
        self.lines += len(lines)
        if len(self._rows) >= ROW_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        with output_errors(self.path):
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def seal(self) -> dict[str, Any]:
        """``lines`` and ``sha256`` of the file that :meth:`finish` will name; no line may follow."""
        with output_errors(self.path):
            if self._writer.is_open:
                if self._rows:
                    self._write()
                self._writer.close()
                with open(self.part, "rb") as stream:
                    os.fsync(stream.fileno())
            return {"lines": self.lines, "sha256": sha256_of(self.part)}

    def finish(self) -> None:
        """Give the file its name."""
        self.seal()
        with output_errors(self.path):
            os.replace(self.part, self.path)

    def close(self) -> None:
        """Give the file up: what was written cannot be continued, unless it is whole."""
        if not self._writer.is_open:
            return
        with contextlib.suppress(OSError):  # what a full disk refused
            self._writer.close()
        with contextlib.suppress(OSError):
            self.part.unlink(missing_ok=True)
        self.lines = 0


def check_name(path: StrPath) -> None:
    """Raise :class:`InputError` unless ``path`` ends in ``.parquet``."""
    if not os.fspath(path).endswith(".parquet"):
        raise InputError("a Parquet file that is not called so", file=path, remedy="Let its name end in .parquet")
