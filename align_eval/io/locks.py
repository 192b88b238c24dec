"""The one lock between processes: on an open file, through no link, and gone with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from align_eval.errors import OutputError


def open_unlinked(path: str | os.PathLike[str], flags: int, mode: int = 0o666) -> int:
    """``os.open`` of a file whose name anybody could foresee: never through a link that somebody has set there."""
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


def open_locked(path: str | os.PathLike[str], *, wait: bool, flags: int = 0) -> tuple[int, bool]:
    """Open a file to read and write, made if need be, that no other process opens so until its handles are closed."""
    while True:
        handle = open_unlinked(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | flags)
        try:
            locked = lock(handle, wait=wait)
        except BlockingIOError:
            os.close(handle)
            raise OutputError(
                "another run is writing this file", file=path, remedy="Wait for it, or write elsewhere"
            ) from None
        except BaseException:
            os.close(handle)
            raise
        if not locked or is_at(handle, path):
            return handle, locked
        os.close(handle)


@contextlib.contextmanager
def alone(target: Path) -> Iterator[bool]:
    """Hold the lock of ``target``, a file ``.NAME.lock`` beside it that goes at the end; wait for whoever holds it."""
    path = target.parent / f".{target.name}.lock"
    handle, locked = open_locked(path, wait=True)
    try:
        yield locked
    finally:
        with contextlib.suppress(OSError):  # before the lock is given back: who waits for it sees that it is gone
            os.unlink(path)
        os.close(handle)


def lock(handle: int, *, wait: bool) -> bool:
    """Lock an open file; false where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return False
    return True


def is_at(handle: int, path: str | os.PathLike[str]) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except OSError:
        return False
