"""Score files: read gold and systems in parallel in blocks, in bounded memory; count, test and sign."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora.inputs import Input
from align_eval.corpora.link_reader import LinkReader, measure
from align_eval.corpora.matching import Matching, check_first, lengths_error, match_tables, same_pairs
from align_eval.corpora.raw_links import LinkReport
from align_eval.corpora.sidecar import read_provenance
from align_eval.errors import AlignEvalWarning, InputError, UnknownNameError
from align_eval.files import short_names
from align_eval.links import IntArray
from align_eval.links.table import LinkTable, joined, kept, part_of
from align_eval.scoring.breakdown import Breakdown, breakdown
from align_eval.scoring.checks import Alternatives, check_policies, reading_notes, score_notes, unannotated_notes
from align_eval.scoring.measures import check_alpha, counts
from align_eval.scoring.paired import PairedTest, paired_tests
from align_eval.scoring.score import Score, check_gold, score_counts
from align_eval.scoring.signature import Signature
from align_eval.statistics import check_resampling

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from align_eval.corpora.pair import SentencePair

# Sentence pairs read at a time.
_BLOCK = 1 << 13
#: Policies for null links: leave them out, take them as links with an empty word, or fail.
NULLS = ("drop", "count", "raise")

# Files of at least so many bytes are read ahead, each in a thread of its own.
_LARGE = 1 << 22


@dataclass(frozen=True)
class ReadOptions:
    """How a file of links is read; see :func:`align_eval.corpora.linkio.read_links`.

    ``nulls="count"`` takes null links as links: a word of one side joined with an empty word of the other.
    """

    format: str = "auto"
    base: int | str = "auto"
    order: str = "st"
    nulls: str = "drop"
    out_of_range: str = "raise"

    def reader(self, path: str) -> LinkReader:
        """A reader of ``path``."""
        if self.nulls not in NULLS:
            raise InputError(f"unknown null policy {self.nulls!r}", remedy=f"Known: {', '.join(NULLS)}")
        nulls = "drop" if self.nulls == "count" else self.nulls  # the reader keeps those that it leaves out
        return LinkReader(path, self.format, self.base, self.order, None, nulls, self.out_of_range)


@dataclass
class GoldSource:
    """Where the gold comes from: a reader of a file, or the table of a test set."""

    name: str
    pairs: Iterable[SentencePair] | None
    reader: LinkReader | None = None
    table: LinkTable | None = None
    base: int | None = None
    checksum: str | None = None
    digest: Future[str] | None = None

    @property
    def file(self) -> str | None:
        """The file, for messages."""
        return None if self.reader is None else self.reader.file.name

    def tables(self, size: int) -> Iterator[LinkTable]:
        """The gold in tables of ``size`` sentence pairs."""
        if self.reader is not None:
            with _thread(self.reader.file) as thread:  # its sum is made beside the reading
                self.digest = None if thread is None else thread.submit(_sha256, self.reader.file)
                yield from _ahead(self.reader.file, self.reader.tables(size))
        elif self.table is not None:
            for start in range(0, self.table.sentences, size):
                yield part_of(self.table, start, min(start + size, self.table.sentences))

    def signature(self) -> Signature:
        """What it says of the gold; to be called when it has been read."""
        base, checksum = self.base, self.checksum
        if self.reader is not None:
            base = self.reader.report.base
            if checksum is None:
                checksum = _sha256(self.reader.file) if self.digest is None else self.digest.result()
                self.checksum = checksum
        return Signature(set=self.name, sha256=None if checksum is None else checksum[:8], base=base)


def find_gold(name: str, options: ReadOptions, pairs: Iterable[SentencePair] | None) -> GoldSource:
    """The gold of a file or of a test set. What has a folder in its name or exists as a file is a file."""
    if name == "-" or os.sep in name or os.path.exists(name):
        label = "stdin" if name == "-" else Path(name).name
        return GoldSource(label, pairs, reader=options.reader(name))
    from align_eval.corpora.testset_entries import get_entry
    from align_eval.corpora.testsets import load_testset

    try:
        entry = get_entry(name)
    except UnknownNameError as error:
        raise UnknownNameError("test set (and there is no such file)", name, error.known) from None
    if pairs is not None:
        raise InputError(
            f"the test set {name!r} brings its own sentences", remedy="Leave --bitext, --source and --target out"
        )
    if options.base != "auto" and int(options.base) != entry.base:
        raise InputError(f"the test set {name!r} counts from {entry.base}", remedy="Leave --gold-base out")
    testset = load_testset(name)
    return GoldSource(name, testset.read(), table=testset.gold, base=entry.base, checksum=testset.checksum)


def side_by_side(
    gold: GoldSource,
    readers: Sequence[LinkReader],
    size: int,
    missing: str = "raise",
    first: int | None = None,
    notes: list[str] | None = None,
) -> Iterator[list[LinkTable]]:
    """Yield the same sentence pairs of the gold and of every system, block by block.

    As long as all files plainly have the same pairs in the same order, blocks of ``size`` are read and forgotten. From
    where they have not, what is left of all files is held in memory and matched by name. What a person should know of
    the matching is added to ``notes``.
    """
    files = [gold.file or gold.name, *(reader.file.name for reader in readers)]
    skips = [gold.reader is not None and _skips(gold.reader), *map(_skips, readers)]
    how = Matching(
        files, missing, gold.pairs is not None, skips, first is not None, True, [] if notes is None else notes
    )
    streams = [gold.tables(size), *(_ahead(reader.file, reader.tables(size)) for reader in readers)]
    if first is not None:
        streams = [_limited(tables, first, k > 0) for k, tables in enumerate(streams)]
    done = 0
    for found in zip_longest(*streams):
        block = [table if table is not None else LinkTable.from_links([]) for table in found]
        if not same_pairs(block, done):
            if how.in_order or all(table.ids is None for table in block):
                _raise_lengths(files, block, streams, done)
            rest = [joined([table, *stream]) for table, stream in zip(block, streams, strict=True)]
            block = match_tables(rest, how, done)
        done += block[0].sentences
        yield block
        if first is not None and done >= first:
            break
    if not done:
        check_gold(0, 0, gold.file)
    check_first(done, first, files[0])


def _skips(reader: LinkReader) -> bool:
    """Whether the file's names are numbers of a text from which sentence pairs may be left out."""
    return reader.report.format not in ("jsonl", "parquet")


