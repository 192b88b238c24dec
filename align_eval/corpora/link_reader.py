"""One reading of one file of links: recognise the format, prove base and order, translate block by block."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from align_eval.corpora.index_base import Proof, parse_base, parse_order
from align_eval.corpora.link_formats import LINK_FORMATS, LinkInput
from align_eval.corpora.link_formats._detect import detect
from align_eval.corpora.raw_links import Columns, Lengths, LinkReport, RawLinks, Translator
from align_eval.errors import InputError, LengthMismatchError
from align_eval.files import StrPath
from align_eval.link_table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


class LinkReader:
    """Reads one file, whole with :meth:`read` or in tables with :meth:`tables`; use one of them, once.

    The arguments are those of :func:`align_eval.corpora.linkio.read_links`. ``report`` is complete when reading is.
    """

    def __init__(
        self,
        path: StrPath,
        format: str,
        base: int | str,
        order: str,
        bitext: Iterable[SentencePair] | None,
        nulls: str,
        out_of_range: str,
    ) -> None:
        for name, value in (("null policy", nulls), ("range policy", out_of_range)):
            if value not in ("drop", "raise"):
                raise InputError(f"unknown {name} {value!r}", remedy="Known: drop, raise")
        asked_base, asked_order = parse_base(base), parse_order(order)
        if format != "auto":
            LINK_FORMATS.get(format)
        self.file = LinkInput(path)
        name = detect(self.file) if format == "auto" else format
        self.format = LINK_FORMATS.get(name)()
        self.format.check_base(name, asked_base)
        self.proof = Proof(
            self.file.name,
            self.format.own_base if asked_base is None else asked_base,
            asked_order,
            self.format.show,
            "format" if asked_base is None else "given",
        )
        self.lengths, self.ids = measure(bitext, self.format.uses_ids)
        self.nulls, self.out_of_range = nulls, out_of_range
        self.report = LinkReport(self.file.name, name)

    def read(self) -> LinkTable:
        """The whole file as one table."""
        blocks = list(self._blocks())
        self._prove(blocks)
        translator = self._translator()
        parts: list[Columns] = []
        blocks.reverse()
        while blocks:  # a raw block goes when its translation comes: the links are held once, not twice
            parts.append(self._translate(translator, *blocks.pop()))
        return table_of(join(parts))

    def tables(self, size: int) -> Iterator[LinkTable]:
        """Tables of ``size`` consecutive sentence pairs, the last one with what is left."""
        self._prove(self._blocks())
        translator = self._translator()
        held: list[Columns] = []
        count = 0
        for raw, lengths in self._blocks():
            part = self._translate(translator, raw, lengths)
            begin = 0
            while count + part.sentences - begin >= size:
                end = begin + size - count
                held.append(cut(part, begin, end))
                yield table_of(join(held))
                begin, held, count = end, [], 0
            if begin < part.sentences:
                held.append(cut(part, begin, part.sentences) if begin else part)
                count += part.sentences - begin
        if count:
            yield table_of(join(held))

    def _prove(self, blocks: Iterable[tuple[RawLinks, Lengths | None]]) -> None:
        """Gather evidence of base and order; nothing is read beyond the block that settles them."""
        if self.proof.settled:
            return
        for raw, lengths in blocks:
            self.proof.add(raw, lengths, self.lengths is None)
            if self.proof.settled:
                return

    def _blocks(self) -> Iterator[tuple[RawLinks, Lengths | None]]:
        """The blocks as written, each with the lengths that hold for it: the bitext's, else the file's own."""
        done = 0
        for raw in self.format.read(self.file, self.ids):
            begin, done = done, done + raw.sentences
            if self.lengths is None:
                yield raw, raw.lengths
            elif done <= len(self.lengths[0]):
                lengths = (self.lengths[0][begin:done], self.lengths[1][begin:done])
                self._compare(raw, lengths, begin)
                yield raw, lengths
        if self.lengths is not None and done != len(self.lengths[0]):
            raise LengthMismatchError(
                f"links of {done} sentence pairs but {len(self.lengths[0])} sentence pairs of text",
                file=self.file.name,
                remedy="Check that the links and the sentences belong together",
            )

    def _compare(self, raw: RawLinks, lengths: Lengths, begin: int) -> None:
        """The sentences of a file that holds its own must be as long as those of the bitext."""
        if raw.lengths is None or self.proof.order is None:
            return
        own = raw.lengths if self.proof.order == "st" else raw.lengths[::-1]
        differ = (own[0] != lengths[0]) | (own[1] != lengths[1])
        if differ.any():
            k = int(differ.argmax())
            raise LengthMismatchError(
                f"sentence pair {begin + k + 1} has {own[0][k]} source and {own[1][k]} target words here but "
                f"{lengths[0][k]} and {lengths[1][k]} in the bitext",
                file=self.file.name,
                remedy="Check the side order (st or ts), and that the links and the sentences belong together",
            )

    def _translator(self) -> Translator:
        report = self.report
        report.base, report.order, report.base_from, report.order_from = self.proof.conclude()
        return Translator(report.base, report.order, self.nulls, self.out_of_range, self.format.show, report)

    def _translate(self, translator: Translator, raw: RawLinks, lengths: Lengths | None) -> Columns:
        if self.lengths is None and lengths is not None and translator.order == "ts":
            lengths = lengths[::-1]
        return translator.translate(raw, lengths)


def measure(bitext: Iterable[SentencePair] | None, with_ids: bool) -> tuple[Lengths | None, Sequence[str] | None]:
    """The numbers of source and target words of each pair, ``(pairs,)`` each, and on request the pairs' names."""
    if bitext is None:
        return None, None
    source, target, ids = array("i"), array("i"), []
    for pair in bitext:
        source.append(len(pair.source))
        target.append(len(pair.target))
        if with_ids:
            ids.append(pair.id)
    return (np.array(source, dtype=np.int32), np.array(target, dtype=np.int32)), ids if with_ids else None


