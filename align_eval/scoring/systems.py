"""Score files: find the gold (a test set or a file), read gold and systems side by side in blocks, test and sign."""

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

from align_eval.corpora.link_formats import LinkInput
from align_eval.corpora.link_reader import LinkReader, measure
from align_eval.errors import AlignEvalWarning, InputError, UnknownNameError
from align_eval.link_table import LinkTable
from align_eval.links import IntArray
from align_eval.scoring.breakdown import Breakdown, breakdown
from align_eval.scoring.counts import check_lengths, counts
from align_eval.scoring.paired import PairedTest, paired_tests
from align_eval.scoring.provenance import read_provenance
from align_eval.scoring.score import Score, check_gold, check_resampling, score_counts
from align_eval.scoring.signature import Signature

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from align_eval.corpora.pair import SentencePair

# Sentence pairs read at a time.
_BLOCK = 1 << 13
# Files of at least so many bytes are read ahead, each in a thread of its own.
_LARGE = 1 << 22


@dataclass(frozen=True)
class ReadOptions:
    """How a file of links is read; see :func:`align_eval.corpora.linkio.read_links`."""

    format: str = "auto"
    base: int | str = "auto"
    order: str = "st"
    nulls: str = "drop"
    out_of_range: str = "raise"

    def reader(self, path: str) -> LinkReader:
        """A reader of ``path``."""
        return LinkReader(path, self.format, self.base, self.order, None, self.nulls, self.out_of_range)


@dataclass(frozen=True)
class SystemScore:
    """One system's score, its counts a sentence pair, and what else was asked for.

    Attributes:
        name: the system's file.
        score: corpus scores.
        counts: |A|, |S|, |A∩S|, |A∩P| of every sentence pair, ``(sentence pairs, 4)``.
        against: name of the first system, for those after it.
        paired: the paired tests against the first system, by name of the test.
        breakdown: parts, if asked for.
    """

    name: str
    score: Score
    counts: IntArray
    against: str | None = None
    paired: dict[str, PairedTest] = field(default_factory=dict)
    breakdown: Breakdown | None = None

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
    resamples: int = 1000,
    seed: int = 12345,
    alpha: float = 0.5,
    confidence: float = 0.95,
    tests: Sequence[str] = ("randomisation",),
    with_breakdown: bool = False,
) -> list[SystemScore]:
    """Score files of links against gold, reading all of them side by side in bounded memory.

    Args:
        gold: a file of links or the name of a test set. What has a folder in its name or exists as a file is a file.
        hypotheses: files of links, one a system; ``-`` is standard input (once). What ``align-eval align`` wrote beside
            a file goes into its signature, see :mod:`align_eval.scoring.provenance`.
        pairs: the sentence pairs. They prove index bases and check ranges; a test set brings its own.
        gold_options, hypothesis_options: how the files are read. A test set knows its base and format.
        resamples, seed, alpha, confidence: see :func:`align_eval.scoring.score.score`.
        tests: paired tests of every later system against the first, see :mod:`align_eval.scoring.paired`. None are
            made without resamples.
        with_breakdown: also make a breakdown; then gold, systems and sentences are held in memory.

    Raises:
        UnknownNameError: ``gold`` is neither a file nor a test set.
        EmptyGoldError: the gold has no sentence pair or no link.
        LengthMismatchError: a file has another number of sentence pairs than the gold.
        InputError: a parameter outside of its range, or standard input named twice.
        AlignEvalError: what reading the files raises.
    """
    check_resampling(resamples, seed, confidence, alpha)
    if [gold, *hypotheses].count("-") > 1:
        raise InputError("standard input can be read once only", remedy="Name files for the others")
    source = _gold(gold, gold_options, pairs)
    lengths, ids = (None, None) if source.pairs is None else measure(source.pairs, True)
    readers = [hypothesis_options.reader(path) for path in hypotheses]
    for reader in readers if source.reader is None else [source.reader, *readers]:
        # The sentences are measured once for all files.
        reader.lengths, reader.ids = lengths, ids if reader.format.names_sentences else None
    held = list(source.pairs) if with_breakdown and source.pairs is not None else None
    size = 2**31 - 1 if with_breakdown else _BLOCK
    rows: list[list[IntArray]] = [[] for _ in readers]
    parts: list[Breakdown] = []
    sentences = possible = 0
    for gold_table, tables in _side_by_side(source, readers, size):
        sentences, possible = sentences + gold_table.sentences, possible + gold_table.links
        for found, table in zip(rows, tables, strict=True):
            found.append(counts(gold_table, table))
            if with_breakdown:
                parts.append(breakdown(gold_table, table, held))
    check_gold(sentences, possible, source.file)
    for reader in readers if source.reader is None else [source.reader, *readers]:
        if reader.report.out_of_range:
            text = f"{reader.report.out_of_range} links out of range left out: {reader.report.first_out_of_range}"
            warnings.warn(AlignEvalWarning(text), stacklevel=2)
    first, names = np.concatenate(rows[0]), _names(hypotheses)
    out = []
    for k, reader in enumerate(readers):
        these = first if k == 0 else np.concatenate(rows[k])
        tested = {}
        if k and resamples:
            tested = paired_tests(
                first, these, tests=tests, resamples=resamples, seed=seed, alpha=alpha, confidence=confidence
            )
        signature = source.signature().extend(
            hyp_base=reader.report.base,
            hyp_order=reader.report.order if reader.report.order != "st" else None,
            nulls=hypothesis_options.nulls,
            range=hypothesis_options.out_of_range if hypothesis_options.out_of_range != "raise" else None,
            ar=resamples if "randomisation" in tested else None,
            **{"sym": "none", **read_provenance(hypotheses[k])},
        )
        result = score_counts(
            these,
            possible,
            resamples=resamples,
            seed=seed,
            alpha=alpha,
            confidence=confidence,
            signature=signature,
        )
        out.append(
            SystemScore(names[k], result, these, names[0] if k else None, tested, parts[k] if with_breakdown else None)
        )
    return out


