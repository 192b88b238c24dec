"""Temporary files beside what they become: opened through no link, locked while written, swept when left behind.

A process that is killed leaves its temporary file. Its lock ends with it, so that the next process that writes into the
folder can tell such files from those that are being written, on whatever machine, and removes them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from align_eval.errors import OutputError

_NAME = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.part")
_swept: set[str] = set()
_sweeping = threading.Lock()


def open_unlinked(path: str | os.PathLike[str], flags: int, mode: int = 0o666) -> int:
    """``os.open`` of a file whose name anybody could foresee: never through a link that somebody has set there.

    Raises:
        OutputError: the name is a link, has other names (hard links), or is no file.
        OSError: as ``os.open``.
    """
    try:
        handle = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), mode)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise
        found = None
    else:
        found = os.fstat(handle)
        if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
            return handle
        os.close(handle)
    what = "has another name (a hard link)" if found and stat.S_ISREG(found.st_mode) else "is a link, not a file"
    raise OutputError(
        f"{what}: writing to it would change something else", file=path, remedy="Remove it, or write elsewhere"
    )


@contextlib.contextmanager
def temporary_beside(target: Path) -> Iterator[tuple[int, Path]]:
    """A new file beside ``target``, with the rights of a new file: its handle, which the caller closes, and its path.

    It is locked until the block ends, and removed then if it is still there.
    """
    sweep(target.parent)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    lock: int | None = None
    path = _new_name(target)
    try:  # from the first moment: a signal may end the process at any
        handle = os.open(path, flags, 0o666)
        lock = _lock(handle)
        while lock is not None and not _is_at(handle, path):  # swept by another process before it was locked
            os.close(handle)
            os.close(lock)
            path = _new_name(target)
            handle = os.open(path, flags, 0o666)
            lock = _lock(handle)
        yield handle, path
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        if lock is not None:
            os.close(lock)


def _new_name(target: Path) -> Path:
    return target.parent / f".{target.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}.part"


def sweep(folder: Path) -> None:
    """Remove the temporary files that ended processes have left in a folder; once a process and folder."""
    try:
        import fcntl
    except ImportError:  # Windows, where nothing tells whether a file is being written
        return
    name = os.fspath(folder)
    with _sweeping:
        if name in _swept:
            return
        _swept.add(name)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for path in [entry.path for entry in entries if _NAME.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is_at(handle, path):
                        os.unlink(path)
                finally:
                    os.close(handle)


def _lock(handle: int) -> int | None:
    """A second handle that keeps the lock when the first is closed; ``None`` where there are no locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return None
    return os.dup(handle)


def _is_at(handle: int, path: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except OSError:
        return False
