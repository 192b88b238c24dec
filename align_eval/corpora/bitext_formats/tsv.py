"""Lines of cells: tab-separated text (XL-WA with links), and CSV as spreadsheets save it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.headers import (
    HEADER,
    IDS,
    LINKS,
    POSSIBLE,
    has_header,
    is_header,
    place_of,
    plain,
    sides_of,
)  # fmt: skip
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import BASE, check_base, joined, looks_like_links, parse_gold, write_lines
from align_eval.corpora.markup import check_cells, check_sentence
from align_eval.corpora.pair import SentencePair
from align_eval.errors import FormatError, InputError
from align_eval.registry import Option

COLUMN_OPTIONS: Mapping[str, Option] = {
    "header": HEADER,
    "columns": Option(
        many="+", example="2+4", help="source, target and, if wanted, sure and possible links: numbers from 1, or names"
    ),
    "source_language": Option(example="en", help="the source is in the column named so"),
    "target_language": Option(example="de", help="the target is in the column named so"),
    "base": BASE,
}
Row = tuple[int, list[str]]  # line from 1, cells


@dataclass(frozen=True)
class Layout:
    """Which cells of a line are what, counted from 0: ``sure`` and ``possible`` links and a name may be missing.

    All lines have ``width`` cells. ``header``: the first names them. ``found``: not asked for and not the usual one.
    """

    width: int
    source: int
    target: int
    sure: int | None = None
    possible: int | None = None
    ident: int | None = None
    header: bool = False
    found: bool = False


class Tsv(BitextFormat):
    """Columns of source, target and perhaps links. Quotes have no meaning; all lines have as many columns as the first.

    A first line of names is known by them, and so is a first column of numbers.
    """

    summary = "source TAB target, or source TAB target TAB links (i-j sure, ipj possible); more with a header"
    options: ClassVar[Mapping[str, Option]] = COLUMN_OPTIONS
    holds_gold = True

    def detect(self, head: Head) -> float:
        return _fits(_split(head), head.asked)

    def notes(self, source: Input, target: Input | None, options: Options) -> list[str]:
        rows = _split(Head(*source.head()))
        found = _notes(_layout(rows, options, source, "tsv"), rows, options, source.name)
        if any(len(cell) > 1 and cell[0] == cell[-1] == '"' and '""' in cell[1:-1] for row in rows for cell in row):
            found.append(
                f"{source.name}: cells are quoted as spreadsheets do, and are read with their quotes; "
                "--bitext-format csv:delimiter=tab takes them off"
            )
        return found

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        layout = _layout(_split(Head(*source.head())), options, source, "tsv")
        lines = source.lines(check_cells)
        if (layout.source, layout.target, layout.sure, layout.ident, layout.width) != (0, 1, None, None, 2):
            yield from _records(((k, line.split("\t")) for k, line in lines), layout, options, source, "tsv")
            return
        if layout.header:
            next(lines, None)
        for number, line in lines:  # two columns, written out, as this runs once a line of millions
            one, tab, other = line.partition("\t")
            if not tab or "\t" in other:
                raise _wrong_width(line.count("\t") + 1, "2, as in line 1,", source, number, "tsv")
            yield None, one, other, None, number

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        layout = _layout(_split(Head(*source.head())), options, source, "tsv")
        return max(0, source.count_lines() - layout.header)

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        write_lines(path, _written(pairs))


def _split(head: Head) -> list[list[str]]:
    return [line.split("\t") for line in head.lines]


def _written(pairs: Iterable[SentencePair]) -> Iterator[str]:
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


_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}
_QUOTED = re.compile(r'"(?:[^"]|"")*"(?:[,;]"(?:[^"]|"")*")+')
_NAMES = {mark: name for name, mark in _DELIMITERS.items()}


class Csv(BitextFormat):
    """The columns of TSV. A first line ``sep=;`` (Excel) names the delimiter.

    Ordinary text with commas is never taken for CSV: the format is known without being named only by a header
    (``source;target``), by ``sep=`` or by quotes around every cell.
    """

    summary = "cells between commas or semicolons, quoted where needed, one pair a line; the columns of tsv"
    options: ClassVar[Mapping[str, Option]] = {
        **COLUMN_OPTIONS,
        "delimiter": Option(
            default="auto", choices=(*_DELIMITERS, "auto"), help="what stands between the cells; auto: what fits"
        ),
    }

    def detect(self, head: Head) -> float:
        if not head.lines or not any(mark in head.lines[0] for mark in ",;="):
            return 0.0
        delimiter = _delimiter(head, head.asked, None)
        if delimiter is None or delimiter == "\t":
            return 0.0
        lines = _body(head)
        rows = [cells for line in lines if (cells := _cells(line, delimiter)) is not None]
        if not rows or not lines:
            return 0.0
        named = _is_named(rows[0])
        if not (len(lines) < len(head.lines) or named or all(_QUOTED.fullmatch(line) for line in lines)):
            return 0.0
        ratio = _fits(rows, {**head.asked, "columns": ()}) * len(rows) / len(lines)
        return max(ratio, 0.6) if named else ratio

    def notes(self, source: Input, target: Input | None, options: Options) -> list[str]:
        _, delimiter, rows, layout = _start(source, options)
        said = f"{source.name}: read as CSV, delimiter {_NAMES[delimiter]}"
        return [said, *_notes(layout, rows, options, source.name)]

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        skipped, delimiter, _, layout = _start(source, options)
        lines = _parsed(source, delimiter, skipped)
        for ident, one, other, gold, line in _records(lines, layout, options, source, "csv"):
            try:
                check_sentence(str(one))
                check_sentence(str(other))
            except FormatError as error:
                raise source.placed(error, line) from None
            yield ident, one, other, gold, line

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        skipped, _, _, layout = _start(source, options)
        return max(0, source.count_lines() - layout.header - skipped)


def _start(source: Input, options: Options) -> tuple[int, str, list[list[str]], Layout]:
    """How many lines stand before the cells, the delimiter, the cells of the first lines, and their layout."""
    head = Head(*source.head())
    delimiter = _delimiter(head, options, source) or ","
    rows = [cells for line in _body(head) if (cells := _cells(line, delimiter)) is not None]
    return len(head.lines) - len(_body(head)), delimiter, rows, _layout(rows, options, source, "csv")


def _body(head: Head) -> list[str]:
    """The first lines without ``sep=;``."""
    return head.lines[1:] if head.lines and head.lines[0].lower().startswith("sep=") else head.lines


def _delimiter(head: Head, options: Options, source: Input | None) -> str | None:
    """The delimiter asked for or named; else the one by which most lines are as wide as the first, 2 or more.

    Two that fit equally are an error about the file, if one is given.
    """
    asked = options.get("delimiter", "auto")
    if asked != "auto":
        return _DELIMITERS[asked]
    if head.lines and head.lines[0].lower().startswith("sep="):
        mark = head.lines[0][4:5] or ("\t" if head.lines[0].endswith("\t") else "")
        return mark if mark in _NAMES else None
    best: list[tuple[int, str]] = []
    for mark in (";", ",", "\t"):
        rows = [_cells(line, mark) for line in head.lines]
        first = rows[0] if rows else None
        if first is not None and len(first) > 1:
            best.append((sum(row is not None and len(row) == len(first) for row in rows), mark))
    best.sort(reverse=True)
    if len(best) > 1 and best[0][0] == best[1][0]:
        named = [mark for _, mark in best if _is_named(_cells(head.lines[0], mark) or [])]
        if len(named) != 1 and source is not None:
            remedy = "Pass --bitext-format csv:delimiter=semicolon or csv:delimiter=comma (format= in Python)"
            raise source.malformed("commas and semicolons both divide every line alike", None, remedy)
    return best[0][1] if best else None


def _is_named(cells: list[str]) -> bool:
    try:
        return is_header(cells, "", "")
    except FormatError:
        return False


def _cells(line: str, delimiter: str) -> list[str] | None:
    """The cells of a line, ``None`` if a quoted cell does not end in it or its quotes are not those of CSV."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [""])
    except csv.Error:
        return None