@dataclass
class _Gold:
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
        return None if self.reader is None else self.reader.file.name

    def tables(self, size: int) -> Iterator[LinkTable]:
        if self.reader is not None:
            with _thread(self.reader.file) as thread:  # its sum is made beside the reading
                self.digest = None if thread is None else thread.submit(_sha256, self.reader.file)
                yield from _ahead(self.reader.file, self.reader.tables(size))
        elif self.table is not None:
            for start in range(0, self.table.sentences, size):
                yield _cut(self.table, start, min(start + size, self.table.sentences))

    def signature(self) -> Signature:
        """What it says of the gold; to be called when it has been read."""
        base, checksum = self.base, self.checksum
        if self.reader is not None:
            base = self.reader.report.base
            if checksum is None:
                checksum = _sha256(self.reader.file) if self.digest is None else self.digest.result()
                self.checksum = checksum
        return Signature(set=self.name, sha256=None if checksum is None else checksum[:8], base=base)


def _gold(name: str, options: ReadOptions, pairs: Iterable[SentencePair] | None) -> _Gold:
    if name == "-" or os.sep in name or os.path.exists(name):
        label = "stdin" if name == "-" else Path(name).name
        return _Gold(label, pairs, reader=options.reader(name))
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
    return _Gold(name, testset.sentences, table=testset.gold, base=entry.base, checksum=testset.checksum)


def _side_by_side(
    gold: _Gold, readers: Sequence[LinkReader], size: int
) -> Iterator[tuple[LinkTable, tuple[LinkTable, ...]]]:
    """Yield the same sentence pairs of the gold and of every system, block by block.

    Raises:
        LengthMismatchError: a file has another number of sentence pairs than the gold; names it and both numbers.
    """
    totals = np.zeros(1 + len(readers), dtype=np.int64)
    same = True
    files = [_ahead(reader.file, reader.tables(size)) for reader in readers]
    for tables in zip_longest(gold.tables(size), *files):
        sizes = [0 if table is None else table.sentences for table in tables]
        totals += sizes
        same = same and len(set(sizes)) == 1
        if same:
            yield tables[0], tables[1:]
    if not totals[0]:
        check_gold(0, 0, gold.file)
    for reader, total in zip(readers, totals[1:].tolist(), strict=True):
        check_lengths(int(totals[0]), total, reader.file.name)


@contextmanager
def _thread(file: LinkInput) -> Iterator[ThreadPoolExecutor | None]:
    """A thread for work on a large file, ``None`` for a small one."""
    if not file.is_file or os.path.getsize(file.path) < _LARGE:
        yield None
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        yield thread


def _ahead(file: LinkInput, tables: Iterator[LinkTable]) -> Iterator[LinkTable]:
    """The same tables; those of a large file are made in a thread, one ahead of the one that is used."""
    with _thread(file) as thread:
        if thread is None:
            yield from tables
            return
        coming = thread.submit(next, tables, None)
        while (table := coming.result()) is not None:
            coming = thread.submit(next, tables, None)
            yield table


def _sha256(file: LinkInput) -> str:
    """The checksum of what the file holds, unpacked."""
    digest = hashlib.sha256()
    with file.open() as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _cut(table: LinkTable, start: int, stop: int) -> LinkTable:
    rows = slice(int(table.offsets[start]), int(table.offsets[stop]))
    sentence = table.sentence[rows] - np.int32(start)
    return LinkTable(sentence, table.source[rows], table.target[rows], stop - start, table.sure[rows])


def _names(paths: Sequence[str]) -> list[str]:
    """File names; with their folders where two files have the same name."""
    short = ["stdin" if path == "-" else Path(path).name for path in paths]
    return [path if short.count(name) > 1 else name for path, name in zip(paths, short, strict=True)]
