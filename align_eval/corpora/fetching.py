"""Files fetched once, whole and verified: resumed where a connection broke, never half at their final name.

A file grows under a ``.part`` name that carries its checksum, is compared with the sha256 that was promised, and only
then takes its final name. Where the platform has file locks, two processes that want the same file share the work of
one: the second waits and finds the file there.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from align_eval.corpora.testset_entries import is_inner_path
from align_eval.errors import ChecksumError, DownloadError, InputError
from align_eval.files import StrPath, output_errors, sha256_of
from align_eval.io.locks import is_at, open_locked, temporary_beside
from align_eval.version import __version__

#: Called with the bytes at hand and, where the server says it, the bytes of the whole file.
Progress = Callable[[int, int | None], None]

_BLOCK = 1 << 16
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_CHECK_NETWORK = "Check the network and run the same command again: it goes on where it stopped"


class _Interrupted(Exception):
    """A fault that may be gone at the next attempt."""


def inner_path(root: StrPath, path: str) -> Path:
    """``root/path``, with ``path`` below ``root`` for certain (symbolic links on the way included).

    Raises:
        InputError: ``path`` is absolute, has a part ``..``, or a link on its way leads out of ``root``.
    """
    base = Path(os.path.realpath(root))
    folder = Path(os.path.realpath((base / path).parent)) if is_inner_path(path) else None
    if folder is None or not folder.is_relative_to(base):
        raise InputError(
            f"the path {path!r} leaves the folder {os.fspath(root)}", remedy="Correct the entry in the registry"
        )
    return base / path


def fetch_file(
    url: str,
    root: StrPath,
    path: str,
    sha256: str,
    *,
    timeout: float = 30.0,
    attempts: int = 4,
    backoff: float = 0.5,
    max_bytes: int = 1 << 28,
    progress: Progress | None = None,
) -> Path:
    """Fetch a file to ``root/path`` unless it is there with the right content.

    Args:
        url: ``http`` or ``https``; redirects are followed, but not from ``https`` to ``http``.
        root: the folder that must not be left; it is made if needed.
        path: the place of the file below ``root``, ``/`` between the parts.
        sha256: what the content must have, in hex. A file at ``root/path`` with another one is replaced.
        timeout: seconds without a sign of the server that are waited.
        attempts: how often a broken transfer is taken up again (also after 408, 425, 429 and 5xx answers).
        backoff: seconds before the second attempt; doubled for each further one.
        max_bytes: more is not accepted.
        progress: called as bytes come in.

    Returns:
        The path of the verified file.

    Raises:
        InputError: ``path`` leaves ``root``, or ``url`` is neither ``http`` nor ``https``.
        DownloadError: the file could not be fetched; what came stays as a ``.part`` file, and a later call resumes.
        ChecksumError: the server's file has another sha256; nothing is kept.
        OutputError: the disk is full or the folder not writable.
    """
    if _scheme(url) not in ("http", "https"):
        raise InputError(f"{url!r} cannot be fetched", remedy="Use an address that begins with https:// or http://")
    target = inner_path(root, path)
    if _has(target, sha256):
        return target
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _part(target, sha256) as (stream, part):
        if _has(target, sha256):  # fetched by another process while this one waited
            _remove(part)
            return target
        _fill(stream, part, url, sha256, timeout, attempts, backoff, max_bytes, progress)
        with output_errors(target):
            os.fsync(stream.fileno())
            if os.name == "nt":
                stream.close()
            os.replace(part, target)
    return target


def _has(target: Path, sha256: str) -> bool:
    return target.is_file() and sha256_of(target) == sha256


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@contextlib.contextmanager
def _part(target: Path, sha256: str) -> Iterator[tuple[FileIO, Path]]:
    """The file that collects the bytes, open to read and append, and locked; removed at the end if it is empty.

    Where there are no locks it has a name of its own and is removed in any case: nothing can be resumed there.
    """
    part = target.with_name(f".{target.name}.{sha256[:12]}.part")
    with output_errors(part), contextlib.ExitStack() as stack:
        handle, locked = open_locked(part, wait=True, flags=os.O_APPEND)
        if not locked:
            os.close(handle)
            _remove(part)
            handle, part = stack.enter_context(temporary_beside(target))
        stream = stack.enter_context(FileIO(handle, "a+"))
        try:
            yield stream, part
        finally:
            if not stream.closed and is_at(stream.fileno(), part) and (not locked or _size(stream) == 0):
                _remove(part)


def _size(stream: FileIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _digest(stream: FileIO) -> str:
    digest = hashlib.sha256()
    stream.seek(0)
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _fill(
    stream: FileIO,
    part: Path,
    url: str,
    sha256: str,
    timeout: float,
    attempts: int,
    backoff: float,
    max_bytes: int,
    progress: Progress | None,
) -> None:
    """Bring the content of ``url`` into ``stream`` and verify it."""
    resumed = _size(stream) > 0
    if resumed and _digest(stream) == sha256:
        return
    failed = 0
    while True:
        try:
            _receive(stream, part, url, timeout, max_bytes, progress)
        except _Interrupted as error:
            failed += 1
            if failed >= attempts:
                raise DownloadError(f"{url} could not be fetched: {error}", remedy=_CHECK_NETWORK) from error
            resumed = resumed or _size(stream) > 0
            time.sleep(backoff * 2 ** (failed - 1))
            continue
        found = _digest(stream)
        if found == sha256:
            return
        stream.truncate(0)
        if not resumed:
            raise ChecksumError(
                f"{url} has the sha256 {found}, not the registered {sha256}; nothing of it was kept",
                remedy="The file has changed at its origin or on the way: try again later, or report it",
            )
        resumed = False  # the pieces do not fit together: once more, from the start


def _receive(stream: FileIO, part: Path, url: str, timeout: float, max_bytes: int, progress: Progress | None) -> None:
    """One request: append what is missing to ``stream``.

    Raises:
        _Interrupted: worth another attempt; what came is in ``stream``.
        DownloadError: not worth one.
        OutputError: ``stream`` cannot be written.
    """
    have = _size(stream)
    headers = {"User-Agent": f"align-eval/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            return  # nothing is missing, or the pieces do not fit: the checksum tells
        if error.code in _TEMPORARY:
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from None
        raise DownloadError(
            f"{url} could not be fetched: the server answered {error.code} {error.reason}",
            remedy="The file may have moved: get it elsewhere and put it into the folder that ALIGN_EVAL_DATA names",
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_reason(error)) from error
    except ValueError as error:  # an address that cannot be one, also where a redirect leads
        raise DownloadError(f"{url} could not be fetched: {error}", remedy="Check the entry in the registry") from None
    with response:
        if response.status == 206:
            start = re.match(r"bytes ([0-9]{1,18})-", response.headers.get("Content-Range", ""))
            if start is None or int(start[1]) != have:
                stream.truncate(0)
                raise _Interrupted("the server sent another part of the file than was asked for")
        else:
            stream.truncate(0)
            have = 0
        length = re.fullmatch(r"[0-9]{1,18}", response.headers.get("Content-Length", ""))
        total = have + int(length[0]) if length else None
        while have <= max_bytes and (total is None or total <= max_bytes):
            try:
                block = response.read1(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _Interrupted(f"the connection broke after {have} bytes: {_reason(error)}") from error
            if not block:
                break
            with output_errors(part):
                rest = memoryview(block)
                while rest:
                    rest = rest[stream.write(rest) :]
            have += len(block)
            if progress is not None:
                progress(have, total)
        else:
            stream.truncate(0)
            raise DownloadError(
                f"{url} has more than the {max_bytes} bytes that are accepted", remedy="Check the entry in the registry"
            )
    if total is not None and have < total:
        raise _Interrupted(f"the connection ended after {have} of {total} bytes")


def _scheme(url: str) -> str:
    with contextlib.suppress(ValueError):
        return urllib.parse.urlsplit(url).scheme
    return ""


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(cause) or type(cause).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to ``http`` and ``https``, and from ``https`` to ``https`` only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = _scheme(newurl)
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise DownloadError(
                f"{req.full_url} leads to {newurl}, which is not followed", remedy="Check the entry in the registry"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """An opener for ``http`` and ``https`` alone, with the proxies that the environment names."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
