"""Files in and out: compressed text read transparently, output written whole or not at all."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Union, cast

from align_eval.errors import AlignEvalError, EncodingError, FormatError, MissingFileError, OutputError
from align_eval.first_bytes import ENOUGH, check_text, sniff, utf8_remedy
from align_eval.io.locks import temporary_beside

#: Bytes of a line at most, unless the environment says otherwise.
MOST_LINE = 64 << 20
StrPath = Union[str, "os.PathLike[str]"]


def cache_folder() -> Path:
    """The folder for downloads and converted models: ``ALIGN_EVAL_CACHE``, else ``$XDG_CACHE_HOME/align-eval``."""
    named = os.environ.get("ALIGN_EVAL_CACHE")
    if named:
        return Path(named).expanduser()
    return _below_home("XDG_CACHE_HOME", ".cache", "Set ALIGN_EVAL_CACHE to a folder for models and downloads")


def config_folder() -> Path:
    """The folder of what a user has set down for good: ``$XDG_CONFIG_HOME/align-eval``."""
    return _below_home("XDG_CONFIG_HOME", ".config", "Set ALIGN_EVAL_TESTSETS to a file for own test sets")


def _below_home(variable: str, usual: str, remedy: str) -> Path:
    base = Path(os.environ.get(variable) or os.path.join("~", usual))
    try:
        return base.expanduser() / "align-eval"
    except RuntimeError:  # a user whom the machine does not know, as in containers
        raise MissingFileError("this user has no home folder", remedy=remedy) from None


def data_folder() -> Path:
    """The folder of the data that the project ships: inside the package, or ``data/`` of a checkout."""
    packaged = Path(__file__).resolve().parent / "_data"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / "data"


def short_names(paths: Sequence[str]) -> list[str]:
    """What files are called in tables: without their folders where two have not the same name; ``-`` is stdin."""
    short = ["stdin" if path == "-" else Path(path).name for path in paths]
    return [path if short.count(name) > 1 else name for path, name in zip(paths, short, strict=True)]


def sha256_of(path: StrPath) -> str:
    """The sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


_ENDINGS = {".gz": "gzip", ".xz": "xz", ".zst": "zstd"}
_READERS: dict[str, Callable[[BinaryIO], Any]] = {
    "gzip": lambda raw: gzip.GzipFile(fileobj=raw), "xz": lzma.LZMAFile, "bzip2": bz2.BZ2File,
    "zstd": lambda raw: BlockReader(_zstd_blocks(raw)),
}  # fmt: skip


class _Unpacking(io.BufferedReader):
    """Buffered bytes of a compressed file; closing it closes the file below."""

    def __init__(self, unpacked: Any, packed: BinaryIO) -> None:
        super().__init__(unpacked, 1 << 17)
        self._packed = packed

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._packed.close()


def unpacked(raw: BinaryIO, name: str) -> BinaryIO:
    """Return ``raw`` decompressed if its first bytes say that it is gzip, xz, Zstandard or bzip2 data, else ``raw``.

    What is named ``.gz``, ``.xz`` or ``.zst`` and is not compressed raises when it is read.
    """
    peek = getattr(raw, "peek", None)
    kind = sniff(peek(ENOUGH)) if peek is not None else None
    if kind is None:
        kind = next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)
    return raw if kind is None else _Unpacking(_READERS[kind](raw), raw)


def open_binary(path: StrPath) -> BinaryIO:
    """Open ``path`` for reading bytes; gzip, xz, Zstandard and bzip2 data is decompressed; ``-`` is standard input."""
    name = os.fspath(path)
    if name == "-":
        return sys.stdin.buffer
    try:
        raw = open(name, "rb")  # noqa: SIM115
    except OSError as error:
        what, remedy = {
            errno.ENOENT: ("no such file", "Check the path"),
            errno.EISDIR: ("is a folder, not a file", "Name a file in it"),
        }.get(error.errno or 0, (f"cannot be opened: {error.strerror}", "Check its rights"))  # fmt: skip
        raise MissingFileError(what, file=name, remedy=remedy) from None
    except ValueError as error:
        raise MissingFileError(f"is not a possible path: {error}", file=repr(name), remedy="Check the path") from None
    return unpacked(raw, name)


