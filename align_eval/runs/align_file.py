"""Align bitexts of any size in constant memory: into files that survive interruptions, or line by line."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from glob import escape, glob, has_magic
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from align_eval.aligners import Aligner, System
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.rows import sides_row
from align_eval.errors import AlignEvalError, InputError, MissingFileError, OutputError, UnknownNameError
from align_eval.files import StrPath, output_errors, parse_json, sha256_of
from align_eval.io.parts import require_parquet_name
from align_eval.io.resumable import COMPRESSED, READ_NOTHING, Key, ResumableWriter, manifest_path, read_after
from align_eval.runs.engines import Engine, Given, LocalEngine
from align_eval.runs.results import write_json
from align_eval.version import __version__

if TYPE_CHECKING:
    from align_eval.corpora import Corpus
    from align_eval.links import Links

BLOCK = 1024  # pairs aligned, written and journalled at a time: part of what makes a resumed run equal another
STREAM = 4096  # pairs aligned at a time where nothing is written: long blocks fill the batches of a GPU
ENDINGS = {"pharaoh": ".talp", "jsonl": ".jsonl", "parquet": ".parquet"}
# Formats whose pairs are counted without being read: by line ends, or by what the file says of itself.
COUNTED = ("parallel", "pipes", "tsv", "jsonl", "parquet")

Progress = Callable[[int], None]
# An aligner, or a function that makes one where it is to work (in every actor of a cluster).
AlignerOrMaker = Aligner | Callable[[], Aligner]


def _jsonl(pair: SentencePair, links: Links) -> str:
    row: dict[str, Any] = {"id": pair.id, **sides_row(pair), "links": [list(p) for p in links]}
    if links.scores is not None:
        row["scores"] = [round(float(s), 6) for s in links.scores]
    if (nulls := getattr(links, "nulls", None)) is not None:  # of the method refined
        row["source_null"], row["target_null"] = ([round(float(p), 6) for p in side] for side in nulls)
    return json.dumps(row, ensure_ascii=False)


LINE_FORMATS: dict[str, Callable[[SentencePair, Links], str]] = {
    "pharaoh": lambda pair, links: str(links),
    "jsonl": _jsonl,
}


def _to_line(format: str) -> Callable[[SentencePair, Links], str]:
    if format not in LINE_FORMATS:
        raise UnknownNameError("output format", format, LINE_FORMATS)
    return LINE_FORMATS[format]


class OtherInputError(InputError):
    """The pairs that an unfinished run has done are not those that are read now."""


@dataclass(frozen=True)
class Cut:
    """How pairs are cut into blocks: by position alone, so that a resumed run has the blocks of an undisturbed one."""

    block: int | None  # pairs in a block; None: all pairs are one block
    shard: int | None = None  # no block reaches over a multiple of this; None: no such bound

    def blocks(
        self, pairs: Iterable[SentencePair], done: int = 0, read: str | None = None
    ) -> Iterator[list[SentencePair]]:
        """Yield the blocks after the first ``done`` pairs; one block is in memory at a time.

        ``read``: what had been read with those pairs, see :func:`align_eval.io.resumable.read_after`; ``None``: not
        compared.

        Raises:
            OtherInputError: there are fewer than ``done`` pairs, or they are not those that were read.
        """
        iterator = iter(pairs)
        skipped, found = 0, READ_NOTHING
        while skipped < done:
            part = list(islice(iterator, min(self._size(skipped) or done, done - skipped)))
            if not part:
                raise OtherInputError(
                    f"the unfinished run has {done} lines but the input only {skipped} pairs",
                    remedy="Start over with --restart",
                )
            found = read_after(found, _digest(part))
            skipped += len(part)
        if read is not None and found != read:
            raise OtherInputError(
                f"the first {done} pairs are not those that the unfinished run has aligned: the input was changed",
                remedy="Give it the input that it had to finish it, or start over with --restart",
            )
        while part := list(islice(iterator, self._size(done))):
            yield part
            done += len(part)

    def _size(self, done: int) -> int | None:
        """Pairs in the block that begins after ``done`` pairs, if there are as many; ``None``: all that are left."""
        if self.block is None or self.shard is None:
            return self.block
        return min(self.block, self.shard - done % self.shard)


def _digest(block: Sequence[SentencePair]) -> str:
    """32 hex digits over what an aligner sees of a block: names and words, not the gold links."""
    digest = hashlib.sha256()
    for pair in block:
        digest.update(repr((pair.id, pair.source, pair.target)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _only_system(aligner: Aligner) -> System:
    if len(aligner.systems) != 1:
        raise InputError(f"{len(aligner.systems)} systems in one output", remedy="Give one method and one layer")
    return aligner.systems[0]


def _maker(aligner: AlignerOrMaker) -> Callable[[], Aligner]:
    return Given(aligner) if isinstance(aligner, Aligner) else aligner


def _facts_of(aligner: Aligner) -> tuple[dict[str, str], bool]:
    return aligner.signature(_only_system(aligner)), aligner.whole_corpus


def _facts(engine: Engine, make: Callable[[], Aligner]) -> tuple[dict[str, str], bool]:
    """The signature of the aligner that ``make`` makes, and whether it needs all pairs at once, as few engines can."""
    signature, whole_corpus = engine.ask(make, _facts_of)
    if whole_corpus and engine.spreads:
        raise InputError(
            "this method is trained on all pairs together, which cannot be spread over actors",
            remedy="Use the engine local",
        )
    return signature, whole_corpus


def align_stream(aligner: Aligner, pairs: Iterable[SentencePair], block: int = STREAM) -> Iterator[list[Links]]:
    """Align pairs as they come, ``block`` at a time (all at once if the aligner needs them so), with its only system.

    Yields lists of links, one a pair, in order; all of length ``block`` but the last.
    """
    system = _only_system(aligner)
    for part in Cut(None if aligner.whole_corpus else block).blocks(pairs):
        yield aligner.align_all(part)[system]


def align_lines(aligner: Aligner, pairs: Iterable[SentencePair], format: str = "pharaoh") -> Iterator[str]:
    """One line a pair, in order, as :func:`align_file` would write it."""
    to_line = _to_line(format)
    for part in Cut(None if aligner.whole_corpus else BLOCK).blocks(pairs):
        yield from (to_line(pair, links) for pair, links in zip(part, next(align_stream(aligner, part)), strict=True))


def _prepare(aligner: Aligner, block: list[SentencePair]) -> list[SentencePair]:
    return aligner.ready(block)


def _align_block(format: str, aligner: Aligner, block: Sequence[SentencePair]) -> tuple[list[str], Counter[str], str]:
    """The lines of one block, how many pairs were longer than the model's window, and the digest of the pairs."""
    to_line, links = _to_line(format), aligner.align_all(block)[_only_system(aligner)]
    lines = [to_line(pair, found) for pair, found in zip(block, links, strict=True)]
    return lines, aligner.take_long(), _digest(block)


