"""Locks between processes, and temporary files beside what they become, swept where a killed process left them.

A lock is on an open file, through no link, and gone with the process that holds it: on whatever machine, the next
process that writes into a folder can tell temporary files that were left behind from those that are being written.
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
_BINARY, _NOFOLLOW, _NONBLOCK = (getattr(os, f"O_{name}", 0) for name in ("BINARY", "NOFOLLOW", "NONBLOCK"))
_swept: set[str] = set()
_sweeping = threading.Lock()


def open_unlinked(path: str | os.PathLike[str], flags: int) -> int:
    """``os.open`` of a file whose name anybody could foresee: never a link (symbolic or hard), never anything else."""
    try:
        handle = os.open(path, flags | _BINARY | _NOFOLLOW | _NONBLOCK, 0o666)
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
    """Open a file to read and write, made if need be, that no other process opens so until its handles are closed.

    Gives the handle, and whether it is locked: Windows and some file systems have no locks. A process that holds it may
    be waited for; it may remove or rename the file, and a new one is opened then. Else it is an :class:`OutputError`.
    """
    while True:
        handle = open_unlinked(path, os.O_RDWR | os.O_CREAT | flags)
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
    """Hold the lock of ``target``, a file ``.NAME.lock`` beside it that goes at the end; wait for whoever holds it.

    Yields whether it is locked. One that a killed process has left is taken over, and goes too.
    """
    path = target.parent / f".{target.name}.lock"
    handle, locked = open_locked(path, wait=True)
    try:
        yield locked
    finally:
        with contextlib.suppress(OSError):  # before the lock is given back: who waits for it sees that it is gone
            os.unlink(path)
        os.close(handle)


def lock(handle: int, *, wait: bool) -> bool:
    """Lock an open file; false where there are no locks, ``BlockingIOError`` where another holds it."""
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
                handle = os.open(path, os.O_RDWR | _NOFOLLOW | _NONBLOCK)
                try:  # where there are no locks nothing tells whether a file is being written
                    if lock(handle, wait=False) and is_at(handle, path):
                        os.unlink(path)
                finally:
                    os.close(handle)