@contextlib.contextmanager
def unpacking_errors(name: str, line: Callable[[], int] | None = None) -> Iterator[None]:
    """Turn the errors of damaged compressed data into an :class:`EncodingError` that names the file."""
    try:
        yield
    except Exception as error:
        damaged = isinstance(error, (EOFError, lzma.LZMAError, gzip.BadGzipFile))
        damaged = damaged or (isinstance(error, OSError) and error.errno is None and "data stream" in str(error))  # bz2
        if not damaged and type(error).__name__ != "ZstdError" and type(error).__module__ != "zlib":
            raise
        after = f" after line {line()}" if line else ""
        raise EncodingError(
            f"the compressed data is damaged{after}: {error}", file=name,
            remedy="Fetch the file again; if it is not packed, take the ending off its name",
        ) from None  # fmt: skip


def read_lines(path: StrPath) -> Iterator[tuple[int, str]]:
    r"""Yield ``(line number from 1, line without its end)``, decoded as strict UTF-8.

    Only ``\n`` (and a ``\r`` before it) ends a line: U+2028, U+0085 and form feeds are text. A byte order mark at the
    start of the file is dropped.
    """
    name = os.fspath(path)
    stream = open_binary(path)
    try:
        yield from decode_lines(stream, name)
    finally:
        if name != "-":
            stream.close()


#: Looks at a block of whole lines, given the number of lines before it and the file's name, and raises.
LinesCheck = Callable[[bytes, int, str], None]


def decode_lines(stream: BinaryIO, name: str, check: LinesCheck | None = None) -> Iterator[tuple[int, str]]:
    """Like :func:`read_lines`, from an open stream of bytes (which stays open)."""
    read = getattr(stream, "read1", stream.read)
    number = 0
    parts: list[bytes] = []  # the pieces of a line whose end has not been read yet
    held = 0
    with unpacking_errors(name, lambda: number):
        while True:
            block = read(1 << 17)
            check_text(block, name, number + 1, start=number == 0 and not parts)
            cut = block.rfind(b"\n") if block else 0
            if cut < 0:
                parts.append(block)
                held += len(block)
                check_line_size(held, name, number + 1)
                continue
            held = len(block) - cut - 1
            parts.append(block[:cut])
            chunk = b"".join(parts)
            parts = [block[cut + 1 :]]
            if not block and not chunk:
                return
            if number == 0 and chunk.startswith(b"\xef\xbb\xbf"):
                chunk = chunk[3:]
            if b"\r" in chunk:
                chunk = chunk.replace(b"\r\n", b"\n")
                if block and chunk.endswith(b"\r"):
                    chunk = chunk[:-1]
            if check is not None:
                check(chunk, number, name)
            try:
                lines = chunk.decode("utf-8").split("\n")
            except UnicodeDecodeError:
                for raw in chunk.split(b"\n"):
                    number += 1
                    yield number, decoded(raw, name, number)
            else:
                for line in lines:
                    number += 1
                    yield number, line
            if not block:
                return


def check_line_size(size: int, name: str, line: int | Callable[[], int]) -> None:
    """Refuse a line that no text has: a few kilobytes of compressed data may hold one that fills the memory."""
    if size <= MOST_LINE:
        return
    most = raised_limit("ALIGN_EVAL_MAX_LINE", MOST_LINE)
    if size > most:
        raise FormatError(
            f"the line has more than {most:,} bytes", file=name, line=line() if callable(line) else line,
            remedy="Check that this is text; ALIGN_EVAL_MAX_LINE=BYTES takes longer lines",
        )  # fmt: skip


def raised_limit(variable: str, usual: int) -> int:
    """A limit: what the environment variable says where that is a whole number, else the usual one."""
    asked = os.environ.get(variable, "")
    return int(asked) if asked.isdecimal() and len(asked) < 19 else usual


def decoded(raw: bytes, name: str, number: int) -> str:
    """A line of the file ``name`` as text; an :class:`EncodingError` where it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EncodingError(
            f"byte 0x{raw[error.start]:02x} at column {error.start + 1} is not UTF-8", file=name, line=number,
            remedy=utf8_remedy(raw, error.start),
        ) from None  # fmt: skip


def count_lines(stream: BinaryIO, name: str) -> int:
    """The number of lines that :func:`decode_lines` would give, counted without decoding; the stream stays open."""
    count, last = 0, b"\n"
    with unpacking_errors(name):
        while block := stream.read(1 << 20):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


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
            errno.EISDIR: "Name a file in that folder",
            errno.EFBIG: "Raise the limit of file sizes (ulimit -f) or write elsewhere with -o",
        }
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(
            f"cannot be written: {error.strerror or error}", file=path,
            remedy=remedies.get(error.errno or 0, "Check the path and the disk"),
        ) from error  # fmt: skip


@contextlib.contextmanager
def atomic_writer(path: StrPath, mode: str = "w") -> Iterator[IO[str]]:
    """Open a file that appears at ``path`` only when the block ends without an error.

    Text is UTF-8 with ``\\n`` line ends; ``mode="wb"`` gives bytes. A link is followed and its target replaced. What
    stood at ``path`` before stays until then, and stays for good if the block raises. A device or a pipe
    (``/dev/null``, ``/dev/stdout``, a process substitution) is written to as it is, never replaced.
    """
    target = Path(os.path.realpath(path))
    with output_errors(path):
        if is_special(path):
            with _writable(os.open(path, os.O_WRONLY), mode) as stream:
                yield stream
            return
        with temporary_beside(target) as (handle, temporary):
            with _writable(handle, mode) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)


def is_special(path: StrPath) -> bool:
    """Whether something stands at ``path`` that is neither a file nor a folder."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _writable(handle: int, mode: str) -> IO[str]:
    if "b" in mode:
        return cast(IO[str], os.fdopen(handle, "wb"))
    return os.fdopen(handle, "w", encoding="utf-8", newline="\n")


