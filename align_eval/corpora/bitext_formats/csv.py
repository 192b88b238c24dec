"""CSV as spreadsheets save it: cells between ``,``, ``;`` or tabs, quoted where they hold one of these or a quote."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from align_eval.corpora.bitext_formats import _columns as columns
from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.headers import is_header
from align_eval.corpora.inputs import Input
from align_eval.corpora.markup import check_sentence
from align_eval.errors import FormatError
from align_eval.registry import Option

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
        **columns.COLUMN_OPTIONS,
        "delimiter": Option(
            default="auto", choices=(*_DELIMITERS, "auto"), help="what stands between the cells; auto: what fits"
        ),
    }

    def detect(self, head: Head) -> float:
        if not head.lines or not any(mark in head.lines[0] for mark in ",;="):
            return 0.0
        delimiter = _delimiter(head, head.asked, "")
        if delimiter is None or delimiter == "\t":
            return 0.0
        lines = _body(head)
        rows = [cells for line in lines if (cells := _cells(line, delimiter)) is not None]
        if not rows or not lines:
            return 0.0
        quoted = all(_QUOTED.fullmatch(line) for line in lines)
        named = _named(rows[0])
        if not (len(lines) < len(head.lines) or quoted or named):
            return 0.0
        share = columns.fits(rows, {**head.asked, "columns": ()}) * len(rows) / len(lines)
        return max(share, 0.6) if named else share

    def notes(self, source: Input, target: Input | None, options: Options) -> list[str]:
        head = Head(*source.head())
        delimiter, rows = _start(head, options, source.name)
        layout = columns.layout_of(rows, options, source.name, "csv")
        said = f"{source.name}: read as CSV, delimiter {_NAMES[delimiter]}"
        return [said, *columns.notes(layout, rows, options, source.name)]

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        head = Head(*source.head())
        delimiter, rows = _start(head, options, source.name)
        layout = columns.layout_of(rows, options, source.name, "csv")
        lines = _parsed(source, delimiter, len(_body(head)) < len(head.lines))
        for ident, one, other, gold, line in columns.records(lines, layout, options, source.name, "csv"):
            try:
                check_sentence(str(one))
                check_sentence(str(other))
            except FormatError as error:
                raise FormatError(error.message, file=source.name, line=line, remedy=error.remedy) from None
            yield ident, one, other, gold, line

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        head = Head(*source.head())
        layout = columns.layout_of(_start(head, options, source.name)[1], options, source.name, "csv")
        return max(0, source.count_lines() - layout.header - (len(head.lines) - len(_body(head))))


def _start(head: Head, options: Options, name: str) -> tuple[str, list[list[str]]]:
    """The delimiter and the cells of the first lines."""
    delimiter = _delimiter(head, options, name) or ","
    return delimiter, [cells for line in _body(head) if (cells := _cells(line, delimiter)) is not None]


def _body(head: Head) -> list[str]:
    """The first lines without ``sep=;``."""
    return head.lines[1:] if head.lines and head.lines[0].lower().startswith("sep=") else head.lines


def _delimiter(head: Head, options: Options, name: str) -> str | None:
    """The delimiter asked for or named; else the one by which most lines are as wide as the first, 2 or more."""
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
        named = [mark for _, mark in best if _named(_cells(head.lines[0], mark) or [])]
        if len(named) != 1 and name:
            raise FormatError(
                "commas and semicolons both divide every line alike",
                file=name,
                remedy="Pass --bitext-format csv:delimiter=semicolon or csv:delimiter=comma (format= in Python)",
            )
        return named[0] if len(named) == 1 else None
    return best[0][1] if best else None


def _named(cells: list[str]) -> bool:
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


def _parsed(source: Input, delimiter: str, skip: bool) -> Iterator[columns.Row]:
    lines = source.lines()
    if skip:
        next(lines, None)
    for number, line in lines:
        cells = _cells(line, delimiter)
        if cells is None:
            raise FormatError(
                "a quoted cell that does not end in its line, or a quote that is not doubled",
                file=source.name,
                line=number,
                remedy="Write each sentence in one line, and a quote within quotes twice",
            )
        yield number, cells


FORMATS.register("csv")(Csv())
