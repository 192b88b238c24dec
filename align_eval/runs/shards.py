"""Lines in many files of equal length, each finished on its own, that together survive an interruption.

``out.talp`` in shards of N lines is ``out-00000.talp``, ``out-00001.talp``, ...; each appears whole, as soon as it is.
``out.talp.shards.jsonl`` lists them with lines, bytes and sha256. While the run is under way the list stands in
``out.talp.shards.jsonl.part`` with the journal of :mod:`align_eval.runs.resumable`, and so does the shard being
written. A shard is listed before it gets its name: whenever a run is killed, the list and the parts say what holds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from align_eval.errors import InputError
from align_eval.files import StrPath, output_errors
from align_eval.nested import parse_json
from align_eval.runs.resumable import LineOutput, ResumableOutput

COMPRESSED = (".gz", ".xz", ".zst")
Opener = Callable[[StrPath, "dict[str, Any]", bool], LineOutput]


def shard_path(output: StrPath, number: int) -> Path:
    """The name of one shard, counted from 0.

    >>> shard_path("out.talp.gz", 3).name
    'out-00003.talp.gz'
    """
    stem, ending = _split(Path(output).name)
    return Path(output).with_name(f"{stem}-{number:05d}{ending}")


def _split(name: str) -> tuple[str, str]:
    """The name before its ending, and the ending with that of its compression."""
    packed = next((ending for ending in COMPRESSED if name.endswith(ending)), "")
    stem, dot, kind = name.removesuffix(packed).rpartition(".")
    return (stem, f".{kind}{packed}") if dot and stem else (name.removesuffix(packed), packed)


class ShardedOutput:
    """An output in shards, written block by block.

    Args:
        path: the name that the shards' names are made from.
        settings: what the run was asked for, as JSON values; a run with other settings is not continued.
        shard_lines: lines of every shard but the last, which may have fewer. No line at all makes one empty shard.
        resume: continue an unfinished run with the same settings; ``False`` starts over and removes its shards.
        opener: opens one shard.

    Raises:
        InputError: shards stand there that do not belong to the run to be continued; or one of its shards is gone or
            has another size; or its settings are others, or its list or journal cannot be read.
        OutputError: the folder cannot be written, or another run is writing these shards.
    """

    def __init__(
        self,
        path: StrPath,
        settings: dict[str, Any],
        shard_lines: int,
        resume: bool = True,
        opener: Opener = ResumableOutput,
    ) -> None:
        if shard_lines < 1:
            raise InputError(f"shards of {shard_lines} lines", remedy="Give at least 1")
        self.path, self.shard_lines = Path(os.path.abspath(path)), shard_lines
        self._settings = {**settings, "shard_lines": shard_lines}
        self._opener = opener
        self._shard: LineOutput | None = None
        self._done = 0  # lines of finished shards
        self._check_free(resume)
        self.manifest = ResumableOutput(manifest_path(self.path), self._settings, resume)
        self.part = self.manifest.part
        try:
            if self.manifest.resumed:
                self._take_up()
            else:
                self._clear()
        except BaseException:
            self.close()
            raise

    @property
    def lines(self) -> int:
        """Lines that hold, in finished shards and the unfinished one."""
        return self._done + (self._shard.lines if self._shard is not None else 0)

    def append(self, lines: list[str]) -> None:
        """Write a block of lines (without their ends), into the next shard where one is full, and make it last.

        Raises:
            OutputError: the disk is full or a file cannot be written.
        """
        start = 0
        while start < len(lines):
            shard = self._shard = self._shard or self._open(resume=False)
            end = start + self.shard_lines - shard.lines
            shard.append(lines[start:end])
            start = end
            if shard.lines == self.shard_lines:
                self._finish_shard(shard)

    def seal(self) -> dict[str, Any]:
        """``lines``, ``shards`` and the ``sha256`` of their list; the last shard gets its name now."""
        if self._shard is not None or not self.manifest.lines:
            self._finish_shard(self._shard or self._open(resume=False))
        shards = self.manifest.lines
        return {"lines": self.lines, "shards": shards, "sha256": self.manifest.seal()["sha256"]}

    def finish(self) -> None:
        """Finish the last shard and give the list its name."""
        if self._shard is not None or not self.manifest.lines:
            self.seal()
        self.manifest.finish()

    def close(self) -> None:
        """Leave the run unfinished; it can be resumed. If no line holds, nothing stays behind."""
        if self._shard is not None:
            self._shard.close()
        self.manifest.close(keep=self.lines > 0)

    def _open(self, resume: bool) -> LineOutput:
        number = self.manifest.lines
        return self._opener(shard_path(self.path, number), {**self._settings, "shard": number}, resume)

    def _finish_shard(self, shard: LineOutput) -> None:
        file = shard_path(self.path, self.manifest.lines)
        about = shard.seal()
        row = {"file": file.name, "lines": about["lines"], "bytes": os.stat(shard.part).st_size}
        self.manifest.append([json.dumps({**row, "sha256": about["sha256"]}, ensure_ascii=False)])
        shard.finish()
        self._done += about["lines"]
        self._shard = None

    def _take_up(self) -> None:
        """Go on where the unfinished run stopped."""
        try:
            rows = [parse_json(line) for line in self.manifest.held().splitlines()]
            sizes = [(self.path.with_name(row["file"]), int(row["lines"]), int(row["bytes"])) for row in rows]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "the list of finished shards cannot be read", file=self.part, remedy="Start over with --restart"
            ) from None
        if sizes:
            self._name_last(sizes[-1][0])
        for file, lines, size in sizes:
            if not file.is_file() or file.stat().st_size != size:
                raise InputError(
                    "this shard of the unfinished run is gone" if not file.exists() else "this shard was changed",
                    file=file,
                    remedy="Put it back as it was, or start over with --restart",
                )
            self._done += lines
        self._clear(keep=len(rows))
        if _journal(shard_path(self.path, len(rows))).exists():
            self._shard = self._open(resume=True)

    def _name_last(self, file: Path) -> None:
        """Do what a kill has kept the last listed shard from: it was complete, but may not have had its name."""
        with output_errors(file):
            if _part(file).exists():
                os.replace(_part(file), file)
            _journal(file).unlink(missing_ok=True)

    def _standing(self, more: str = "") -> list[tuple[int, Path]]:
        """Number and path of the files in the folder that are named like shards, with ``more`` (a pattern) behind."""
        stem, ending = _split(self.path.name)
        named = re.compile(re.escape(stem) + r"-(\d{5,})" + re.escape(ending) + more)
        with output_errors(self.path):
            found = [(named.fullmatch(file.name), file) for file in self.path.parent.iterdir()]
            return sorted((int(name[1]), file) for name, file in found if name is not None and file.is_file())

    def _check_free(self, resume: bool) -> None:
        """Raise if shards stand there that this run neither continues nor may remove."""
        manifest = manifest_path(self.path)
        unfinished = _part(manifest).exists() and _journal(manifest).exists()
        if resume and unfinished:
            return
        ours = unfinished or manifest.exists()
        standing = self._standing()
        if standing and not (ours and not resume):
            remedy = "Start over with --restart, or write elsewhere" if ours else "Remove them, or write elsewhere"
            raise InputError(f"{len(standing)} shards of another run stand there", file=standing[0][1], remedy=remedy)

    def _clear(self, keep: int = 0) -> None:
        """Remove what an earlier run left that this one does not continue: shards from number ``keep`` on, and lists.

        A part of the shard ``keep`` stays if there are finished shards before it, or a journal says that it holds.
        """
        with output_errors(self.path):
            for _, file in [found for found in self._standing() if found[0] >= keep]:
                file.unlink()
            first = keep + 1 if self.manifest.resumed else 0
            for _, file in [found for found in self._standing(r"\.part(\.json)?") if found[0] >= first]:
                file.unlink()
            manifest_path(self.path).unlink(missing_ok=True)
            Path(f"{self.path}.meta.json").unlink(missing_ok=True)


def manifest_path(output: StrPath) -> Path:
    """The list of the shards of ``output``: JSON lines with ``file``, ``lines``, ``bytes`` and ``sha256``."""
    return Path(f"{os.fspath(output)}.shards.jsonl")


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _journal(file: Path) -> Path:
    return file.with_name(f"{file.name}.part.json")
