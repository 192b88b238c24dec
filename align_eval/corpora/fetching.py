"""Files fetched by pooch, whole and verified: none has its final name before its sha256 is the one promised."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin

from align_eval.corpora.testset_entries import is_inner_path
from align_eval.errors import ChecksumError, DownloadError, InputError
from align_eval.files import StrPath, output_errors, sha256_of
from align_eval.io.locks import alone, temporary_beside
from align_eval.version import __version__

#: Called with the bytes at hand and, where the server says it, the bytes of the whole file.
Progress = Callable[[int, int | None], None]

_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_MOVED = "The file may have moved: get it elsewhere and put it into the folder that ALIGN_EVAL_DATA names"
_ENTRY = "Check the entry in the registry"
_HEADERS = {"User-Agent": f"align-eval/{__version__}", "Accept-Encoding": "identity"}


def inner_path(root: StrPath, path: str) -> Path:
    """``root/path``, with ``path`` below ``root`` for certain (symbolic links included), or :class:`InputError`."""
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
    """Fetch a file to ``root/path`` unless it is there with the sha256 (hex); of several processes one fetches it.

    Redirects are followed, but not from ``https`` to ``http``. A broken transfer is begun again (also after 408, 425,
    429 and 5xx answers) after ``backoff`` seconds, doubled each time; ``timeout`` is that without a sign of the server.

    Raises:
        InputError: ``path`` leaves ``root``, or ``url`` is neither ``http`` nor ``https``.
        DownloadError: the file could not be fetched, or has more than ``max_bytes``.
        ChecksumError: the server's file has another sha256; nothing is kept.
        OutputError: the disk is full or the folder not writable.
    """
    if not re.match("https?://", url):
        raise InputError(f"{url!r} cannot be fetched", remedy="Use an address that begins with https:// or http://")
    target = inner_path(root, path)
    if _has(target, sha256):
        return target
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with output_errors(target), alone(target):
        if _has(target, sha256):  # fetched by another process while this one waited
            return target
        with temporary_beside(target) as (handle, part):
            with open(handle, "wb") as stream:
                found = _receive(url, stream, timeout, attempts, backoff, max_bytes, progress)
                stream.flush()
                os.fsync(stream.fileno())
            if found != sha256:
                raise ChecksumError(
                    f"{url} has the sha256 {found}, not the registered {sha256}; nothing of it was kept",
                    remedy="The file has changed at its origin or on the way: try again later, or report it",
                )
            os.replace(part, target)
    return target


def _has(target: Path, sha256: str) -> bool:
    return target.is_file() and sha256_of(target) == sha256


def _receive(
    url: str, stream: BinaryIO, timeout: float, attempts: int, backoff: float, most: int, progress: Progress | None
) -> str:
    """Bring the content of ``url`` into ``stream``; returns its sha256."""
    from pooch import HTTPDownloader
    from requests.exceptions import HTTPError, RequestException, TooManyRedirects

    for attempt in range(attempts):
        sink = _Sink(stream, url, most, progress)
        options = {"timeout": timeout, "headers": _HEADERS, "hooks": {"response": sink.answered}}
        try:
            HTTPDownloader(chunk_size=1 << 16, **options)(url, sink, None)
            return sink.digest.hexdigest()
        except HTTPError as error:
            reason = f"the server answered {error.response.status_code} {error.response.reason}"
            if error.response.status_code not in _TEMPORARY:
                raise DownloadError(f"{url} could not be fetched: {reason}", remedy=_MOVED) from None
        except (ValueError, TooManyRedirects) as error:  # an address that cannot be one, also where a redirect leads
            raise DownloadError(f"{url} could not be fetched: {error}", remedy=_ENTRY) from None
        except RequestException as error:
            reason = str(error) or type(error).__name__
        finally:
            sink.close()
        if attempt + 1 < attempts:
            time.sleep(backoff * 2**attempt)
    raise DownloadError(
        f"{url} could not be fetched: {reason}", remedy="Check the network and run the same command again"
    )


class _Sink:
    """What pooch writes a file to: it counts and limits the bytes, and checks where redirects lead."""

    def __init__(self, stream: BinaryIO, url: str, most: int, progress: Progress | None) -> None:
        if stream.tell():  # what an attempt before has left
            stream.seek(0)
            stream.truncate()
        self.stream, self.url, self.most, self.progress = stream, url, most, progress
        self.digest, self.have = hashlib.sha256(), 0
        self.total: int | None = None
        self.response: Any = None

    def answered(self, response: Any, **options: Any) -> None:
        """A hook of requests for every answer, redirects included."""
        self.response = response
        if response.is_redirect:
            to = urljoin(response.url, response.headers["location"])
            if not re.match("https://" if response.url.startswith("https:") else "https?://", to):
                raise DownloadError(f"{self.url} leads to {to}, which is not followed", remedy=_ENTRY)
        length = re.fullmatch(r"[0-9]{1,18}", response.headers.get("content-length", ""))
        self.total = int(length[0]) if length else None
        self._check(self.total or 0)

    def write(self, block: bytes) -> None:
        self._check(self.have + len(block))
        self.stream.write(block)
        self.have += len(block)
        self.digest.update(block)
        if self.progress is not None:
            self.progress(self.have, self.total)

    def flush(self) -> None:
        """Pooch asks for it after each block."""

    def close(self) -> None:
        if self.response is not None:
            self.response.close()

    def _check(self, size: int) -> None:
        if size > self.most:
            raise DownloadError(f"{self.url} has more than the {self.most} bytes that are accepted", remedy=_ENTRY)
