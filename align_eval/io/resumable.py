"""The one resumable writer: lines in blocks, into one file or into shards, that survive an interruption.

While a run is under way its output stands in ``NAME.part`` beside a journal ``NAME.part.jsonl`` (:class:`Journal`): the
key of the run, then a row a block with what holds. A run with the same key goes on after the last row, once what is
written and what was read for it are found to be as they were; what a killed run wrote behind it is cut off. The last
steps name the file and remove the journal. A run that fails before its first block leaves nothing, and one that was
killed before it blocks no other.

``out.talp`` in shards of N lines is ``out-00000.talp``, ``out-00001.talp``, ...; each appears whole, as soon as it is.
The journal is then ``out.talp.shards.part.jsonl``, and a row a shard says lines, bytes and sha256 before the shard gets
its name; at the end ``out.talp.shards.jsonl`` lists them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from align_eval.errors import InputError, OutputError
from align_eval.files import StrPath, atomic_writer, output_errors, parse_json, sha256_of
from align_eval.io.locks import open_locked, sweep
from align_eval.io.parts import Lines, Parquet, compressor
from align_eval.version import __version__


@dataclass(frozen=True)
class Key:
    """Everything that decides an output, by name, the version of this package included.

    A part may be a group of parts (the signature of an aligner). What is said of a model must be what identifies it:
    :func:`align_eval.models.loaded.signature_of`.

    >>> Key.of(layer=7).changed({"layer": 8, "version": __version__})
    ['layer']
    """

    parts: dict[str, Any]

    @classmethod
    def of(cls, **parts: Any) -> Key:
        """A key of values that JSON has."""
        return cls(json.loads(json.dumps({**parts, "version": __version__})))

    @property
    def digest(self) -> str:
        """16 hex digits of a sha256 over all parts."""
        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()[:16]

    def changed(self, before: Any) -> list[str]:
        """The names of the parts that are others than in ``before``, the parts of another key."""
        old, new = _flat(before), _flat(self.parts)
        return sorted(name for name in {*old, *new} if old.get(name, ...) != new.get(name, ...))

    def require(self, before: Any, what: str, file: StrPath) -> None:
        """Refuse to go on with ``what`` unless ``before`` has the same parts."""
        if changed := self.changed(before):
            raise InputError(
                f"{what} stands there (different: {', '.join(changed)})", file=file,
                remedy="Repeat its settings to finish it, write elsewhere, or start over with --restart",
            )  # fmt: skip


def _flat(parts: Any) -> dict[str, Any]:
    """The parts with those of a group beside the others; nothing if it is no key."""
    if not isinstance(parts, dict):
        return {}
    groups = [value if isinstance(value, dict) else {name: value} for name, value in parts.items()]
    return {name: value for group in groups for name, value in group.items()}


REMEDY = "Start over with --restart"


class Journal:
    """JSON lines that only grow, locked while open; each row is on the disk when added.

    A line is the row, a tab, and 16 hex digits: a checksum over it and those before it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        handle, _ = open_locked(path, wait=False)
        self._stream = os.fdopen(handle, "r+b", buffering=0)
        self._sum, self.closed = "", False

    def rows(self) -> list[dict[str, Any]]:
        """The rows that an earlier run has added; what a kill has cut short behind the last is cut off."""
        self._stream.seek(0)
        text, _, torn = self._stream.readall().rpartition(b"\n")
        rows, self._sum = [], ""
        for number, line in enumerate(text.split(b"\n") if text else [], 1):
            row, tab, told = line.rpartition(b"\t")
            self._sum = _sum(self._sum, row)
            if not tab or told != self._sum.encode():
                raise self.damaged(number)
            try:
                rows.append(parse_json(row))
            except ValueError:
                raise self.damaged() from None
        if not all(isinstance(row, dict) for row in rows):
            raise self.damaged()
        size = self._stream.tell() - len(torn)
        self._stream.truncate(size)
        self._stream.seek(size)
        return rows

    def damaged(self, line: int | None = None) -> InputError:
        """The error of a journal that is not as it was written."""
        return InputError(
            "the journal of an unfinished run cannot be read: it is damaged", file=self.path, line=line, remedy=REMEDY
        )

    def begin(self) -> None:
        """Forget all rows."""
        self._stream.truncate(0)
        self._stream.seek(0)
        self._sum = ""

    def add(self, row: dict[str, Any]) -> None:
        """Add a row."""
        text = json.dumps(row, ensure_ascii=False).encode("utf-8")
        self._sum = _sum(self._sum, text)
        line = memoryview(text + b"\t" + self._sum.encode() + b"\n")
        while line:
            line = line[self._stream.write(line) or 0 :]
        os.fsync(self._stream.fileno())

    def remove(self) -> None:
        """Take the file away, and close it: while it is locked, so that no other run finds it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.close()

    def close(self) -> None:
        """Close it and leave it."""
        self._stream.close()
        self.closed = True


def _sum(before: str, text: bytes) -> str:
    return hashlib.sha256(before.encode() + text).hexdigest()[:16]


COMPRESSED = (".gz", ".xz", ".zst")
READ_NOTHING = ""


def read_after(before: str, block: str) -> str:
    """What has been read after one more block: a digest over those of all blocks."""
    return hashlib.sha256(f"{before} {block}".encode()).hexdigest()[:32]


class ResumableWriter:
    """An output that is written block by block, to ``path`` or to shards named after it.

    ``key`` decides the output but for what is read; a run with another key is not continued, and with ``resume`` false
    none. ``shard_lines`` are those of every shard but the last; shards may be Parquet files, and one that was being
    written is written anew then.

    Attributes:
        lines: how many hold, those of an interrupted run included.
        read: digest of the input that they were made from (:func:`read_after`): whoever goes on reads it again and
            compares.
        part: a file of the unfinished run, for messages.

    Raises:
        InputError: an unfinished run with another key stands there, or its journal, output or shards are not as they
            were; or shards stand there that are not of the run to be continued.
        OutputError: the folder cannot be written, ``path`` is no regular file, or another run is writing it.
    """

    def __init__(
        self, path: StrPath, key: Key, *, resume: bool = True, shard_lines: int | None = None, parquet: bool = False
    ) -> None:
        if shard_lines is not None and shard_lines < 1:
            raise InputError(f"shards of {shard_lines} lines", remedy="Give at least 1")
        shards = shard_lines is not None
        # A link is followed, not replaced; that of shards is a name only.
        self.path = Path(os.path.abspath(path) if shards else os.path.realpath(path))
        self.shard_lines, self._parquet = shard_lines, parquet
        self._key = Key({**key.parts, "shard_lines": shard_lines}) if shards else key
        compressor(self.path.name)  # what is missing for it is said before anything stands there
        self.lines, self.read = 0, READ_NOTHING
        self._shards: list[dict[str, Any]] = []
        self._out: Lines | Parquet | None = None
        self._in_part = 0
        base = f"{self.path}.shards" if shards else str(self.path)
        with output_errors(path):
            if not shards and self.path.exists() and not self.path.is_file():
                raise OutputError("is not a regular file", file=self.path, remedy="Name another output file")
            journal = Path(f"{base}.part.jsonl")
            unfinished = journal.exists()
            if shards:
                self._check_free(resume, unfinished)
            sweep(self.path.parent)
            self._journal = Journal(journal)
            self.part = journal if shards else self._part()
            try:
                if not (resume and unfinished and self._take_up()):
                    self._shards = []
                    self._clear(0, 0)
                    self._journal.begin()
                    self._journal.add({"key": self._key.parts})
                    self._open()
            except BaseException:
                self._journal.close()
                raise

    def append(self, lines: list[str], read: str = "") -> None:
        """Write a block of lines (without their ends), into the next shard where one is full, and make it last."""
        self.read = read_after(self.read, read)
        with output_errors(self.path):
            while True:
                room = len(lines) if self.shard_lines is None else self.shard_lines - self._in_part
                block, lines = lines[:room], lines[room:]
                out = self._open()
                out.append(block)
                self._in_part += len(block)
                if self._in_part == self.shard_lines:
                    self._finish_shard()
                elif out.bytes:
                    row = {"lines": self._in_part, "bytes": out.bytes, "sha256": out.digest(), "read": self.read}
                    self._journal.add(row)
                self.lines += len(block)
                if not lines:
                    return

    def seal(self) -> dict[str, Any]:
        """What a sidecar says of the output, which no line may follow: ``lines``, ``sha256`` and number of ``shards``.

        The sha256 is that of the file that :meth:`finish` will name, or of the list of shards.
        """
        with output_errors(self.path):
            if self.shard_lines is None:
                out = self._open()
                out.complete()
                return {"lines": self.lines, "sha256": out.digest()}
            if self._in_part or not self._shards:
                self._finish_shard()
            digest = hashlib.sha256(self._manifest().encode("utf-8")).hexdigest()
            return {"lines": self.lines, "shards": len(self._shards), "sha256": digest}

    def finish(self) -> None:
        """Give the output its name (the list of its shards, if it has shards) and remove the journal."""
        self.seal()
        with output_errors(self.path):
            if self.shard_lines is None:
                self._close_part()
                os.replace(self._part(), self.path)
            else:
                with atomic_writer(manifest_path(self.path)) as stream:
                    stream.write(self._manifest())
            self._journal.remove()

    def close(self) -> None:
        """Leave the run unfinished; it can be resumed. If no line holds, nothing stays behind."""
        if self._journal.closed:
            return
        again = self._out is not None and not self._out.bytes  # it can only be written anew
        if again:
            self.lines -= self._in_part
        self._close_part()
        with contextlib.suppress(OSError):
            if again or not self.lines:
                self._part().unlink(missing_ok=True)
            if not self.lines:
                self._journal.remove()
        self._journal.close()

    def _take_up(self) -> bool:
        """Go on where the unfinished run stopped, if there is one in which a line holds."""
        rows = self._journal.rows()
        if rows and self.shard_lines is None and not self._part().exists():  # killed before the journal was removed
            return False
        if not rows:
            if self._stands():
                raise self._journal.damaged()
            return False
        try:
            key, shards = rows[0]["key"], [row for row in rows if "file" in row]
            last = rows[-1] if len(rows) > 1 and "file" not in rows[-1] else None
            done, held = sum(row["lines"] for row in shards), last["lines"] if last else 0
            size = last["bytes"] if last else 0
            reads = [row["read"] for row in rows[1:]]
        except (KeyError, TypeError):
            raise self._journal.damaged() from None
        if not done + held:
            return False
        self._key.require(key, "an unfinished run with other settings", self.part)
        self._shards = shards
        for number, row in enumerate(shards, 1):
            self._check_shard(row, number == len(shards))
        self._clear(len(shards), len(shards) + 1)
        if last is not None and not self._reopen(size, last["sha256"]):  # shorter than it was: not trusted
            if not shards:
                return False
            held, reads = 0, [row["read"] for row in shards]
            self._journal.begin()
            for row in [rows[0], *shards]:
                self._journal.add(row)
        self.lines, self._in_part, self.read = done + held, held, reads[-1]
        return True

    def _reopen(self, size: int, sha256: str) -> bool:
        """Open the part of which ``size`` bytes hold; false if it is not there or shorter."""
        part, held = self._part(), hashlib.sha256()
        if not part.is_file() or part.stat().st_size < size:
            return False
        with open(part, "rb") as stream:
            left = size
            while left and (block := stream.read(min(left, 1 << 20))):
                held.update(block)
                left -= len(block)
        if held.hexdigest() != sha256:
            raise InputError("the output of the unfinished run was changed", file=part, remedy=REMEDY)
        self._out = Lines(part, self.path.name, size, held)
        return True

    def _open(self) -> Lines | Parquet:
        if self._out is None:
            self._out = Parquet(self._part()) if self._parquet else Lines(self._part(), self.path.name)
        return self._out

    def _close_part(self) -> None:
        if self._out is not None:
            self._out.close()
        self._out, self._in_part = None, 0

    def _target(self) -> Path:
        """The file that is being written, by its final name."""
        return self.path if self.shard_lines is None else shard_path(self.path, len(self._shards))

    def _part(self) -> Path:
        return _part_of(self._target())

    def _finish_shard(self) -> None:
        out, file = self._open(), self._target()
        out.complete()
        row = {"file": file.name, "lines": self._in_part, "bytes": os.stat(_part_of(file)).st_size,
               "sha256": out.digest()}  # fmt: skip
        self._journal.add({**row, "read": self.read})
        self._close_part()
        os.replace(_part_of(file), file)
        self._shards.append(row)

    def _manifest(self) -> str:
        columns = ("file", "lines", "bytes", "sha256")
        return "".join(f"{json.dumps({c: row[c] for c in columns}, ensure_ascii=False)}\n" for row in self._shards)

    def _check_shard(self, row: dict[str, Any], last: bool) -> None:
        """Look at a finished shard; the last may not have got its name."""
        file = self.path.with_name(row["file"])
        if last and _part_of(file).exists():
            os.replace(_part_of(file), file)
        if not file.is_file() or sha256_of(file) != row["sha256"]:
            raise InputError(
                "this shard was changed" if file.exists() else "this shard of the unfinished run is gone", file=file,
                remedy="Put it back as it was, or start over with --restart",
            )  # fmt: skip

    def _standing(self, more: str = "") -> list[tuple[int, Path]]:
        """Number and path of the files in the folder that are named like shards, with ``more`` (a pattern) behind."""
        stem, ending = _split(self.path.name)
        named = re.compile(re.escape(stem) + r"-(\d{5,})" + re.escape(ending) + more)
        found = [(named.fullmatch(file.name), file) for file in self.path.parent.iterdir()]
        return sorted((int(name[1]), file) for name, file in found if name is not None and file.is_file())

    def _check_free(self, resume: bool, unfinished: bool) -> None:
        """Raise if shards stand there that this run neither continues nor may remove."""
        if resume and unfinished:
            return
        ours = unfinished or manifest_path(self.path).exists()
        standing = self._standing()
        if standing and not (ours and not resume):
            remedy = "Start over with --restart, or write elsewhere" if ours else "Remove them, or write elsewhere"
            raise InputError(f"{len(standing)} shards of another run stand there", file=standing[0][1], remedy=remedy)

    def _stands(self) -> bool:
        """Whether output of an unfinished run stands there, whatever its journal says."""
        if self.shard_lines is not None:
            return bool(self._standing())
        return self._part().is_file() and self._part().stat().st_size > 0

    def _clear(self, shards: int, parts: int) -> None:
        """Remove what an earlier run left that this one does not continue: shards and parts from these numbers on."""
        if self.shard_lines is None:
            return
        later = [file for number, file in self._standing() if number >= shards]
        later += [file for number, file in self._standing(r"\.part") if number >= parts]
        for file in later:
            file.unlink()
        manifest_path(self.path).unlink(missing_ok=True)
        Path(f"{self.path}.meta.json").unlink(missing_ok=True)


def shard_path(output: StrPath, number: int) -> Path:
    """The name of one shard, counted from 0.

    >>> shard_path("out.talp.gz", 3).name
    'out-00003.talp.gz'
    """
    stem, ending = _split(Path(output).name)
    return Path(output).with_name(f"{stem}-{number:05d}{ending}")


def manifest_path(output: StrPath) -> Path:
    """The list of the shards of ``output``: JSON lines with ``file``, ``lines``, ``bytes`` and ``sha256``."""
    return Path(f"{os.fspath(output)}.shards.jsonl")


def _split(name: str) -> tuple[str, str]:
    """The name before its ending, and the ending with that of its compression."""
    packed = next((ending for ending in COMPRESSED if name.endswith(ending)), "")
    stem, dot, kind = name.removesuffix(packed).rpartition(".")
    return (stem, f".{kind}{packed}") if dot and stem else (name.removesuffix(packed), packed)


def _part_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")
