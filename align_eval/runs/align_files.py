"""Align many files, each into one of the same name: a file is the unit of work, which a worker reads and writes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from glob import escape, glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError, MissingFileError, OutputError
from align_eval.files import StrPath, output_errors
from align_eval.runs import align_file
from align_eval.runs.aligning import AlignerOrMaker, facts, maker
from align_eval.runs.engines.base import Engine
from align_eval.runs.engines.local import LocalEngine

if TYPE_CHECKING:
    from align_eval.aligners import Aligner

ENDINGS = {"pharaoh": ".talp", "jsonl": ".jsonl", "parquet": ".parquet"}
COMPRESSED = (".gz", ".xz", ".zst")


@dataclass(frozen=True)
class FileTask:
    """One file of sentence pairs, and where its links go."""

    file: str
    output: str


@dataclass(frozen=True)
class _Asked:
    """What is the same for all files; see :func:`align_files`."""

    format: str
    reading: dict[str, Any]
    settings: dict[str, Any]
    resume: bool
    shard_lines: int | None
    keep_text: bool
    block: int


@dataclass
class FilesDone:
    """Files done, their lines, and pairs over the model's window (``windowed``, ``left_out``)."""

    files: int = 0
    lines: int = 0
    long: Counter[str] = field(default_factory=Counter)


def names_files(bitext: str) -> bool:
    """Whether this is a folder (that is no saved data set), or a pattern such as ``*.tsv.gz``."""
    from align_eval.corpora.bitext_formats.hub import is_saved_dataset

    if os.path.isdir(bitext):
        return not is_saved_dataset(bitext)
    return has_magic(bitext) and not os.path.exists(bitext)


def file_tasks(bitext: str, folder: StrPath, format: str = "pharaoh") -> list[FileTask]:
    """The files that a folder or a pattern names, sorted by name, and their outputs in ``folder``.

    ``part-3.tsv.gz`` becomes ``part-3.talp.gz``: the name of the file, with the ending of the output's format; what is
    not Parquet stays compressed as it was. Hidden files (``.x``, ``_x``) are passed over, as Hadoop and Spark do.

    Raises:
        MissingFileError: there is no such file.
        InputError: two files would have the same output, or an output would replace its input.
        OutputError: ``folder`` is a file.
    """
    pattern = os.path.join(escape(bitext), "*") if os.path.isdir(bitext) else bitext
    found = sorted(f for f in glob(pattern) if os.path.isfile(f) and os.path.basename(f)[:1] not in "._")
    if not found:
        raise MissingFileError("names no file", file=bitext, remedy="Check the folder or the pattern")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise OutputError("is a file, not a folder", file=folder, remedy="Name a folder with --output")
    tasks: dict[str, FileTask] = {}
    for file in found:
        output = os.path.join(folder, _renamed(os.path.basename(file), format))
        if output in tasks:
            raise InputError(
                f"{os.path.basename(tasks[output].file)} would have the same output, {os.path.basename(output)}",
                file=file,
                remedy="Rename one, or align them into two folders",
            )
        if os.path.exists(output) and os.path.samefile(file, output):
            raise InputError("the links would replace their input", file=file, remedy="Name another folder: --output")
        tasks[output] = FileTask(file, output)
    return list(tasks.values())


def _renamed(name: str, format: str) -> str:
    packed = next((ending for ending in COMPRESSED if name.endswith(ending)), "")
    stem = name.removesuffix(packed)
    return f"{Path(stem).stem if '.' in stem[1:] else stem}{ENDINGS[format]}{'' if format == 'parquet' else packed}"


def align_files(
    aligner: AlignerOrMaker,
    tasks: Sequence[FileTask],
    *,
    format: str = "pharaoh",
    reading: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    resume: bool = True,
    shard_lines: int | None = None,
    keep_text: bool = False,
    engine: Engine | None = None,
    progress: Callable[[int], None] | None = None,
) -> FilesDone:
    """Align each file into its output, as :func:`align_eval.runs.align_file.align_file` does.

    Each file is read and written by the worker that aligns it, which must see both (on a cluster: a shared file
    system). Repeated after an interruption, or after a worker died, files that are done stay, and one that was under
    way goes on where it stopped. The bytes are the same on every engine.

    Args:
        aligner: with one system, or a function that makes it where the engine needs it.
        tasks: of :func:`file_tasks`.
        format, settings, shard_lines: see ``align_file``; ``parquet`` needs no shards here.
        reading: options of :func:`align_eval.corpora.read_bitext`.
        resume: ``False`` does all files anew.
        keep_text: write the words that the links count beside each output, into ``OUTPUT.text``.
        engine: where the work is done; default this process.
        progress: called with the number of files done since the last call.

    Raises:
        InputError: the aligner is trained on all pairs together; and what ``align_file`` raises.
        EngineError: the engine has failed; what was written until then stays resumable.
    """
    engine, make, done = engine or LocalEngine(), maker(aligner), FilesDone()
    if facts(engine, make).whole_corpus:
        raise InputError(
            "this method is trained on all pairs together, and would be trained on each file alone",
            remedy="Put the files into one, or align each by a run of its own",
        )
    for folder in {os.path.dirname(task.output) for task in tasks}:
        with output_errors(folder):
            os.makedirs(folder, exist_ok=True)
    work = partial(
        _align, _Asked(format, reading or {}, settings or {}, resume, shard_lines, keep_text, align_file.BLOCK)
    )
    with closing(engine.map(make, work, tasks)) as results:
        for lines, long in results:
            done.files += 1
            done.lines += lines
            done.long.update(long)
            if progress:
                progress(1)
    return done


def _align(asked: _Asked, aligner: Aligner, task: FileTask) -> tuple[int, Counter[str]]:
    from align_eval.corpora import read_bitext, write_bitext

    long: Counter[str] = Counter()
    pairs = read_bitext(task.file, **asked.reading)
    lines = align_file.align_file(
        aligner, pairs, task.output, format=asked.format, settings=asked.settings,
        resume=asked.resume, shard_lines=asked.shard_lines, long=long, one_of_many=True,
        block=asked.block,
    )  # fmt: skip
    if asked.keep_text:
        write_bitext(f"{task.output}.text", pairs, "pipes", drop_gold=True)
    return lines, long
