"""Align a bitext of any size in constant memory, into a file that survives interruptions, or line by line."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError
from align_eval.files import StrPath, atomic_writer, sha256_of
from align_eval.io.parts import require_parquet_name
from align_eval.io.resumable import READ_NOTHING, Key, ResumableWriter, manifest_path, read_after
from align_eval.nested import parse_json
from align_eval.runs.aligning import (
    AlignerOrMaker,
    Cut,
    OtherInputError,
    block_digest,
    facts,
    line_format,
    lines,
    maker,
    only_system,
)
from align_eval.runs.engines.base import Engine
from align_eval.runs.engines.local import LocalEngine
from align_eval.version import __version__

if TYPE_CHECKING:
    from align_eval.aligners import Aligner
    from align_eval.corpora import SentencePair
    from align_eval.links import Links

# Pairs aligned, written and journalled at a time. Part of what makes a resumed run equal an undisturbed one.
BLOCK = 1024
STREAM = 4096  # pairs aligned at a time where nothing is written: long blocks fill the batches of a GPU

Progress = Callable[[int], None]


def align_stream(aligner: Aligner, pairs: Iterable[SentencePair], block: int = STREAM) -> Iterator[list[Links]]:
    """Align pairs as they come, ``block`` at a time, with the aligner's only system.

    An aligner that needs the whole corpus gets all pairs at once.

    Yields:
        lists of links, one a pair, in order; all of length ``block`` but the last.

    Raises:
        InputError: the aligner has several systems.
    """
    system = only_system(aligner)
    iterator = iter(pairs)
    while part := list(islice(iterator, _size(aligner, block))):
        yield aligner.align_all(part)[system]


def _size(aligner: Aligner, block: int) -> int | None:
    """Pairs handed over at a time; ``None``: all."""
    return None if aligner.whole_corpus else block


def align_lines(aligner: Aligner, pairs: Iterable[SentencePair], format: str = "pharaoh") -> Iterator[str]:
    """One line a pair, in order, as :func:`align_file` would write it."""
    to_line = line_format(format)
    iterator = iter(pairs)
    while part := list(islice(iterator, _size(aligner, BLOCK))):
        yield from map(to_line, part, next(align_stream(aligner, part)))


def align_file(
    aligner: AlignerOrMaker,
    pairs: Iterable[SentencePair],
    output: StrPath,
    *,
    format: str = "pharaoh",
    settings: dict[str, Any] | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    resumed: Progress | None = None,
    shard_lines: int | None = None,
    engine: Engine | None = None,
    long: Counter[str] | None = None,
    one_of_many: bool = False,
    block: int | None = None,
) -> int:
    """Align ``pairs`` into the file ``output``, line for line; an interrupted run goes on where it stopped.

    A resumed run gives the bytes that an undisturbed one gives: pairs are aligned in the same blocks (all at once, and
    held in memory, where the aligner needs the whole corpus; such a run starts over). Beside the file
    stands ``OUTPUT.meta.json`` with what a citation of its score needs: the aligner's signature, the version, the
    number of lines and the sha256 of the file (of ``OUTPUT.shards.jsonl``, which lists the shards with theirs).

    Args:
        aligner: with one system; or a function that makes it, which is called where the engine needs it.
        pairs: a :class:`align_eval.corpora.Bitext`, or any iterable of pairs that starts anew in each run.
        output: where the file is to stand; ``.gz``, ``.xz`` and ``.zst`` are compressed.
        format: ``pharaoh``, ``jsonl`` (with scores) or ``parquet`` (with scores; only in shards, or as one of many).
        settings: anything else that decides the output, but for the pairs: those of the lines done are read again and
            compared by their content.
        resume: ``False`` starts over.
        progress: called with the number of pairs done since the last call.
        resumed: called once with the number of pairs that an earlier run has done, if there is one; default
            ``progress``.
        shard_lines: write shards of so many lines, ``out-00000.talp``, ... for ``out.talp``, each whole as soon as it
            is there (see :mod:`align_eval.runs.shards`). Blocks end with shards: a multiple of ``BLOCK`` leaves the
            blocks, and with them the rounding of a model's numbers, as they are in one file.
        engine: where the work is done; default this process.
        long: counts here how many pairs of this run over the model's window were ``windowed`` or ``left_out``.
        one_of_many: the file is the unit of resumption: a finished output of the same run, unchanged since, is left as
            it is.
        block: pairs aligned, written and journalled at a time; default ``BLOCK``.

    Returns:
        number of lines.

    Raises:
        InputError: the aligner has several systems; or an unfinished run with other settings, or with a longer input,
            or shards of another run, stand beside ``output``.
        UnknownNameError: no such format.
        MissingFileError: one of ``inputs`` does not exist.
        OutputError: the disk is full or the file cannot be written; what was written until then stays resumable.
        EngineError: the engine has failed; what was written until then stays resumable.
    """
    engine = engine or LocalEngine()
    make = maker(aligner)
    form = _line_format(format, output, shard_lines is not None or one_of_many)
    known = facts(engine, make)
    cut = Cut(None if known.whole_corpus else block or BLOCK, shard_lines)
    signature = {**known.signature, "version": __version__}
    key = Key.of(signature=signature, format=format, block=cut.block, **(settings or {}))
    meta_file = f"{os.fspath(output)}.meta.json"
    if one_of_many and resume and (count := _finished(output, meta_file, key, shard_lines, pairs, cut)) is not None:
        if tell := resumed or progress:
            tell(count)
        return count
    out = ResumableWriter(
        output,
        key,
        resume=resume and not known.whole_corpus,
        shard_lines=shard_lines,
        parquet=format == "parquet",
    )
    try:
        if out.lines and (tell := resumed or progress):
            tell(out.lines)
        with closing(lines(engine, make, pairs, cut, form, out.lines, out.read, long)) as blocks:
            for some, read in blocks:
                out.append(some, read)
                if progress:
                    progress(len(some))
        meta = {"signature": signature, "base": 0, **out.seal()}
        if one_of_many:
            meta |= {"run": key.digest, "read": out.read}
        # Before the output gets its name: a kill in between leaves a run that is resumed.
        with atomic_writer(meta_file) as stream:
            json.dump(meta, stream, indent=2, ensure_ascii=False)
            stream.write("\n")
    except OtherInputError as error:
        out.close()
        raise InputError(error.message, file=out.part, remedy=error.remedy) from None
    except BaseException:
        out.close()
        raise
    out.finish()
    return out.lines


def _finished(
    output: StrPath, meta_file: str, key: Key, shard_lines: int | None, pairs: Iterable[SentencePair], cut: Cut
) -> int | None:
    """The lines of a finished output of this very run and these pairs, unchanged since; ``None`` if there is none."""
    made = Path(output) if shard_lines is None else manifest_path(output)
    try:
        meta = parse_json(Path(meta_file).read_text(encoding="utf-8"))
        if meta["run"] != key.digest or meta["sha256"] != sha256_of(made):
            return None
        if shard_lines is not None:
            rows = [parse_json(line) for line in made.read_text(encoding="utf-8").splitlines()]
            if any(sha256_of(made.with_name(row["file"])) != row["sha256"] for row in rows):
                return None
        read = READ_NOTHING
        for block in cut.blocks(pairs):
            read = read_after(read, block_digest(block))
        return int(meta["lines"]) if read == meta["read"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _line_format(format: str, output: StrPath, in_parts: bool) -> str:
    """The form of the lines that the engine gives."""
    if format != "parquet":
        line_format(format)
        return format
    require_parquet_name(output)
    if not in_parts:
        raise InputError(
            "a Parquet file cannot be continued after an interruption",
            file=output,
            remedy="Write shards: --shard-lines",
        )
    return "jsonl"
