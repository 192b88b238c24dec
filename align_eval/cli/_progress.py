"""Progress on standard error: a bar with rate and time left where a person watches; elsewhere silence, or lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Bar:
    """Is told of each advance. This one shows nothing."""

    def __call__(self, advance: int) -> None:
        """So many more are done."""

    def start_at(self, done: int) -> None:
        """An earlier run has done so many; they do not count for the rate."""

    def expect(self, total: int) -> None:
        """There are so many in all."""


class LogBar(Bar):
    """Writes a line to standard error every ``seconds``; nothing if all is done before. ``total``: if known."""

    def __init__(
        self, what: str, total: int | None, unit: str, seconds: float, clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], Any] | None = None,
    ) -> None:  # fmt: skip
        self.what, self.total, self.unit, self.seconds, self.clock = what, total, unit, seconds, clock
        self.write = write or sys.stderr.write
        self.done = self.before = 0
        self.start = self.last = clock()

    def __call__(self, advance: int) -> None:
        self.done += advance
        now = self.clock()
        if now - self.last >= self.seconds:
            self.last = now
            self.write(f"align-eval: {self.what}: {self._state(now)}\n")

    def start_at(self, done: int) -> None:
        self.done = self.before = done

    def expect(self, total: int) -> None:
        self.total = total

    def _state(self, now: float) -> str:
        rate = (self.done - self.before) / (now - self.start)
        done = f"{self.done:,} {self.unit}, {rate:,.1f} {self.unit}/s"
        if self.total is None or not rate:
            return done
        minutes, seconds = divmod(round(max(0, self.total - self.done) / rate), 60)
        return f"{done}, {minutes // 60}:{minutes % 60:02d}:{seconds:02d} left of {self.total:,}"


@contextmanager
def progress_bar(what: str, total: int | None, unit: str = "pairs", log_seconds: float | None = None) -> Iterator[Bar]:
    """A function that is told of each advance: a bar on a terminal, else a line every ``log_seconds``, if given."""
    if not sys.stderr.isatty():
        yield Bar() if log_seconds is None else LogBar(what, total, unit, log_seconds)
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit=f" {unit}", dynamic_ncols=True) as line:

        class Drawn(Bar):
            """Draws."""

            def __call__(self, advance: int) -> None:
                line.update(advance)

            def start_at(self, done: int) -> None:
                line.initial = line.n = done

            def expect(self, total: int) -> None:
                line.total = total

        yield Drawn()
