"""Align a bitext of any size in constant memory, into a file that survives interruptions, or line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError, MissingFileError, UnknownNameError
from align_eval.files import StrPath, atomic_writer, sha256_of
from align_eval.runs.resumable import ResumableOutput
from align_eval.version import __version__

if TYPE_CHECKING:
    from align_eval.aligners import Aligner, System
    from align_eval.corpora import SentencePair
    from align_eval.links import Links

# Pairs aligned, written and journalled at a time. Part of what makes a resumed run equal an undisturbed one.
BLOCK = 1024

Progress = Callable[[int], None]


def _pharaoh(pair: SentencePair, links: Links) -> str:
    return str(links)


def _jsonl(pair: SentencePair, links: Links) -> str:
    row: dict[str, Any] = {"id": pair.id, "links": [list(p) for p in links]}
    if links.scores is not None:
        row["scores"] = [round(float(s), 6) for s in links.scores]
    return json.dumps(row, ensure_ascii=False)


LINE_FORMATS: dict[str, Callable[[SentencePair, Links], str]] = {"pharaoh": _pharaoh, "jsonl": _jsonl}


def line_format(name: str) -> Callable[[SentencePair, Links], str]:
    """The function that writes one pair's links as a line.

    Raises:
        UnknownNameError: ``name`` is neither ``pharaoh`` nor ``jsonl``.
    """
    if name not in LINE_FORMATS:
        raise UnknownNameError("output format", name, LINE_FORMATS)
    return LINE_FORMATS[name]


def align_stream(aligner: Aligner, pairs: Iterable[SentencePair], block: int = BLOCK) -> Iterator[list[Links]]:
    """Align pairs as they come, ``block`` at a time, with the aligner's only system.

    An aligner that needs the whole corpus gets all pairs at once.

    Yields:
        lists of links, one a pair, in order; all of length ``block`` but the last.

    Raises:
        InputError: the aligner has several systems.
    """
    system = _only_system(aligner)
    iterator = iter(pairs)
    while part := list(islice(iterator, _size(aligner, block))):
        yield aligner.align_all(part)[system]


def _size(aligner: Aligner, block: int) -> int | None:
    """Pairs handed over at a time; ``None``: all."""
    return None if aligner.whole_corpus else block


def _only_system(aligner: Aligner) -> System:
    if len(aligner.systems) != 1:
        raise InputError(f"{len(aligner.systems)} systems in one output", remedy="Give one method and one layer")
    return aligner.systems[0]


def align_lines(aligner: Aligner, pairs: Iterable[SentencePair], format: str = "pharaoh") -> Iterator[str]:
    """One line a pair, in order, as :func:`align_file` would write it."""
    to_line = line_format(format)
    iterator = iter(pairs)
    while part := list(islice(iterator, _size(aligner, BLOCK))):
        yield from map(to_line, part, next(align_stream(aligner, part)))


def align_file(
    aligner: Aligner,
    pairs: Iterable[SentencePair],
    output: StrPath,
    *,
    format: str = "pharaoh",
    inputs: Sequence[StrPath] = (),
    settings: dict[str, Any] | None = None,
    resume: bool = True,
    progress: Progress | None = None,
) -> int:
    """Align ``pairs`` into the file ``output``, line for line; an interrupted run goes on where it stopped.

    A resumed run gives the bytes that an undisturbed one gives: pairs are aligned in the same blocks (all at once, and
    held in memory, where the aligner needs the whole corpus; such a run starts over). Beside the file
    stands ``OUTPUT.meta.json`` with what a citation of its score needs: the aligner's signature, the version, the
    number of lines and the sha256 of the file.

    Args:
        aligner: with one system.
        pairs: a :class:`align_eval.corpora.Bitext`, or any iterable of pairs that starts anew in each run.
        output: where the file is to stand; ``.gz``, ``.xz`` and ``.zst`` are compressed.
        format: ``pharaoh`` or ``jsonl`` (with scores).
        inputs: the files that ``pairs`` come from; their sizes and times decide if a run may be continued.
        settings: anything else that decides the output.
        resume: ``False`` starts over.
        progress: called with the number of pairs done since the last call (those of the earlier run included).

    Returns:
        number of lines.

    Raises:
        InputError: the aligner has several systems; or an unfinished run with other settings, or with a longer input,
            stands beside ``output``.
        MissingFileError: one of ``inputs`` does not exist.
        OutputError: the disk is full or the file cannot be written; what was written until then stays resumable.
    """
    to_line = line_format(format)
    system = _only_system(aligner)
    asked = {
        "signature": {**aligner.signature(system), "version": __version__},
        "format": format,
        "block": _size(aligner, BLOCK),
        "inputs": [_identity(path) for path in inputs],
        **(settings or {}),
    }
    out = ResumableOutput(output, asked, resume=resume)
    try:
        done = out.lines
        iterator = iter(pairs)
        skipped = sum(1 for _ in islice(iterator, done))
        if skipped < done:
            raise InputError(
                f"the unfinished run has {done} lines but the input only {skipped} pairs",
                file=out.part,
                remedy="Start over with --restart",
            )
        if progress and done:
            progress(done)
        while part := list(islice(iterator, _size(aligner, BLOCK))):
            out.append(list(map(to_line, part, next(align_stream(aligner, part)))))
            if progress:
                progress(len(part))
    except BaseException:
        out.close()
        raise
    out.finish()
    meta = {"signature": asked["signature"], "lines": out.lines, "sha256": sha256_of(output)}
    with atomic_writer(f"{os.fspath(output)}.meta.json") as stream:
        json.dump(meta, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
    return out.lines


def _identity(path: StrPath) -> list[Any]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise MissingFileError(
            f"cannot be opened: {error.strerror}", file=path, remedy="Check the path and its rights"
        ) from None
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns]