def align_file(
    aligner: AlignerOrMaker, pairs: Iterable[SentencePair], output: StrPath, *, format: str = "pharaoh",
    settings: dict[str, Any] | None = None, resume: bool = True, progress: Progress | None = None,
    resumed: Progress | None = None, shard_lines: int | None = None, engine: Engine | None = None,
    long: Counter[str] | None = None, one_of_many: bool = False, block: int | None = None,
) -> int:  # fmt: skip
    """Align ``pairs`` into the file ``output``, line for line; an interrupted run goes on where it stopped.

    A resumed run gives the bytes that an undisturbed one gives: pairs are aligned in the same blocks (all at once, and
    held in memory, where the aligner needs the whole corpus; such a run starts over). Beside the file
    stands ``OUTPUT.meta.json`` with what a citation of its score needs: the aligner's signature, the version, the
    number of lines and the sha256 of the file (of ``OUTPUT.shards.jsonl``, which lists the shards with theirs).

    Args:
        aligner: with one system; or a function that makes it, which is called where the engine needs it.
        pairs: a :class:`align_eval.corpora.Corpus`, or any iterable of pairs that starts anew in each run.
        output: where the file is to stand; ``.gz``, ``.xz`` and ``.zst`` are compressed.
        format: ``pharaoh``, ``jsonl`` (with scores) or ``parquet`` (with scores; only in shards, or as one of many).
        settings: anything else that decides the output, but for the pairs: those of the lines done are read again and
            compared by their content.
        resume: ``False`` starts over.
        progress: called with the number of pairs done since the last call; ``resumed`` (default: the same): called once
            with the number that an earlier run has done, if there is one.
        shard_lines: write shards of so many lines, ``out-00000.talp``, ... for ``out.talp``, each whole as soon as it
            is there. Blocks end with shards: a multiple of ``BLOCK`` leaves the blocks, and with them the rounding of
            a model's numbers, as they are in one file.
        engine: where the work is done; default this process.
        long: counts here how many pairs of this run over the model's window were ``windowed`` or ``left_out``.
        one_of_many: the file is the unit of resumption: a finished output of the same run, unchanged since, is kept.
        block: pairs aligned, written and journalled at a time; default ``BLOCK``.

    Returns:
        number of lines.

    Raises:
        InputError: the aligner has several systems; or an unfinished run with other settings, or with a longer input,
            or shards of another run, stand beside ``output``.
        OutputError, EngineError: what was written until then stays resumable.
    """
    engine, make = engine or LocalEngine(), _maker(aligner)
    parquet = format == "parquet"
    if parquet:
        require_parquet_name(output)
        if shard_lines is None and not one_of_many:
            raise InputError(
                "a Parquet file cannot be continued after an interruption", file=output,
                remedy="Write shards: --shard-lines",
            )  # fmt: skip
    else:
        _to_line(format)
    signature, whole_corpus = _facts(engine, make)
    signature = {**signature, "version": __version__}
    cut = Cut(None if whole_corpus else block or BLOCK, shard_lines)
    key = Key.of(signature=signature, format=format, block=cut.block, **(settings or {}))
    meta_file = f"{os.fspath(output)}.meta.json"
    tell = resumed or progress or (lambda done: None)
    if one_of_many and resume and (count := _finished(output, meta_file, key, pairs, cut)) is not None:
        tell(count)
        return count
    out = ResumableWriter(output, key, resume=resume and not whole_corpus, shard_lines=shard_lines, parquet=parquet)
    try:
        if out.lines:
            tell(out.lines)
        bare = (
            [p if p.gold is None else SentencePair(p.id, p.source, p.target) for p in block]
            for block in cut.blocks(pairs, out.lines, out.read)
        )
        work = partial(_align_block, "jsonl" if parquet else format)
        with closing(engine.map(make, work, bare, _prepare)) as blocks:
            for some, counted, read in blocks:
                if long is not None:
                    long.update(counted)
                out.append(some, read)
                if progress:
                    progress(len(some))
        meta = {"signature": signature, "base": 0, **out.seal()}
        if one_of_many:
            meta |= {"run": key.digest, "read": out.read}
        write_json(meta_file, meta)  # before the output gets its name: a kill in between leaves a run that is resumed
    except OtherInputError as error:
        out.close()
        raise InputError(error.message, file=out.part, remedy=error.remedy) from None
    except BaseException:
        out.close()
        raise
    out.finish()
    return out.lines


