"""Lines of cells (tab-separated or CSV) as records: header, columns by name or number, links, names of sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from align_eval.corpora.formats import Options, Record
from align_eval.corpora.headers import HEADER, IDS, LINKS, POSSIBLE, has_header, place_of, plain, sides_of
from align_eval.corpora.lines import BASE, check_base, looks_like_links, parse_gold
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
    """Which cells of a line are what, counted from 0.

    Attributes:
        width: how many cells each line has.
        source, target: the sentences.
        sure, possible: links, or ``None``.
        ident: the name of the sentence pair, or ``None``.
        header: the first line names the columns.
        found: the layout was not asked for and is not the usual one.
    """

    width: int
    source: int
    target: int
    sure: int | None = None
    possible: int | None = None
    ident: int | None = None
    header: bool = False
    found: bool = False


def fits(rows: Sequence[list[str]], asked: Options) -> float:
    """The share of lines, 0 to 1, whose cells are a sentence pair, with links or a name if there are more than two."""
    if not rows:
        return 0.0
    widths = [len(row) for row in rows]
    width = max(set(widths), key=widths.count)
    if width < 2:
        return 0.0
    same = [row for row in rows if len(row) == width]
    share = len(same) / len(rows)
    if width == 2 or "columns" in asked or _named(same):
        return share
    return max(sum(looks_like_links(row[2]) for row in same if width == 3) / len(rows), share if _numbered(same) else 0)


def _named(rows: Sequence[list[str]]) -> bool:
    return sides_of(rows[0]) is not None and has_header(rows[0], {}, "", "tsv")


def _numbered(rows: Sequence[list[str]]) -> bool:
    """Whether each line is ``number, source, target``, perhaps with links, and no number comes twice."""
    numbers = {row[0].strip() for row in rows}
    if len(rows[0]) not in (3, 4) or len(numbers) < len(rows) or not all(n.isascii() and n.isdigit() for n in numbers):
        return False
    if len(rows[0]) == 4:
        return all(looks_like_links(row[3]) for row in rows)
    return not all(looks_like_links(row[2]) for row in rows)


def layout_of(rows: Sequence[list[str]], options: Options, name: str, format: str) -> Layout:
    """The layout of a file by the cells of its first lines."""
    if not rows:
        return Layout(0, 0, 1)
    first = rows[0]
    width = len(first)
    header = has_header(first, options, name, format)
    if columns := options.get("columns"):
        if not 2 <= len(columns) <= 4:
            raise InputError(
                f"columns {'+'.join(columns)}", remedy="Name source+target, source+target+sure or also +possible"
            )
        named = not all(column.isdigit() for column in columns)
        source, target, *links = [_place(column, first, named, name) for column in columns]
        header = header or (named and options.get("header") != "no")
        sure, possible = links[0] if links else None, links[1] if len(links) == 2 else None
        return Layout(width, source, target, sure, possible, header=header)
    if header:
        return _by_header(first, options, name, format)
    if width == 2 and len(rows) > 1 and all(row[0].strip().isdigit() for row in rows if len(row) == 2):
        numbers = [int(row[0]) for row in rows if len(row) == 2]
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            raise FormatError(
                "lines of 'number TAB sentence', which is one side only",
                file=name,
                line=1,
                remedy="Pass both sides: --source FILE --target FILE",
            )
    if width in (2, 3) and (width == 2 or not _numbered([row for row in rows if len(row) == width])):
        return Layout(width, 0, 1, 2 if width == 3 else None)
    if width in (3, 4) and _numbered([row for row in rows if len(row) == width]):
        return Layout(width, 1, 2, 3 if width == 4 else None, ident=0, found=True)
    raise columns_error(width, "2 or 3 (source, target, links)", name, 1, format)


def _place(column: str, header: Sequence[str], named: bool, name: str) -> int:
    if not named:
        if not 1 <= int(column) <= len(header):
            raise FormatError(
                f"no column {column}", file=name, line=1, remedy=f"Columns are counted from 1; there are {len(header)}"
            )
        return int(column) - 1
    texts = [plain(cell) for cell in header]
    if plain(column) not in texts:
        raise FormatError(
            f"no column {column!r}", file=name, line=1, remedy=f"Name columns that exist: {', '.join(header)}"
        )
    return texts.index(plain(column))


def _by_header(header: Sequence[str], options: Options, name: str, format: str) -> Layout:
    languages = [plain(options.get(key) or "") for key in ("source_language", "target_language")]
    texts = [plain(cell) for cell in header]
    if all(language and language in texts for language in languages):
        sides: tuple[int, int] | None = (texts.index(languages[0]), texts.index(languages[1]))
    else:
        sides = sides_of(header)
    if sides is None:
        two = "+".join(header[:2])
        raise FormatError(
            f"the columns {', '.join(header)} do not say which are source and target",
            file=name,
            line=1,
            remedy=f"Pass --bitext-format {format}:columns={two} (format= in Python)",
        )
    links = place_of(header, LINKS)
    possible = place_of(header, POSSIBLE) if links is not None else None
    return Layout(len(header), *sides, links, possible, place_of(header, IDS), header=True)


def records(rows: Iterator[Row], layout: Layout, options: Options, name: str, format: str) -> Iterator[Record]:
    """The records of the lines ``rows``."""
    base = check_base(options.get("base", 0))
    width, source, target, ident = layout.width, layout.source, layout.target, layout.ident
    if layout.header:
        next(rows, None)
    for number, row in rows:
        if len(row) != width:
            raise columns_error(len(row), f"{width}, as in line 1,", name, number, format)
        gold = None
        if layout.sure is not None:
            try:
                gold = parse_gold(row[layout.sure], base)
                if layout.possible is not None:
                    more = parse_gold(row[layout.possible], base)
                    from align_eval.links import GoldLinks

                    gold = GoldLinks(gold.sure, gold.possible | more.possible)
            except FormatError as error:
                remedy = error.remedy
                if number == 1:
                    remedy = f"Pass --bitext-format {format}:header=yes (format= in Python) if it names the columns"
                raise FormatError(error.message, file=name, line=number, remedy=remedy) from None
        yield None if ident is None else row[ident].strip(), row[source], row[target], gold, number


def notes(layout: Layout, rows: Sequence[list[str]], options: Options, name: str) -> list[str]:
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


def columns_error(found: int, wanted: str, name: str, line: int, format: str) -> FormatError:
    """The error for a line with the wrong number of cells."""
    remedy = "Mend the line, or pass another --bitext-format (format= in Python)"
    if line == 1 and found > 2:
        remedy = (
            f"Name the columns of source, target and, if wanted, links by number: --bitext-format {format}:columns=1+2 "
            "(format= in Python)"
        )
    kind = f"{'tab-separated ' if format == 'tsv' else ''}column{'s' if found != 1 else ''}"
    return FormatError(f"{found} {kind} where {wanted} are needed", file=name, line=line, remedy=remedy)
