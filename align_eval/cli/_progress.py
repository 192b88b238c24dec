"""Progress on standard error: a bar with rate and time left where a person watches; elsewhere silence, or lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LINE, LEFT = "{desc}: {n_fmt}{unit}, {rate_noinv_fmt}", ", {remaining} left of {total_fmt}"


class Bar:
    """Is told of each advance; shows nothing without a ``line`` of tqdm."""

    def __init__(self, line: Any = None) -> None:
        self.line = line

    def __call__(self, advance: int) -> None:
        """So many more are done."""
        if self.line is not None:
            self.line.update(advance)

    def start_at(self, done: int) -> None:
        """An earlier run has done so many; they do not count for the rate."""
        if self.line is not None:
            self.line.initial = self.line.n = self.line.last_print_n = done

    def expect(self, total: int) -> None:
        """There are so many in all."""
        if self.line is not None:
            self.line.total = total
            self.line.bar_format = self.line.bar_format and LINE + LEFT


class _Lines:
    """In place of a terminal: what would be drawn over the line before is a line of its own."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(f"align-eval: {text.strip()}\n")

    def flush(self) -> None:
        sys.stderr.flush()


@contextmanager
def progress_bar(what: str, total: int | None, unit: str = "pairs", log_seconds: float | None = None) -> Iterator[Bar]:
    """A function that is told of each advance: a bar on a terminal, else a line every ``log_seconds``, if given."""
    style: dict[str, Any] = {"dynamic_ncols": True}
    if not sys.stderr.isatty():
        if log_seconds is None:
            yield Bar()
            return
        style = {"file": _Lines(), "mininterval": log_seconds, "miniters": 1, "delay": log_seconds, "smoothing": 0}
        style |= {"leave": False, "bar_format": LINE + (LEFT if total else "")}
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit=f" {unit}", **style) as line:
        yield Bar(line)