def _finished(output: StrPath, meta_file: str, key: Key, pairs: Iterable[SentencePair], cut: Cut) -> int | None:
    """The lines of a finished output of this very run and these pairs, unchanged since; ``None`` if there is none."""
    made = Path(output) if cut.shard is None else manifest_path(output)
    try:
        meta = parse_json(Path(meta_file).read_text(encoding="utf-8"))
        if meta["run"] != key.digest or meta["sha256"] != sha256_of(made):
            return None
        if cut.shard is not None:
            rows = [parse_json(line) for line in made.read_text(encoding="utf-8").splitlines()]
            if any(sha256_of(made.with_name(row["file"])) != row["sha256"] for row in rows):
                return None
        read = READ_NOTHING
        for part in cut.blocks(pairs):
            read = read_after(read, _digest(part))
        return int(meta["lines"]) if read == meta["read"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class FileTask(NamedTuple):
    """One file of sentence pairs, and where its links go."""

    file: str
    output: str


def names_files(bitext: str) -> bool:
    """Whether this is a folder (that is no saved data set), or a pattern such as ``*.tsv.gz``."""
    from align_eval.corpora.bitext_formats.rows import is_saved_dataset

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
    aligner: AlignerOrMaker, tasks: Sequence[FileTask], *, reading: dict[str, Any] | None = None,
    keep_text: bool = False, engine: Engine | None = None, progress: Progress | None = None, **options: Any,
) -> Counter[str]:  # fmt: skip
    """Align each file into its output, as :func:`align_file` does.

    Each file is read and written by the worker that aligns it, which must see both (on a cluster: a shared file
    system). Repeated after an interruption, or after a worker died, files that are done stay, and one that was under
    way goes on where it stopped. The bytes are the same on every engine.

    Args:
        tasks: of :func:`file_tasks`.
        reading: options of :func:`align_eval.corpora.read_bitext`.
        keep_text: write the words that the links count beside each output, into ``OUTPUT.text``.
        engine: where the work is done; default this process.
        progress: called with the number of files done since the last call.
        options: ``format``, ``settings``, ``resume``, ``shard_lines``; ``parquet`` needs no shards here.

    Returns:
        how many ``files`` and ``lines``, and pairs over the model's window (``windowed``, ``left_out``).

    Raises:
        InputError: the aligner is trained on all pairs together; and what ``align_file`` raises.
        EngineError: the engine has failed; what was written until then stays resumable.
    """
    engine, make, done = engine or LocalEngine(), _maker(aligner), Counter[str]()
    if _facts(engine, make)[1]:
        raise InputError(
            "this method is trained on all pairs together, and would be trained on each file alone",
            remedy="Put the files into one, or align each by a run of its own",
        )
    for folder in {os.path.dirname(task.output) for task in tasks}:
        with output_errors(folder):
            os.makedirs(folder, exist_ok=True)
    work = partial(_align_one, reading or {}, keep_text, {**options, "block": BLOCK})
    with closing(engine.map(make, work, tasks)) as results:
        for count, long in results:
            done.update(files=1, lines=count, **long)
            if progress:
                progress(1)
    return done


