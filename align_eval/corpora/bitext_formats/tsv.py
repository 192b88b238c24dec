"""Tab-separated text: ``source<TAB>target``, or with links as a third column (XL-WA, Martelli et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from align_eval.corpora.bitext_formats import _columns as columns
from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import joined, write_lines
from align_eval.corpora.markup import check_cells
from align_eval.errors import InputError
from align_eval.registry import Option

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


class Tsv(BitextFormat):
    """Columns of source, target and perhaps links. Quotes have no meaning; all lines have as many columns as the first.

    A first line of names is known by them, and so is a first column of numbers.
    """

    summary = "source TAB target, or source TAB target TAB links (i-j sure, ipj possible); more with a header"
    options: ClassVar[Mapping[str, Option]] = columns.COLUMN_OPTIONS
    holds_gold = True

    def detect(self, head: Head) -> float:
        return columns.fits(_rows(head), head.asked)

    def notes(self, source: Input, target: Input | None, options: Options) -> list[str]:
        rows = _rows(Head(*source.head()))
        found = columns.notes(columns.layout_of(rows, options, source.name, "tsv"), rows, options, source.name)
        if any(len(cell) > 1 and cell[0] == cell[-1] == '"' and '""' in cell[1:-1] for row in rows for cell in row):
            found.append(
                f"{source.name}: cells are quoted as spreadsheets do, and are read with their quotes; "
                "--bitext-format csv:delimiter=tab takes them off"
            )
        return found

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        layout = columns.layout_of(_rows(Head(*source.head())), options, source.name, "tsv")
        lines = source.lines(check_cells)
        if (layout.source, layout.target, layout.sure, layout.ident, layout.width) == (0, 1, None, None, 2):
            yield from _two(lines, layout, source.name)
            return
        rows = ((number, line.split("\t")) for number, line in lines)
        yield from columns.records(rows, layout, options, source.name, "tsv")

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        layout = columns.layout_of(_rows(Head(*source.head())), options, source.name, "tsv")
        return max(0, source.count_lines() - layout.header)

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        write_lines(path, _lines(pairs))


def _rows(head: Head) -> list[list[str]]:
    return [line.split("\t") for line in head.lines]


def _two(lines: Iterator[tuple[int, str]], layout: columns.Layout, name: str) -> Iterator[Record]:
    """Two columns, written out, as this runs once a line of millions."""
    if layout.header:
        next(lines, None)
    for number, line in lines:
        source, tab, target = line.partition("\t")
        if not tab or "\t" in target:
            raise columns.columns_error(line.count("\t") + 1, "2, as in line 1,", name, number, "tsv")
        yield None, source, target, None, number


def _lines(pairs: Iterable[SentencePair]) -> Iterator[str]:
    width = 0
    for pair in pairs:
        row = [joined(pair.source, pair.id, "\t", "|||"), joined(pair.target, pair.id, "\t", "|||")]
        if pair.gold is not None:
            row.append(str(pair.gold))
        width = width or len(row)
        if len(row) != width:
            raise InputError(
                f"sentence pair {pair.id!r} {'has no' if len(row) == 2 else 'has'} gold links, unlike the first pair",
                remedy="Give all pairs gold links, or none",
            )
        yield "\t".join(row)


FORMATS.register("tsv", "xl-wa")(Tsv())