def _limited(tables: Iterator[LinkTable], first: int, may_be_named: bool) -> Iterator[LinkTable]:
    """The first sentence pairs; a system that names its own is matched with them by name instead."""
    done = 0
    for table in tables:
        if may_be_named and table.ids is not None:
            yield table
            continue
        if done + table.sentences >= first:
            yield part_of(table, 0, first - done)
            return
        done += table.sentences
        yield table


def _raise_lengths(
    files: Sequence[str], block: Sequence[LinkTable], streams: Sequence[Iterator[LinkTable]], done: int
) -> None:
    """Count what is left of all files and raise."""
    totals = [
        done + table.sentences + sum(later.sentences for later in stream)
        for table, stream in zip(block, streams, strict=True)
    ]
    if not totals[0]:
        check_gold(0, 0, files[0])
    for file, total in zip(files[1:], totals[1:], strict=True):
        if total != totals[0]:
            raise lengths_error(files[0], totals[0], file, total)


@contextmanager
def _thread(file: Input) -> Iterator[ThreadPoolExecutor | None]:
    """A thread for work on a large file, ``None`` for a small one."""
    if not file.is_file or os.path.getsize(file.path) < _LARGE:
        yield None
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        yield thread


def _ahead(file: Input, tables: Iterator[LinkTable]) -> Iterator[LinkTable]:
    """The same tables; those of a large file are made in a thread, one ahead of the one that is used."""
    with _thread(file) as thread:
        if thread is None:
            yield from tables
            return
        coming = thread.submit(next, tables, None)
        while (table := coming.result()) is not None:
            coming = thread.submit(next, tables, None)
            yield table