def _parsed(source: Input, delimiter: str, skipped: int) -> Iterator[Row]:
    lines = source.lines()
    if skipped:
        next(lines, None)
    for number, line in lines:
        cells = _cells(line, delimiter)
        if cells is None:
            raise source.malformed(
                "a quoted cell that does not end in its line, or a quote that is not doubled", number,
                "Write each sentence in one line, and a quote within quotes twice",
            )  # fmt: skip
        yield number, cells


def _fits(rows: Sequence[list[str]], asked: Options) -> float:
    """The ratio of lines, 0 to 1, whose cells are a sentence pair, with links or a name if there are more than two."""
    if not rows:
        return 0.0
    widths = [len(row) for row in rows]
    width = max(set(widths), key=widths.count)
    if width < 2:
        return 0.0
    same = [row for row in rows if len(row) == width]
    ratio = len(same) / len(rows)
    named = sides_of(same[0]) is not None and has_header(same[0], {}, "", "tsv")
    if width == 2 or "columns" in asked or named:
        return ratio
    linked = sum(looks_like_links(row[2]) for row in same if width == 3) / len(rows)
    return max(linked, ratio if _numbered(same) else 0)


def _numbered(rows: Sequence[list[str]]) -> bool:
    """Whether each line is ``number, source, target``, perhaps with links, and no number comes twice."""
    numbers = {row[0].strip() for row in rows}
    if len(rows[0]) not in (3, 4) or len(numbers) < len(rows) or not all(n.isascii() and n.isdigit() for n in numbers):
        return False
    if len(rows[0]) == 4:
        return all(looks_like_links(row[3]) for row in rows)
    return not all(looks_like_links(row[2]) for row in rows)