def join(parts: list[Columns]) -> Columns:
    """Consecutive blocks as one; ``parts`` is emptied, so that the links are not held twice for longer than needed."""
    if len(parts) == 1:
        return parts.pop()
    sentences = sum(part.sentences for part in parts)
    rows = sum(len(part.source) for part in parts)
    scored = bool(parts) and all(part.scores is not None for part in parts if len(part.source))
    named = bool(parts) and all(part.ids is not None for part in parts)
    whole = Columns(
        np.empty(rows, dtype=np.int32),
        np.empty(rows, dtype=np.int32),
        np.empty(rows, dtype=np.int32),
        np.empty(rows, dtype=bool),
        np.empty(rows, dtype=np.float32) if scored and rows else None,
        sentences,
        [name for part in parts for name in part.ids or ()] if named else None,
    )
    first, row = 0, 0
    parts.reverse()
    while parts:
        part = parts.pop()
        rows_here = slice(row, row + len(part.source))
        np.add(part.sentence, np.int32(first), out=whole.sentence[rows_here])
        whole.source[rows_here] = part.source
        whole.target[rows_here] = part.target
        whole.sure[rows_here] = part.sure
        if whole.scores is not None and part.scores is not None:
            whole.scores[rows_here] = part.scores
        first, row = first + part.sentences, rows_here.stop
    return whole


def cut(columns: Columns, begin: int, end: int) -> Columns:
    """The sentence pairs ``begin`` to ``end`` of a block, counted from 0 again."""
    rows = slice(*np.searchsorted(columns.sentence, [begin, end]).tolist())
    return Columns(
        columns.sentence[rows] - np.int32(begin),
        columns.source[rows],
        columns.target[rows],
        columns.sure[rows],
        None if columns.scores is None else columns.scores[rows],
        end - begin,
        None if columns.ids is None else columns.ids[begin:end],
    )


def table_of(columns: Columns) -> LinkTable:
    """A table of sorted, unique columns."""
    return LinkTable.presorted(
        columns.sentence,
        columns.source,
        columns.target,
        columns.sentences,
        columns.sure,
        columns.scores,
        columns.ids,
    )
