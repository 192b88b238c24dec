"""A JSON file of finished parts of an experiment, each with the fingerprint of what it was made from, and a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align_eval.errors import FormatError
from align_eval.files import atomic_writer
from align_eval.nested import parse_json
from align_eval.runs.results import environment

WIDTH = 300  # characters that stay on one line


class Cells:
    """Parts by name; written after each one, whole or not at all.

    Args:
        path: the file; read if it is there.

    Raises:
        FormatError: it is there and is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cells: dict[str, dict[str, Any]] = {}
        if path.exists():
            try:
                cells = parse_json(path.read_text("utf-8"))["cells"]
                self._cells = {str(name): dict(cell) for name, cell in cells.items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                raise FormatError(
                    "does not hold the results of an experiment", file=path, remedy="Move it away, or write elsewhere"
                ) from None

    def get(self, name: str, fingerprint: str) -> dict[str, Any] | None:
        """The part of that name if it has that fingerprint and is as it was written: what was damaged is made anew."""
        cell = self._cells.get(name)
        if cell is None or cell.get("fingerprint") != fingerprint or cell.get("digest") != digest_of_cell(cell):
            return None
        return cell

    def put(self, name: str, fingerprint: str, data: dict[str, Any]) -> dict[str, Any]:
        """Add a part, and write the file."""
        cell = json.loads(json.dumps({"fingerprint": fingerprint, "environment": environment(), **data}))
        self._cells[name] = {"digest": digest_of_cell(cell), **cell}
        self._write()
        return self._cells[name]

    def keep_only(self, names: Sequence[str]) -> None:
        """Order the parts as ``names`` and drop those that are not among them."""
        ordered = {name: self._cells[name] for name in names if name in self._cells}
        if list(ordered) != list(self._cells):
            self._cells = ordered
            self._write()

    def _write(self) -> None:
        with atomic_writer(self.path) as stream:
            stream.write(pretty({"cells": self._cells}) + "\n")


def digest_of_cell(cell: dict[str, Any]) -> str:
    """The first 16 hex digits of the sha256 over all that a part holds beside its digest."""
    held = {key: value for key, value in cell.items() if key != "digest"}
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


def pretty(value: Any, indent: int = 0) -> str:
    """JSON in which a mapping or list that fits on a line stands on one.

    >>> print(pretty({"a": [{"b": 1}, {"b": 2}]}))
    {"a": [{"b": 1}, {"b": 2}]}
    """
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list, tuple)) or len(flat) + indent <= WIDTH:
        return flat
    pad, end = " " * (indent + 1), " " * indent
    if isinstance(value, dict):
        items = [f"{pad}{json.dumps(str(k), ensure_ascii=False)}: {pretty(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{end}}}"
    return "[\n" + ",\n".join(pad + pretty(item, indent + 1) for item in value) + f"\n{end}]"