def _layout(rows: Sequence[list[str]], options: Options, source: Input, format: str) -> Layout:
    """The layout of a file by the cells ``rows`` of its first lines and the options :data:`COLUMN_OPTIONS`."""
    if not rows:
        return Layout(0, 0, 1)
    first = rows[0]
    width = len(first)
    header = has_header(first, options, source.name, format)
    if columns := options.get("columns"):
        if not 2 <= len(columns) <= 4:
            remedy = "Name source+target, source+target+sure or also +possible"
            raise InputError(f"columns {'+'.join(columns)}", remedy=remedy)
        named = not all(column.isdigit() for column in columns)
        one, other, *links = [_place(column, first, named, source) for column in columns]
        sure, possible = (*links, None, None)[:2]
        return Layout(width, one, other, sure, possible, header=header or (named and options.get("header") != "no"))
    if header:
        return _by_header(first, options, source, format)
    same = [row for row in rows if len(row) == width]
    if width == 2 and len(rows) > 1 and all(row[0].strip().isdigit() for row in same):
        numbers = [int(row[0]) for row in same]
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            remedy = "Pass both sides: --source FILE --target FILE"
            raise source.malformed("lines of 'number TAB sentence', which is one side only", 1, remedy)
    if width in (3, 4) and _numbered(same):
        return Layout(width, 1, 2, 3 if width == 4 else None, ident=0, found=True)
    if width in (2, 3):
        return Layout(width, 0, 1, 2 if width == 3 else None)
    raise _wrong_width(width, "2 or 3 (source, target, links)", source, 1, format)


def _place(column: str, header: Sequence[str], named: bool, source: Input) -> int:
    if not named:
        if not 1 <= int(column) <= len(header):
            remedy = f"Columns are counted from 1; there are {len(header)}"
            raise source.malformed(f"no column {column}", 1, remedy)
        return int(column) - 1
    texts = [plain(cell) for cell in header]
    if plain(column) not in texts:
        raise source.malformed(f"no column {column!r}", 1, f"Name columns that exist: {', '.join(header)}")
    return texts.index(plain(column))


def _by_header(header: Sequence[str], options: Options, source: Input, format: str) -> Layout:
    languages = [plain(options.get(key) or "") for key in ("source_language", "target_language")]
    texts = [plain(cell) for cell in header]
    sides = sides_of(header)
    if all(language and language in texts for language in languages):
        sides = texts.index(languages[0]), texts.index(languages[1])
    if sides is None:
        raise source.malformed(
            f"the columns {', '.join(header)} do not say which are source and target", 1,
            f"Pass --bitext-format {format}:columns={'+'.join(header[:2])} (format= in Python)",
        )  # fmt: skip
    links = place_of(header, LINKS)
    possible = place_of(header, POSSIBLE) if links is not None else None
    return Layout(len(header), *sides, links, possible, place_of(header, IDS), header=True)


def _records(rows: Iterator[Row], layout: Layout, options: Options, file: Input, format: str) -> Iterator[Record]:
    """The records of the lines ``rows``."""
    base = check_base(options.get("base", 0))
    width, source, target, ident = layout.width, layout.source, layout.target, layout.ident
    if layout.header:
        next(rows, None)
    for number, row in rows:
        if len(row) != width:
            raise _wrong_width(len(row), f"{width}, as in line 1,", file, number, format)
        gold = None
        if layout.sure is not None:
            try:
                gold = parse_gold(row[layout.sure], base)
                if layout.possible is not None:
                    from align_eval.links import GoldLinks

                    gold = GoldLinks(gold.sure, gold.possible | parse_gold(row[layout.possible], base).possible)
            except FormatError as error:
                if number == 1:
                    error.remedy = (
                        f"Pass --bitext-format {format}:header=yes (format= in Python) if it names the columns"
                    )
                raise file.placed(error, number) from None
        yield None if ident is None else row[ident].strip(), row[source], row[target], gold, number


def _notes(layout: Layout, rows: Sequence[list[str]], options: Options, name: str) -> list[str]:
    """What a user should know of how the file is read."""
    found = []
    if layout.header and options.get("header", "auto") == "auto" and "columns" not in options:
        found.append(
            f"{name}: the first line is left out: it names the columns; source: {rows[0][layout.source].strip()}, "
            f"target: {rows[0][layout.target].strip()}"
        )
    if layout.found:
        found.append(f"{name}: column 1 is read as names of the sentence pairs, columns 2 and 3 as source and target")
    return found


def _wrong_width(found: int, wanted: str, source: Input, line: int, format: str) -> FormatError:
    """The error for a line with the wrong number of cells."""
    remedy = "Mend the line, or pass another --bitext-format (format= in Python)"
    if line == 1 and found > 2:
        remedy = (
            f"Name the columns of source, target and, if wanted, links by number: --bitext-format {format}:columns=1+2 "
            "(format= in Python)"
        )
    kind = f"{'tab-separated ' if format == 'tsv' else ''}column{'s' if found != 1 else ''}"
    return source.malformed(f"{found} {kind} where {wanted} are needed", line, remedy)


FORMATS.register("tsv", "xl-wa")(Tsv())
FORMATS.register("csv")(Csv())