def _align_one(
    reading: dict[str, Any], keep_text: bool, options: dict[str, Any], aligner: Aligner, task: FileTask
) -> tuple[int, Counter[str]]:
    from align_eval.corpora import read_bitext, write_bitext

    long: Counter[str] = Counter()
    pairs = read_bitext(task.file, **reading)
    count = align_file(aligner, pairs, task.output, long=long, one_of_many=True, **options)
    if keep_text:
        write_bitext(f"{task.output}.text", pairs, "pipes", drop_gold=True)
    return count, long


def count_meanwhile(
    bitext: Corpus, files: Sequence[StrPath], tell: Callable[[int], None], after: float = 0.0
) -> threading.Timer | None:
    """Count the pairs of ``files`` in a thread of its own, ``after`` so many seconds, and ``tell`` how many there are.

    The thread can be cancelled while it waits and does not keep the process alive. ``None``: these pairs cannot be
    counted cheaply beside another pass: they come from a stream, or in a format that must be parsed.
    """
    if bitext.format not in COUNTED or not files or not all(os.path.isfile(file) for file in files):
        return None

    def count() -> None:
        try:
            tell(len(bitext))
        except (AlignEvalError, OSError):
            return  # the pass that reads the pairs raises it, with the line

    thread = threading.Timer(after, count)
    thread.daemon = True
    thread.start()
    return thread