def _sha256(file: Input) -> str:
    """The checksum of what the file holds, unpacked."""
    digest = hashlib.sha256()
    with file.open() as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class SystemScore:
    """One system's score, its counts a sentence pair, and what else was asked for."""

    name: str  #: the system's file
    score: Score
    counts: IntArray  #: |A|, |S|, |A∩S|, |A∩P| of every sentence pair, ``(sentence pairs, 4)``
    against: str | None = None  #: the first system, for those after it
    paired: dict[str, PairedTest] = field(default_factory=dict)  #: tests against the first system
    breakdown: Breakdown | None = None
    sentences: list[str] | None = None  #: names of the sentence pairs scored; ``None``: all, numbered from 1

    @property
    def headline(self) -> PairedTest | None:
        """The test that the one p-value shown is of: randomisation if it was made, else bootstrap."""
        return self.paired.get("randomisation") or self.paired.get("bootstrap")

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``; ``p_value`` and ``difference`` (this minus the first) are of the AER."""
        out: dict[str, Any] = {"system": self.name, **self.score.to_json()}
        if self.headline is not None:
            details = {name: test.to_json() for name, test in self.paired.items()}
            out["p_value"] = self.headline.p_value["aer"]
            out["difference"] = details[self.headline.test]["difference"]["aer"]
            out["test"] = self.headline.test
            out["against"] = self.against
            out["paired"] = details
        if self.breakdown is not None:
            out["breakdown"] = self.breakdown.to_json()
        return out


def score_files(
    gold: str,
    hypotheses: Sequence[str],
    *,
    pairs: Iterable[SentencePair] | None = None,
    gold_options: ReadOptions = ReadOptions(),
    hypothesis_options: ReadOptions = ReadOptions(),
    missing_sentences: str = "raise",
    unannotated: str = "count",
    first: int | None = None,
    resamples: int = 1000,
    seed: int = 12345,
    alpha: float = 0.5,
    confidence: float = 0.95,
    tests: Sequence[str] = ("randomisation",),
    with_breakdown: bool = False,
) -> list[SystemScore]:
    """Score files of links against gold, reading all of them in parallel in bounded memory.

    Files that name their sentence pairs are matched by name (:mod:`align_eval.corpora.matching`), others line by line.
    What a person should know (null links left out, sentence pairs without gold, measures that are undefined, another
    base or order that would give a much lower AER) is told by an :class:`~align_eval.errors.AlignEvalWarning`.

    Args:
        gold: a file of links or the name of a test set. What has a folder in its name or exists as a file is a file.
        hypotheses: files of links, one a system; ``-`` is standard input (once). What ``align-eval align`` wrote beside
            a file goes into its signature, see :mod:`align_eval.corpora.sidecar`.
        pairs: the sentence pairs. They prove index bases and check ranges; a test set brings its own.
        gold_options, hypothesis_options: how the files are read. A test set knows its base and format.
        missing_sentences: a sentence pair that one file names and another does not: ``raise``, or ``empty``: it is one
            without links there.
        unannotated: sentence pairs without any gold link: ``count`` them (links there are wrong) or ``skip`` them.
        first: score the first sentence pairs of the gold alone, as many.
        resamples, seed, alpha, confidence: see :func:`align_eval.scoring.score.score`.
        tests: paired tests of every later system against the first, see :mod:`align_eval.scoring.paired`. None are
            made without resamples.
        with_breakdown: also make a breakdown; then gold, systems and sentences are held in memory.
    """
    check_alpha(alpha)
    check_resampling(resamples, seed, confidence)
    count_nulls = _check([gold, *hypotheses], gold_options, hypothesis_options, unannotated, first, with_breakdown)
    source = find_gold(gold, gold_options, pairs)
    readers = [hypothesis_options.reader(path) for path in hypotheses]
    measure_sentences(source, readers, first)
    names = short_names(hypotheses)
    found = _Counts(
        [
            _System(name, reader, Alternatives(source.reader, reader))
            for name, reader in zip(names, readers, strict=True)
        ],
        unannotated,
        count_nulls,
        with_breakdown,
        list(source.pairs)[:first] if with_breakdown and source.pairs is not None else None,
    )
    size = 2**31 - 1 if with_breakdown else _BLOCK
    notes: list[str] = []
    for gold_table, *tables in side_by_side(source, readers, size, missing_sentences, first, notes):
        found.add(gold_table, tables)
    check_gold(found.sentences, found.possible, source.file)
    notes += [] if source.reader is None else reading_notes(source.reader.report, gold_options.nulls)
    notes += unannotated_notes(found.bare, found.sentences, {s.name: s.bare_links for s in found.systems}, unannotated)
    first_rows, out = found.systems[0].counts(), []
    for k, system in enumerate(found.systems):
        these, report = system.counts(), system.reader.report
        doubt = system.alternatives.warning(these.sum(axis=0, dtype=np.int64))
        notes += [*reading_notes(report, hypothesis_options.nulls), *([f"{system.name}: {doubt}"] if doubt else [])]
        tested = {}
        if k and resamples:
            tested = paired_tests(
                first_rows, these, tests=tests, resamples=resamples, seed=seed, alpha=alpha, confidence=confidence
            )
        signature = reading_signature(
            source, report, hypotheses[k], hypothesis_options, missing_sentences, unannotated, first
        ).extend(ar=resamples if "randomisation" in tested else None)
        result = score_counts(
            these, found.possible, resamples=resamples, seed=seed, alpha=alpha, confidence=confidence,
            signature=signature,
        )  # fmt: skip
        notes += score_notes(system.name, result)
        against = names[0] if k else None
        out.append(SystemScore(system.name, result, these, against, tested, system.breakdown, found.labels))
    for note in notes:
        warnings.warn(AlignEvalWarning(note), stacklevel=2)
    return out


def reading_signature(
    source: GoldSource, report: LinkReport, path: str, options: ReadOptions, missing: str, unannotated: str,
    first: int | None,
) -> Signature:  # fmt: skip
    """What it says of the gold, of how a system's file was read, and of how its links came about."""
    return source.signature().extend(
        hyp_base=report.base,
        hyp_order=report.order if report.order != "st" else None,
        nulls=options.nulls,
        range=options.out_of_range if options.out_of_range != "raise" else None,
        missing=missing if missing != "raise" else None,
        unannotated=unannotated if unannotated != "count" else None,
        first=first,
        **{"sym": "unknown", **read_provenance(path)},
    )


