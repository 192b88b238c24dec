"""One reading of one file of links: recognise the format, prove base and order, translate block by block."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from align_eval.corpora.index_base import Proof, parse_base, parse_order
from align_eval.corpora.link_blocks import cut, head_of, join, join_raw, table_of
from align_eval.corpora.link_formats import LINK_FORMATS, LinkInput
from align_eval.corpora.link_formats._detect import detect
from align_eval.corpora.matching import is_foreign, placed_in_text
from align_eval.corpora.raw_links import Columns, Lengths, LinkReport, RawLinks, Translator
from align_eval.corpora.sidecar import SUFFIX, sidecar_base
from align_eval.errors import InputError, LengthMismatchError
from align_eval.files import StrPath
from align_eval.links.table import LinkTable

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
        self.file = path if isinstance(path, LinkInput) else LinkInput(path)
        name = detect(self.file) if format == "auto" else format
        self.format = LINK_FORMATS.get(name)()
        self.format.check_base(name, asked_base)
        own = self.format.own_base
        proven = self.format.base_is_default and asked_base is None
        base_from = "format" if asked_base is None else "given"
        if asked_base is None and own is None:
            asked_base = sidecar_base(self.file.path)
            base_from = f"{self.file.name}{SUFFIX}"
        self.proof = Proof(
            self.file.name,
            (None if proven else own) if asked_base is None else asked_base,
            asked_order,
            self.format.show,
            base_from,
            own if proven else None,
        )
        self.pairs = None
        if self.format.needs_sentences_to_read and bitext is not None:
            bitext = self.pairs = list(bitext)
        self.lengths, self.ids = measure(bitext, self.format.names_sentences)
        self.nulls, self.out_of_range = nulls, out_of_range
        self.report = LinkReport(self.file.name, name)
        #: Read the first sentence pairs alone, as many; ``None``: all. Taken where the sentences are known.
        self.first: int | None = None

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

    def alternatives(self, table: LinkTable) -> Iterator[tuple[int, str, LinkTable]]:
        """``table``, which this reader gave, as it would be under each other index base and side order."""
        base, order = self.report.base, self.report.order
        other = {"st": "ts", "ts": "st"}[order]
        for new_base, new_order in ((1 - base, order), (base, other), (1 - base, other)):
            yield new_base, new_order, table.reread(base - new_base, new_order != order)

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
        for raw in self._in_order():
            begin, done = done, done + raw.sentences
            if self.lengths is not None and self.first is not None and done >= self.first:
                raw, done = head_of(raw, self.first - begin), self.first
            if self.lengths is None:
                yield raw, raw.lengths
            elif done <= len(self.lengths[0]):
                lengths = (self.lengths[0][begin:done], self.lengths[1][begin:done])
                self._compare(raw, lengths, begin)
                yield raw, lengths
                if done == self.first:
                    return
        if self.lengths is not None and done != len(self.lengths[0]):
            raise LengthMismatchError(
                f"links of {done} sentence pairs but {len(self.lengths[0])} sentence pairs of text",
                file=self.file.name,
                remedy="Check that the links and the sentences belong together",
            )

    def _in_order(self) -> Iterator[RawLinks]:
        """The blocks in the order of the bitext: by name where the file names its sentence pairs."""
        pairs = self.pairs
        if pairs is not None and self.proof.order == "ts":
            pairs = [pair.reverse() for pair in pairs]
        blocks = self.format.read(self.file, pairs)
        if self.ids is None:
            yield from blocks
            return
        done = 0
        for raw in blocks:
            expected = self.ids if self.format.skips_empty else self.ids[done : done + raw.sentences]
            if raw.ids is not None and list(raw.ids) != expected and not is_foreign(raw.ids, self.ids):
                rest = join_raw([raw, *blocks])
                yield placed_in_text(rest, self.ids, done, self.format.skips_empty, self.report)
                return
            yield raw
            done += raw.sentences

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


def measure(bitext: Iterable[SentencePair] | None, with_ids: bool) -> tuple[Lengths | None, list[str] | None]:
    """The numbers of source and target words of each pair, ``(pairs,)`` each, and on request the pairs' names."""
    if bitext is None:
        return None, None
    source, target, ids = array("i"), array("i"), []
    wrong = InputError(
        f"bitext is a {type(bitext).__name__} that holds no sentence pairs",
        remedy="Pass what read_bitext(FILE) gives, or a list of SentencePair",
    )
    if not isinstance(bitext, Iterable):
        raise wrong
    for pair in bitext:
        if isinstance(pair, (str, list, tuple)):
            raise wrong
        source.append(len(pair.source))
        target.append(len(pair.target))
        if with_ids:
            ids.append(pair.id)
    return (np.array(source, dtype=np.int32), np.array(target, dtype=np.int32)), ids if with_ids else None
