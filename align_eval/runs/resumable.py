"""Lines written in blocks that survive an interruption: a run goes on where it stopped, with nothing lost or doubled.

While a run is under way its output stands in ``NAME.part`` beside a journal ``NAME.part.json``, which is replaced
atomically after each block and says what the run was asked for and how far ``NAME.part`` holds. Whatever a killed run
wrote after its last journal entry is cut off. The last step renames ``NAME.part`` to ``NAME``.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
from pathlib import Path
from typing import IO, Any, cast

from align_eval.errors import InputError
from align_eval.files import StrPath, atomic_writer, output_errors


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


class ResumableOutput:
    """An output file written block by block.

    Args:
        path: where the finished file is to stand.
        settings: what the run was asked for, as JSON values; a journal with other settings is not continued.
        resume: continue an unfinished run with the same settings; ``False`` starts over.

    Raises:
        InputError: an unfinished run with other settings stands beside ``path``.
        OutputError: the folder cannot be written.
    """

    def __init__(self, path: StrPath, settings: dict[str, Any], resume: bool = True) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.journal = self.path.with_name(self.path.name + ".part.json")
        self.settings = json.loads(json.dumps(settings))
        self._compress = compressor(path)
        self.lines = 0
        self._bytes = 0
        with output_errors(path):
            self._open(resume)

    def _open(self, resume: bool) -> None:
        if resume and self.journal.exists() and self.part.exists():
            self._read_journal()
        stream = open(self.part, "r+b" if self._bytes else "wb")  # noqa: SIM115
        self._stream: IO[bytes] = cast(IO[bytes], stream)
        self._stream.truncate(self._bytes)
        self._stream.seek(self._bytes)
        self._write_journal()

    def _read_journal(self) -> None:
        try:
            journal = json.loads(self.journal.read_text(encoding="utf-8"))
            settings, lines, size = journal["settings"], int(journal["lines"]), int(journal["bytes"])
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "the journal of an unfinished run cannot be read",
                file=self.journal,
                remedy="Start over with --restart",
            ) from None
        if settings != self.settings:
            differing = sorted(
                k for k in {*settings, *self.settings} if settings.get(k, "") != self.settings.get(k, "")
            )
            raise InputError(
                f"an unfinished run with other settings stands there ({', '.join(differing)} differ)",
                file=self.part,
                remedy="Repeat its settings to finish it, or start over with --restart",
            )
        if self.part.stat().st_size >= size:
            self.lines, self._bytes = lines, size

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

    def finish(self) -> None:
        """Give the file its name and remove the journal."""
        with output_errors(self.path):
            self._stream.close()
            os.replace(self.part, self.path)
            self.journal.unlink()

    def close(self) -> None:
        """Leave the run unfinished; it can be resumed."""
        self._stream.close()
