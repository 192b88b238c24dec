"""Files in and out: compressed text read transparently, output written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import lzma
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Union, cast

from align_eval.errors import EncodingError, InputError, MissingFileError, OutputError

StrPath = Union[str, "os.PathLike[str]"]


def cache_folder() -> Path:
    """The folder for downloads and converted models: ``ALIGN_EVAL_CACHE``, else ``$XDG_CACHE_HOME/align-eval``."""
    named = os.environ.get("ALIGN_EVAL_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(base).expanduser() / "align-eval"


def data_folder() -> Path:
    """The folder of the data that the project ships: inside the package, or ``data/`` of a checkout."""
    packaged = Path(__file__).resolve().parent / "_data"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / "data"


def sha256_of(path: StrPath) -> str:
    """The sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _zstd_reader(raw: BinaryIO, path: str) -> BinaryIO:
    try:
        from compression import zstd  # Python 3.14

        return cast(BinaryIO, zstd.open(raw, "rb"))
    except ImportError:
        pass
    try:
        import zstandard
    except ImportError:
        raise InputError(
            "Zstandard files need the package zstandard", file=path, remedy="Install it: pip install 'align-eval[zstd]'"
        ) from None
    return cast(BinaryIO, io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)))


def open_binary(path: StrPath) -> BinaryIO:
    """Open ``path`` for reading bytes; ``.gz``, ``.xz`` and ``.zst`` are decompressed, ``-`` is standard input.

    Raises:
        MissingFileError: the file does not exist, is a folder, or may not be read.
    """
    name = os.fspath(path)
    if name == "-":
        return sys.stdin.buffer
    try:
        raw = open(name, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise MissingFileError("no such file", file=name, remedy="Check the path") from None
    except IsADirectoryError:
        raise MissingFileError("is a folder, not a file", file=name, remedy="Name a file in it") from None
    except OSError as error:
        raise MissingFileError(f"cannot be opened: {error.strerror}", file=name, remedy="Check its rights") from None
    if name.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if name.endswith(".xz"):
        return cast(BinaryIO, lzma.LZMAFile(raw))
    if name.endswith(".zst"):
        return _zstd_reader(raw, name)
    return raw


def read_lines(path: StrPath) -> Iterator[tuple[int, str]]:
    r"""Yield ``(line number from 1, line without its end)``, decoded as strict UTF-8.

    Only ``\n`` (and a ``\r`` before it) ends a line: U+2028, U+0085 and form feeds are text. A byte order mark at the
    start of the file is dropped.

    Raises:
        MissingFileError: the file cannot be opened.
        EncodingError: undecodable bytes, or a compressed stream that is damaged; names the line.
    """
    name = os.fspath(path)
    stream = open_binary(path)
    number = 0
    try:
        for raw in stream:
            number += 1
            if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw = raw[3:]
            if raw.endswith(b"\n"):
                raw = raw[:-1]
                if raw.endswith(b"\r"):
                    raw = raw[:-1]
            try:
                yield number, raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise EncodingError(
                    f"byte 0x{raw[error.start]:02x} at column {error.start + 1} is not UTF-8",
                    file=name,
                    line=number,
                    remedy="Convert the file to UTF-8 (for example: iconv -f ISO-8859-1 -t UTF-8)",
                ) from None
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise EncodingError(
            f"the compressed data is damaged after line {number}: {error}", file=name, remedy="Fetch the file again"
        ) from None
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise EncodingError(
                f"the compressed data is damaged after line {number}: {error}", file=name, remedy="Fetch the file again"
            ) from None
        if type(error).__module__ == "zlib":
            raise EncodingError(
                f"the compressed data is damaged after line {number}: {error}", file=name, remedy="Fetch the file again"
            ) from None
        raise
    finally:
        if name != "-":
            stream.close()


@contextlib.contextmanager
def output_errors(path: StrPath) -> Iterator[None]:
    """Turn an ``OSError`` of writing (a full disk, a read-only folder) into an :class:`OutputError` with a remedy."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        remedies = {
            errno.ENOSPC: "Free space on that disk or write elsewhere with -o",
            errno.EDQUOT: "Your quota is used up: free space or write elsewhere with -o",
            errno.EACCES: "Check the rights of the folder or write elsewhere with -o",
            errno.EROFS: "That file system is read-only: write elsewhere with -o",
            errno.ENOENT: "The folder does not exist: create it first",
        }
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            file=path,
            remedy=remedies.get(error.errno or 0, "Check the path and the disk"),
        ) from error


@contextlib.contextmanager
def atomic_writer(path: StrPath, mode: str = "w") -> Iterator[IO[str]]:
    """Open a file that appears at ``path`` only when the block ends without an error.

    Text is UTF-8 with ``\\n`` line ends; ``mode="wb"`` gives bytes. A link is followed and its target replaced. What
    stood at ``path`` before stays until then, and stays for good if the block raises.

    Raises:
        OutputError: the file cannot be written (disk full, folder missing or not writable).
    """
    target = Path(os.path.realpath(path))
    with output_errors(path):
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        try:
            if "b" in mode:
                stream: IO[str] = cast(IO[str], os.fdopen(handle, "wb"))
            else:
                stream = os.fdopen(handle, "w", encoding="utf-8", newline="\n")
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