@contextlib.contextmanager
def output_stream(path: StrPath) -> Iterator[BinaryIO]:
    """Open ``path`` for writing bytes: compressed if it ends in ``.gz``, ``.xz`` or ``.zst``, whole or not at all.

    ``-`` is standard output (not compressed). Equal content gives equal bytes: no time stamp is stored.
    """
    name = os.fspath(path)
    if name == "-":
        with output_errors("standard output"):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    with atomic_writer(path, "wb") as text:
        raw = cast(BinaryIO, text)
        packed: Any = None
        if name.endswith(".gz"):
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)
        elif name.endswith(".xz"):
            packed = lzma.LZMAFile(raw, "wb")  # noqa: SIM115
        elif name.endswith(".zst"):
            import zstandard

            packed = zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
        if packed is None:
            yield raw
        else:
            with packed:
                yield packed


class BlockReader(io.RawIOBase):
    """Blocks of bytes as a stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._pending:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._pending = memoryview(block)
        size = min(len(buffer), len(self._pending))
        buffer[:size], self._pending = self._pending[:size], self._pending[size:]
        return size


def _zstd_blocks(raw: BinaryIO) -> Iterator[bytes]:
    """The unpacked bytes of Zstandard frames; a frame that is cut short raises ``EOFError``.

    (The package's own ``stream_reader`` takes the end of the file for the end of the data.)
    """
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    begun = False
    while packed := frame.unused_data or raw.read(1 << 12):  # 128 MiB unpacked at most
        if frame.eof:
            frame = zstandard.ZstdDecompressor().decompressobj()
        begun = True
        yield frame.decompress(packed)
    if begun and not frame.eof:
        raise EOFError("the file ends within a Zstandard frame")


#: Bytes up to which a file is always read: it takes less time than a look into the cache.
SMALL = 1 << 20
#: Nanoseconds that a file must have been left alone: a change within the resolution of its time would not show.
SETTLED = 2 * 10**9


def digest_of(path: StrPath) -> str:
    """The sha256 of a file's bytes, in hex.

    A large file is read once and its digest kept in the cache folder. It is read again when its path, size, inode, time
    of change or time of status change is another one: the last also moves when somebody sets the time of change back.
    """
    real = os.path.realpath(path)
    state = _state(real)
    if state["size"] <= SMALL:
        return sha256_of(real)
    kept = cache_folder() / "digests" / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError):
        entry = parse_json(kept.read_text("utf-8"))
        digest = entry.pop("sha256")
        if entry == state and len(digest) == 64:
            return str(digest)
    digest = sha256_of(real)
    if _state(real) == state and time.time_ns() - max(state["changed"], state["status"]) > SETTLED:
        with contextlib.suppress(OSError, AlignEvalError, RuntimeError):  # what is not kept costs time only
            kept.parent.mkdir(parents=True, exist_ok=True)
            with atomic_writer(kept) as stream:
                json.dump({**state, "sha256": digest}, stream)
    return digest


def _state(real: str) -> dict[str, int]:
    found = os.stat(real)
    return {
        "size": found.st_size, "inode": found.st_ino, "device": found.st_dev,
        "changed": found.st_mtime_ns, "status": found.st_ctime_ns,
    }  # fmt: skip


def parse_json(text: str | bytes) -> Any:
    """JSON of a file; a ``ValueError`` also for what is nested too deeply, is not UTF-8, or could not be written so."""
    try:
        value = json.loads(text)
        if (b"\\" in text) if isinstance(text, bytes) else ("\\" in text):  # half a surrogate pair, as an escape
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise UnicodeError(f"half of a surrogate pair (U+{half:04X}), which is no character") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
