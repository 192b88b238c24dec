"""One reading of one file of links: recognise the format, prove base and order, translate block by block."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from align_eval.corpora.index_base import BASE_OPTIONS, Proof, parse_base, parse_order
from align_eval.corpora.inputs import Input
from align_eval.corpora.link_formats import LINK_FORMATS
from align_eval.corpora.link_formats._detect import detect
from align_eval.corpora.matching import is_foreign, placed_in_text
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import Lengths, LinkReport, RawLinks, join_raw
from align_eval.corpora.sidecar import SUFFIX, sidecar_base
from align_eval.errors import IndexBaseError, InputError, LengthMismatchError, LinkRangeError
from align_eval.files import StrPath
from align_eval.links import BoolArray, IntArray
from align_eval.links.symmetrization import ORDER_NAMES
from align_eval.links.table import LinkTable, joined, part_of, sort_unique


class LinkReader:
    """Reads one file, whole with :meth:`read` or in tables with :meth:`tables`; use one of them, once.

    The arguments are those of :func:`align_eval.corpora.linkio.read_links`. ``report`` is complete when reading is.
    ``first`` sentence pairs are read alone, where it is set and the sentences are known.
    """

    def __init__(
        self,
        path: StrPath,
        format: str = "auto",
        base: int | str = "auto",
        order: str = "st",
        bitext: Iterable[SentencePair] | None = None,
        nulls: str = "drop",
        out_of_range: str = "raise",
    ) -> None:
        for name, value in (("null policy", nulls), ("range policy", out_of_range)):
            if value not in ("drop", "raise"):
                raise InputError(f"unknown {name} {value!r}", remedy="Known: drop, raise")
        asked_base, asked_order = parse_base(base), parse_order(order)
        if format != "auto":
            LINK_FORMATS.get(format)
        self.file = path if isinstance(path, Input) else Input(path)
        name = detect(self.file) if format == "auto" else format
        self.format = LINK_FORMATS.get(name)()
        self.format.check_base(name, asked_base)
        own = self.format.own_base
        proven = self.format.base_is_default and asked_base is None
        base_from = "format" if asked_base is None else "given"
        if asked_base is None and own is None:
            asked_base = sidecar_base(self.file.path)
            base_from = f"{self.file.name}{SUFFIX}"
        known = (None if proven else own) if asked_base is None else asked_base
        default = own if proven else None
        self.proof = Proof(self.file.name, known, asked_order, self.format.show, base_from, default)
        self.pairs = None
        if self.format.needs_sentences_to_read and bitext is not None:
            bitext = self.pairs = list(bitext)
        self.lengths, self.ids = measure(bitext, self.format.names_sentences)
        self.nulls, self.out_of_range = nulls, out_of_range
        self.report = LinkReport(self.file.name, name)
        self.first: int | None = None

    def read(self) -> LinkTable:
        """The whole file as one table."""
        blocks = list(self._blocks())
        self._conclude(blocks)
        parts: list[LinkTable] = []
        blocks.reverse()
        while blocks:  # a raw block goes when its translation comes: the links are held once, not twice
            parts.append(self._translate(*blocks.pop()))
        return joined(parts)

    def tables(self, size: int) -> Iterator[LinkTable]:
        """Tables of ``size`` consecutive sentence pairs, the last one with what is left."""
        self._conclude(self._blocks())
        held: list[LinkTable] = []
        count = 0
        for raw, lengths in self._blocks():
            part = self._translate(raw, lengths)
            begin = 0
            while count + part.sentences - begin >= size:
                end = begin + size - count
                held.append(part_of(part, begin, end))
                yield joined(held)
                begin, count = end, 0
            if begin < part.sentences:
                held.append(part_of(part, begin, part.sentences) if begin else part)
                count += part.sentences - begin
        if count:
            yield joined(held)

    def alternatives(self, table: LinkTable) -> Iterator[tuple[int, str, LinkTable]]:
        """``(base, order, table)`` of ``table``, which this reader gave, under each other index base and side order.

        No second pass over the file, no checks of range: a score of each tells of a wrong base or order.
        """
        base, order = self.report.base, self.report.order
        other = {"st": "ts", "ts": "st"}[order]
        for new_base, new_order in ((1 - base, order), (base, other), (1 - base, other)):
            yield new_base, new_order, table.reread(base - new_base, new_order != order)

    def _conclude(self, blocks: Iterable[tuple[RawLinks, Lengths | None]]) -> None:
        """Prove base and order; nothing is read beyond the block that settles them."""
        if not self.proof.settled:
            for raw, lengths in blocks:
                self.proof.add(raw, lengths, self.lengths is None)
                if self.proof.settled:
                    break
        report = self.report
        report.base, report.order, report.base_from, report.order_from = self.proof.conclude()

    def _blocks(self) -> Iterator[tuple[RawLinks, Lengths | None]]:
        """The blocks as written, each with the lengths that hold for it: the bitext's, else the file's own."""
        done = 0
        for raw in self._in_order():
            begin, done = done, done + raw.sentences
            if self.lengths is not None and self.first is not None and done >= self.first:
                raw, done = raw.head(self.first - begin), self.first
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
                file=self.file.name, remedy="Check that the links and the sentences belong together",
            )  # fmt: skip

    def _in_order(self) -> Iterator[RawLinks]:
        """The blocks in the order of the bitext: by name where the file names its sentence pairs."""
        pairs = self.pairs
        if pairs is not None and self.proof.order == "ts":
            pairs = [pair.reverse() for pair in pairs]
        self.format.pairs = pairs
        blocks = self.format.read(self.file)
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

    def _translate(self, raw: RawLinks, lengths: Lengths | None) -> LinkTable:
        """The block's links, 0-based, source first, sorted and unique; ``lengths``: words of its pairs, if known."""
        report, base = self.report, np.int32(self.report.base)
        if self.lengths is None and lengths is not None and report.order == "ts":
            lengths = lengths[::-1]
        source, target = (raw.first, raw.second) if report.order == "st" else (raw.second, raw.first)
        keep: BoolArray | None = None
        left_out: IntArray | None = None
        least = raw.least
        if least is None and len(source):
            least = min(int(source.min()), int(target.min()))
        if least is not None and least < base:
            null = (source < base) | (target < base)
            if base == 1 and least <= 0:
                nothing = (source == 0) & (target == 0)
                if nothing.any():
                    row = int(nothing.argmax())
                    raise IndexBaseError(
                        f"link {self.format.show(0, 0, raw.is_sure(row))} joins nothing with nothing if indices count "
                        "from 1, so they count from 0",
                        file=self.file.name, line=raw.line_of(row), remedy=f"Pass base 0 {BASE_OPTIONS}",
                    )  # fmt: skip
            if self.nulls == "raise":
                row = int(null.argmax())
                shown = self.format.show(int(raw.first[row]), int(raw.second[row]), raw.is_sure(row))
                raise self.file.malformed(
                    f"link {shown} joins a word with nothing (a null link, indices counted from {report.base})",
                    raw.line_of(row), "Leave null links out with nulls='drop' (--nulls drop)",
                )  # fmt: skip
            report.nulls += int(null.sum())
            keep = ~null
            marks = np.ones(len(source), dtype=bool) if raw.sure is None else raw.sure
            left_out = np.stack([raw.sentence, source - base, target - base, marks.astype(np.int32)])[:, null]
        if lengths is not None and len(source):
            bad = (source - base >= lengths[0][raw.sentence]) | (target - base >= lengths[1][raw.sentence])
            if keep is not None:
                bad &= keep
            if bad.any():
                error = self._range_error(raw, int(bad.argmax()), lengths)
                if self.out_of_range == "raise":
                    raise error
                report.out_of_range += int(bad.sum())
                report.first_out_of_range = report.first_out_of_range or str(error)
                keep = ~bad if keep is None else keep & ~bad
        sentence, sure, scores = raw.sentence, raw.sure, raw.scores
        if keep is not None:
            sentence, source, target = sentence[keep], source[keep], target[keep]
            sure = None if sure is None else sure[keep]
            scores = None if scores is None else scores[keep]
        if base:
            source, target = source - base, target - base
        before = len(source)
        if raw.ascending and sure is not None and report.order == "st":  # and what was left out leaves them so
            columns = sentence, source, target, sure, scores
        else:
            columns = sort_unique(sentence, source, target, sure, scores)
        table = LinkTable.presorted(*columns[:3], raw.sentences, *columns[3:], raw.ids)
        table.nulls = left_out
        report.duplicates += before - table.links
        report.links += table.links
        report.sure += table.sure_links
        report.sentences += raw.sentences
        for text in raw.notes:
            report.note(text)
        return table

    def _range_error(self, raw: RawLinks, row: int, lengths: Lengths) -> LinkRangeError:
        base, order = self.report.base, self.report.order
        first, second, k = int(raw.first[row]), int(raw.second[row]), int(raw.sentence[row])
        source, target = (first, second) if order == "st" else (second, first)
        m, n = int(lengths[0][k]), int(lengths[1][k])
        cause = ""
        if base == 0 and source <= m and target <= n:
            cause = f"the indices count from 1: pass base 1 {BASE_OPTIONS}"
        elif source - base < n and target - base < m:
            cause = "the sides are swapped: pass order ts (--hyp-order or --order-in; order= in Python)"
        likely = (
            f"Probably {cause}, or check that these are the right sentences" if cause
            else "Check that these are the right sentences, the base (0 or 1) and the order (st or ts)"
        )  # fmt: skip
        return LinkRangeError(
            f"link {self.format.show(first, second, raw.is_sure(row))} (indices from {base}, {ORDER_NAMES[order]}) "
            f"is outside its sentence pair of {m} source and {n} target words",
            file=self.file.name, line=raw.line_of(row),
            remedy=f"{likely}; to leave such links out pass out_of_range='drop' (--out-of-range drop)",
        )  # fmt: skip


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
