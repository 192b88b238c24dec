"""Lines written in blocks that survive an interruption: a run goes on where it stopped, with nothing lost or doubled.

While a run is under way its output stands in ``NAME.part`` beside a journal ``NAME.part.json``, which is replaced
atomically after each block and says what the run was asked for and how far ``NAME.part`` holds. Whatever a killed run
wrote after its last journal entry is cut off. The last step renames ``NAME.part`` to ``NAME``. A run that fails before
its first block removes both, and one that was killed before it blocks no other.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import lzma
import os
from pathlib import Path
from typing import IO, Any, Protocol, cast

from align_eval.errors import InputError, OutputError
from align_eval.files import StrPath, atomic_writer, output_errors, sha256_of
from align_eval.nested import parse_json
from align_eval.temporaries import open_unlinked


def compressor(path: StrPath) -> Any:
    """A function from bytes to bytes that compresses a block as the name's ending says (.gz, .xz, .zst, else plain).

    Blocks may be concatenated: each is a gzip member, an xz stream or a Zstandard frame.
    """
    name = os.fspath(path)
    if name.endswith(".gz"):
        return lambda block: gzip.compress(block, mtime=0)
    if name.endswith(".xz"):
        return lzma.compress
    if name.endswith(".zst"):
        try:
            from compression import zstd  # Python 3.14

            return zstd.compress
        except ImportError:
            pass
        try:
            import zstandard
        except ImportError:
            raise InputError(
                "Zstandard files need the package zstandard",
                file=name,
                remedy="Install it: pip install 'align-eval[zstd]'",
            ) from None
        return lambda block: zstandard.ZstdCompressor().compress(block)
    return lambda block: block


class LineOutput(Protocol):
    """Lines written in blocks: into one file (:class:`ResumableOutput`), or into many."""

    @property
    def lines(self) -> int:
        """How many lines hold, those of an interrupted run included."""

    @property
    def part(self) -> Path:
        """A file of the unfinished run, for messages."""

    def append(self, lines: list[str]) -> None:
        """Write a block of lines (without their ends) and make it last."""

    def seal(self) -> dict[str, Any]:
        """What a sidecar says of the output, which no line may follow: ``lines``, ``sha256``, and what else is so."""

    def finish(self) -> None:
        """Give the output its name."""

    def close(self) -> None:
        """Leave the run unfinished; if no line holds, leave nothing."""


class ResumableOutput:
    """An output file written block by block.

    Attributes:
        resumed: an unfinished run is continued.

    Args:
        path: where the finished file is to stand.
        settings: what the run was asked for, as JSON values; a journal with other settings is not continued.
        resume: continue an unfinished run with the same settings; ``False`` starts over.

    Raises:
        InputError: an unfinished run with other settings, or a journal that cannot be read, stands beside ``path``.
        OutputError: the folder cannot be written, ``path`` is no regular file, or another run is writing it.
    """

    def __init__(self, path: StrPath, settings: dict[str, Any], resume: bool = True) -> None:
        self.path = Path(os.path.realpath(path))  # a link is followed, not replaced
        self.part = self.path.with_name(self.path.name + ".part")
        self.journal = self.path.with_name(self.path.name + ".part.json")
        self.settings = json.loads(json.dumps(settings))
        self._compress = compressor(path)
        self.lines = 0
        self.resumed = False
        self._bytes = 0
        self._whole = False
        with output_errors(path):
            self._open(resume)

    def _open(self, resume: bool) -> None:
        if self.path.exists() and not self.path.is_file():
            raise OutputError("is not a regular file", file=self.path, remedy="Name another output file")
        unfinished = resume and self.journal.exists() and self.part.exists()
        handle = open_unlinked(self.part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0))
        self._stream: IO[bytes] = cast(IO[bytes], os.fdopen(handle, "r+b"))
        try:
            _lock(self._stream, self.part)
            if unfinished:
                self._read_journal()
            self._stream.truncate(self._bytes)
            self._stream.seek(self._bytes)
            self._write_journal()
        except BaseException:
            self._stream.close()
            raise

    def _read_journal(self) -> None:
        try:
            journal = parse_json(self.journal.read_text(encoding="utf-8"))
            settings, lines, size = dict(journal["settings"]), int(journal["lines"]), int(journal["bytes"])
            if min(lines, size) < 0 or (lines > 0) != (size > 0):
                raise ValueError("numbers that do not fit")
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "the journal of an unfinished run cannot be read",
                file=self.journal,
                remedy="Start over with --restart",
            ) from None
        if settings != self.settings and lines:
            before, now = _flat(settings), _flat(self.settings)
            differing = sorted(k for k in {*before, *now} if before.get(k, ...) != now.get(k, ...))
            raise InputError(
                f"an unfinished run with other settings stands there (different: {', '.join(differing)})",
                file=self.part,
                remedy="Repeat its settings to finish it, or start over with --restart",
            )
        if settings == self.settings and os.fstat(self._stream.fileno()).st_size >= size:
            self.lines, self._bytes, self.resumed = lines, size, True

    def _write_journal(self) -> None:
        with atomic_writer(self.journal) as stream:
            json.dump({"settings": self.settings, "lines": self.lines, "bytes": self._bytes}, stream)

    def append(self, lines: list[str]) -> None:
        """Write a block of lines (without their ends) and make it last.

        Raises:
            OutputError: the disk is full or the file cannot be written.
        """
        block = self._compress("".join(f"{line}\n" for line in lines).encode("utf-8")) if lines else b""
        with output_errors(self.path):
            self._stream.write(block)
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self.lines += len(lines)
            self._bytes += len(block)
            self._write_journal()

    def held(self) -> bytes:
        """The bytes that the blocks written so far take up, as they stand in the file."""
        with open(self.part, "rb") as stream:
            return stream.read(self._bytes)

    def seal(self) -> dict[str, Any]:
        """``lines`` and ``sha256`` of the file that :meth:`finish` will name; no line may follow."""
        with output_errors(self.path):
            self._complete()
            return {"lines": self.lines, "sha256": sha256_of(self.part)}

    def _complete(self) -> None:
        if not self._whole and not self._bytes:
            self._stream.write(self._compress(b""))  # no line at all is a compressed file too
            self._stream.flush()
        self._whole = True

    def finish(self) -> None:
        """Give the file its name and remove the journal."""
        with output_errors(self.path):
            self._complete()
            self._stream.close()
            os.replace(self.part, self.path)
            self.journal.unlink()

    def close(self, keep: bool = False) -> None:
        """Leave the run unfinished; it can be resumed. If no line holds, nothing stays behind, unless ``keep``."""
        if not self.lines and not keep and not self._stream.closed:
            with contextlib.suppress(OSError):
                self.journal.unlink(missing_ok=True)
                self.part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # bytes that a full disk refused; they are not in the journal
            self._stream.close()


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with those of an inner group, such as the signature, beside the others."""
    groups = [value if isinstance(value, dict) else {key: value} for key, value in settings.items()]
    return {key: value for group in groups for key, value in group.items()}


def _lock(stream: IO[bytes], path: Path) -> None:
    """Keep other runs from writing ``stream`` until it is closed (where the system has such locks)."""
    try:
        import fcntl
    except ImportError:
        return
    busy = OutputError("another run is writing this file", file=path, remedy="Wait for it, or write elsewhere")
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise busy from None
    except OSError:
        return  # a file system without locks
    if not path.exists() or not os.path.samestat(os.fstat(stream.fileno()), path.stat()):
        raise busy  # it ended in the meantime and took the file away
