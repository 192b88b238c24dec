"""The sha256 of large files, remembered while a file stays as it is: weights need not be read whole at every load."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from align_eval.errors import AlignEvalError
from align_eval.files import StrPath, atomic_writer, cache_folder, sha256_of
from align_eval.nested import parse_json

SMALL = 1 << 20
"""Bytes up to which a file is always read: it takes less time than a look into the cache."""
SETTLED = 2 * 10**9
"""Nanoseconds that a file must have been left alone: a change within the resolution of its time would not show."""


def digest_of(path: StrPath) -> str:
    """The sha256 of a file's bytes, in hex.

    A large file is read once and its digest kept in the cache folder. It is read again when its path, size, inode, time
    of change or time of status change is another one: the last also moves when somebody sets the time of change back.
    """
    real = os.path.realpath(path)
    state = _state(real)
    if state["size"] <= SMALL:
        return sha256_of(real)
    kept = _kept(real)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError):
        entry = parse_json(kept.read_text("utf-8"))
        digest = entry.pop("sha256")
        if entry == state and len(digest) == 64:
            return str(digest)
    digest = sha256_of(real)
    if _state(real) == state and time.time_ns() - max(state["changed"], state["status"]) > SETTLED:
        with contextlib.suppress(
            OSError, AlignEvalError, RuntimeError
        ):  # a cache that cannot be written costs time only
            kept.parent.mkdir(parents=True, exist_ok=True)
            with atomic_writer(kept) as stream:
                json.dump({**state, "sha256": digest}, stream)
    return digest


def _kept(real: str) -> Path:
    return cache_folder() / "digests" / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}.json"


def _state(real: str) -> dict[str, int]:
    found = os.stat(real)
    return {
        "size": found.st_size,
        "inode": found.st_ino,
        "device": found.st_dev,
        "changed": found.st_mtime_ns,
        "status": found.st_ctime_ns,
    }
