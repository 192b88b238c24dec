"""Read the gold and the links of systems in parallel in bounded memory: where the gold is, and blocks of all files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from align_eval.corpora.link_formats import LinkInput
from align_eval.corpora.link_reader import LinkReader
from align_eval.corpora.matching import Matching, check_first, lengths_error, match_tables, same_pairs
from align_eval.errors import InputError, UnknownNameError
from align_eval.links.table import LinkTable, joined, part_of
from align_eval.scoring.score import check_gold
from align_eval.scoring.signature import Signature

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from align_eval.corpora.pair import SentencePair

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
        """A reader of ``path``.

        Raises:
            InputError: an unknown policy.
        """
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
    """The gold of a file or of a test set. What has a folder in its name or exists as a file is a file.

    Raises:
        UnknownNameError: neither a file nor a test set.
        InputError: sentences or an index base for a test set, which has its own.
    """
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
    return GoldSource(name, testset.sentences, table=testset.gold, base=entry.base, checksum=testset.checksum)


def side_by_side(
    gold: GoldSource,
    readers: Sequence[LinkReader],
    size: int,
    missing: str = "raise",
    first: int | None = None,
    notes: list[str] | None = None,
) -> Iterator[list[LinkTable]]:
    """Yield the same sentence pairs of the gold and of every system, block by block.

    As long as all files plainly have the same pairs in the same order, blocks are read and forgotten. From where they
    have not, what is left of all files is held in memory and matched by name.

    Args:
        gold, readers: what is read.
        size: sentence pairs of a block.
        missing: see :class:`align_eval.corpora.matching.Matching`.
        first: take the first sentence pairs of the gold alone, as many.
        notes: what a person should know of the matching is added to it.

    Raises:
        LengthMismatchError: a file has other sentence pairs than the gold; names it and what differs.
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
        block = [table if table is not None else _nothing() for table in found]
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


def _nothing() -> LinkTable:
    return LinkTable.from_links([])


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
