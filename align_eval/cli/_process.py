"""What a command owes to the process that starts it: streams that are closed or not UTF-8, and signals that end it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from align_eval.errors import MissingFileError, OutputError


class _Closed(io.TextIOBase):
    """In place of a standard stream that is closed: an error when it is used, nothing before."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.buffer: Any = self

    def read(self, *ignored: Any) -> Any:
        raise self.error

    readline = readlines = read1 = peek = write = read

    def isatty(self) -> bool:
        return False


def prepare_streams() -> None:
    """Make the standard streams fit to be used.

    Closed ones are given to the null device, so that no file that is opened later takes their number, and raise when
    they are read or written. What an encoding does not have is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = _Closed(  # type: ignore[unreachable]
            MissingFileError("is closed", file="standard input", remedy="Name a file, or give it an input")
        )
    if sys.stdout is None:
        sys.stdout = _Closed(  # type: ignore[unreachable]
            OutputError("cannot be written: it is closed", file="standard output", remedy="Give it a file, or use -o")
        )
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # type: ignore[unreachable]  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            asked = stream.isatty() or os.environ.get("PYTHONIOENCODING")
            stream.reconfigure(encoding=None if asked else "utf-8", errors="backslashreplace")


@contextlib.contextmanager
def ending_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as an exception does, so that nothing half-written is left behind."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reader_left(error: BaseException | None) -> bool:
    """Whether an error says that whoever read standard output has left (``| head``), or was made from one that does."""
    if isinstance(error, SystemExit):
        error = error.__context__
    return isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and error.errno == errno.EPIPE)


def flush() -> None:
    """Write what standard output still holds; a ``BrokenPipeError`` if its reader has left."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        raise OutputError(f"cannot be written: {error.strerror}", file="standard output") from error


def silence() -> None:
    """Send what standard output still holds, and all after it, to the null device: Python writes it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
