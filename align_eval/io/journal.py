"""A journal of a run under way: JSON lines, each with a checksum over itself and those before it; locked while open."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from align_eval.errors import InputError
from align_eval.io.locks import open_locked
from align_eval.nested import parse_json

REMEDY = "Start over with --restart"


class Journal:
    """A file of rows that only grows. A line is the row, a tab and 16 hex digits; each row is on the disk when added.

    Raises:
        OutputError: another run holds it, or it is a link.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        handle, _ = open_locked(path, wait=False)
        self._stream = os.fdopen(handle, "r+b", buffering=0)
        self._sum = ""

    def rows(self) -> list[dict[str, Any]]:
        """The rows that an earlier run has added; what a kill has cut short behind the last is cut off."""
        self._stream.seek(0)
        text, _, torn = self._stream.readall().rpartition(b"\n")
        rows, self._sum = [], ""
        for number, line in enumerate(text.split(b"\n") if text else [], 1):
            row, tab, told = line.rpartition(b"\t")
            self._sum = _sum(self._sum, row)
            if not tab or told != self._sum.encode():
                raise self.damaged(number)
            rows.append(_row(row))
        if not all(isinstance(row, dict) for row in rows):
            raise self.damaged()
        size = self._stream.tell() - len(torn)
        self._stream.truncate(size)
        self._stream.seek(size)
        return rows

    def damaged(self, line: int | None = None) -> InputError:
        """The error of a journal that is not as it was written."""
        return InputError(
            "the journal of an unfinished run cannot be read: it is damaged", file=self.path, line=line, remedy=REMEDY
        )

    def begin(self) -> None:
        """Forget all rows."""
        self._stream.truncate(0)
        self._stream.seek(0)
        self._sum = ""

    def add(self, row: dict[str, Any]) -> None:
        """Add a row."""
        text = json.dumps(row, ensure_ascii=False).encode("utf-8")
        self._sum = _sum(self._sum, text)
        line = memoryview(text + b"\t" + self._sum.encode() + b"\n")
        while line:
            line = line[self._stream.write(line) or 0 :]
        os.fsync(self._stream.fileno())

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._stream.closed

    def remove(self) -> None:
        """Take the file away, and close it: while it is locked, so that no other run finds it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.close()

    def close(self) -> None:
        """Close it and leave it."""
        self._stream.close()


def _row(text: bytes) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return None


def _sum(before: str, text: bytes) -> str:
    return hashlib.sha256(before.encode() + text).hexdigest()[:16]
