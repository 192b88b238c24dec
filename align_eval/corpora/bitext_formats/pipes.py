"""``source words ||| target words``, one pair a line: the input of fast_align and awesome-align.

With links behind a second separator, ``source ||| target ||| 0-0 1-1``, it is the aligned text of cdec and Joshua.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.headers import HEADER, has_header
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import BASE, check_base, joined, looks_like_links, parse_gold, write_lines
from align_eval.corpora.markup import check_piped
from align_eval.errors import FormatError
from align_eval.registry import Option

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_SEPARATOR = " ||| "


def split_line(line: str) -> list[str]:
    """The fields of ``line`` between ``|||`` that stand as words of their own.

    >>> split_line("the house ||| das Haus ||| 0-0 1-1")
    ['the house', 'das Haus', '0-0 1-1']
    >>> split_line("||| das Haus")
    ['', 'das Haus']
    """
    fields = line.split(_SEPARATOR)
    if line.count("|||") == len(fields) - 1:
        return fields
    # A separator at an end of the line or beside another one, or "|||" inside of other words.
    parts: list[list[str]] = [[]]
    for word in line.split(" "):
        if word == "|||":
            parts.append([])
        else:
            parts[-1].append(word)
    return [" ".join(part) for part in parts]


class Pipes(BitextFormat):
    """One file with ``|||`` between the sides; the first line decides whether links follow."""

    summary = "one pair a line: source ||| target, or source ||| target ||| links (i-j sure, ipj possible)"
    options: ClassVar[Mapping[str, Option]] = {"header": HEADER, "base": BASE}

    def detect(self, head: Head) -> float:
        return head.share(_fits(split_line(line)) for line in head.lines)

    def notes(self, source: Input, target: Input | None, options: Options) -> list[str]:
        if _header(source, options) and options.get("header") != "yes":
            return [f"{source.name}: the first line is left out: it names the columns"]
        return []

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        base = check_base(options.get("base", 0))
        lines = source.lines(check_piped)
        if _header(source, options):
            next(lines, None)
        width = 0
        for number, line in lines:
            left, found, right = line.partition(_SEPARATOR)
            if width == 2 and found and "|||" not in right:
                yield None, left, right, None, number
                continue
            fields = split_line(line)
            width = width or len(fields)
            if len(fields) != width or width not in (2, 3):
                raise _unfit(line, len(fields), width, source.name, number)
            gold = None
            if width == 3:
                try:
                    gold = parse_gold(fields[2], base)
                except FormatError as error:
                    raise FormatError(error.message, file=source.name, line=number, remedy=error.remedy) from None
            yield None, fields[0], fields[1], gold, number

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        return source.count_lines() - _header(source, options)

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        write_lines(path, (_SEPARATOR.join(joined(s, p.id, "\t", "|||") for s in (p.source, p.target)) for p in pairs))


def _fits(fields: list[str]) -> bool:
    return len(fields) == 2 or (len(fields) == 3 and looks_like_links(fields[2]))


def _header(source: Input, options: Options) -> bool:
    lines = Head(*source.head()).lines[:1]
    return bool(lines) and has_header(split_line(lines[0]), options, source.name, "pipes")


def _unfit(line: str, found: int, width: int, name: str, number: int) -> FormatError:
    remedy = "Mend the line, or pass another --bitext-format (format= in Python)"
    if found in (2, 3) and width in (2, 3):
        what = f"{found - 1} separators ' ||| ' where the lines before it have {width - 1}"
    elif found > 3:
        what = f"{found - 1} separators ' ||| ' in one line"
        remedy = "Leave one between the two sides, and one before links if there are any"
    else:
        missing = "no separator ' ||| '" if line.strip() else "an empty line"
        what = f"{missing} where 'source ||| target' is needed"
    return FormatError(what, file=name, line=number, remedy=remedy)


FORMATS.register("pipes", "triple-bar")(Pipes())