@dataclass
class _System:
    """One system while it is counted."""

    name: str
    reader: LinkReader
    alternatives: Alternatives
    rows: list[IntArray] = field(default_factory=list)
    bare_links: int = 0
    breakdown: Breakdown | None = None

    def counts(self) -> IntArray:
        """The counts of all sentence pairs, ``(sentence pairs, 4)``."""
        if len(self.rows) > 1:
            self.rows = [np.concatenate(self.rows)]
        return self.rows[0]


@dataclass
class _Counts:
    """What is counted, block by block; ``bare`` sentence pairs have no gold link."""

    systems: list[_System]
    unannotated: str
    count_nulls: bool
    with_breakdown: bool
    pairs: list[SentencePair] | None
    sentences: int = 0
    possible: int = 0
    bare: int = 0
    labels: list[str] | None = None

    def add(self, gold: LinkTable, tables: Sequence[LinkTable]) -> None:
        """Count a block of sentence pairs."""
        read = [gold, *tables]
        both = [table.with_nulls() for table in read] if self.count_nulls else read
        empty = np.diff(both[0].offsets) == 0
        for system, table in zip(self.systems, both[1:], strict=True):
            system.bare_links += int(np.diff(table.offsets)[empty].sum())
        skip = self.unannotated == "skip" and bool(empty.any())
        if self.labels is None and (gold.ids is not None or skip):
            self.labels = [str(k + 1) for k in range(self.sentences)]
        if self.labels is not None:  # names of the sentence pairs that are scored, where they are not numbers from 1
            ids = gold.ids or [str(self.sentences + k + 1) for k in range(gold.sentences)]
            self.labels += [name for name, left in zip(ids, empty, strict=True) if not (skip and left)]
        self.sentences += gold.sentences
        self.bare += int(empty.sum())
        if skip:
            read, both = ([kept(table, ~empty) for table in them] for them in (read, both))
            if self.pairs is not None:
                self.pairs = [pair for pair, left in zip(self.pairs, empty, strict=True) if not left]
        self.possible += both[0].links
        for k, system in enumerate(self.systems, 1):
            rows = counts(both[0], both[k])
            system.rows.append(rows)
            system.alternatives.add(read[0], read[k], rows.sum(axis=0, dtype=np.int64))
            if self.with_breakdown:
                system.breakdown = breakdown(read[0], read[k], self.pairs)


def _check(
    files: Sequence[str],
    gold_options: ReadOptions,
    options: ReadOptions,
    unannotated: str,
    first: int | None,
    with_breakdown: bool,
) -> bool:
    """Check the parameters; whether null links are counted."""
    if files.count("-") > 1:
        raise InputError("standard input can be read once only", remedy="Name files for the others")
    check_policies(unannotated, first)
    if ("count" in (gold_options.nulls, options.nulls)) and gold_options.nulls != options.nulls:
        raise InputError("null links are counted on one side alone", remedy="Count them on both sides, or on none")
    if options.nulls == "count" and with_breakdown:
        raise InputError("a breakdown has no place for null links", remedy="Leave --breakdown or --nulls count out")
    return options.nulls == "count"


def measure_sentences(source: GoldSource, readers: Sequence[LinkReader], first: int | None) -> None:
    """Measure the sentences once, for all files."""
    if source.pairs is None:
        return
    lengths, ids = measure(source.pairs, True)
    for reader in readers if source.reader is None else [source.reader, *readers]:
        reader.lengths, reader.ids, reader.first = lengths, ids if reader.format.names_sentences else None, first
        if reader.format.needs_sentences_to_read and source.pairs is not None:
            reader.pairs = list(source.pairs)
