"""Temporary files beside what they become: named after their process, locked while written, swept when left behind.

A process that is killed leaves its temporary file. Its lock ends with it, so that the next process that writes into the
folder can tell such files from those that are being written, on whatever machine, and removes them.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

from align_eval.io.locks import is_at, lock, open_locked

_NAME = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.part")
_swept: set[str] = set()
_sweeping = threading.Lock()


@contextlib.contextmanager
def temporary_beside(target: Path) -> Iterator[tuple[int, Path]]:
    """A new file beside ``target``, with the rights of a new file: its handle, which the caller closes, and its path.

    It is locked until the block ends, and removed then if it is still there.
    """
    sweep(target.parent)
    path = target.parent / f".{target.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}.part"
    held: int | None = None
    try:  # from the first moment: a signal may end the process at any
        handle, locked = open_locked(path, wait=True, flags=os.O_EXCL)
        held = os.dup(handle) if locked else None  # keeps the lock when the first is closed
        yield handle, path
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        if held is not None:
            os.close(held)


def sweep(folder: Path) -> None:
    """Remove the temporary files that ended processes have left in a folder; once a process and folder."""
    name = os.fspath(folder)
    with _sweeping:
        if name in _swept:
            return
        _swept.add(name)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for path in [entry.path for entry in entries if _NAME.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
                try:  # where there are no locks nothing tells whether a file is being written
                    if lock(handle, wait=False) and is_at(handle, path):
                        os.unlink(path)
                finally:
                    os.close(handle)
