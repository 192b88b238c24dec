"""Lines of sentences: two parallel files, and ``source ||| target`` in one (fast_align, awesome-align, cdec)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record, ratio
from align_eval.corpora.headers import HEADER, has_header
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import BASE, check_base, encoded, joined, looks_like_links, parse_gold, write_lines
from align_eval.corpora.link_text import split_fields
from align_eval.corpora.markup import (
    check_lines,
    check_piped,
    first_lines,
    kind_of,
    note_of,
    same_name,
    sentences,
)  # fmt: skip
from align_eval.corpora.pair import SentencePair
from align_eval.errors import FormatError, InputError, LengthMismatchError
from align_eval.files import output_stream
from align_eval.registry import Option

_SEPARATOR = " ||| "
_SAME = "Both files must hold the same sentences in the same order"


class Parallel(BitextFormat):
    """Two files of equally many sentences. An empty line is a side without words.

    Files of numbered sentences, ``<s snum=..>`` and ``<seg id=..>`` are read too (:mod:`align_eval.corpora.markup`):
    the sentences have these names then, which must be the same in both files.
    """

    summary = "two files, line by line"
    options: ClassVar[Mapping[str, Option]] = {"header": HEADER}
    parallel = True

    def notes(self, source: Input, target: Input | None, options: Options) -> list[str]:
        assert target is not None
        kinds, header, heads = _looks(source, target, options)
        found = [note_of(*of) for of in zip(kinds, (source.name, target.name), heads, strict=True)]
        if header and options.get("header") != "yes":
            found.append(f"{source.name}, {target.name}: the first lines are left out: they name the columns")
        return [note for note in found if note is not None]

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        assert target is not None
        kinds, header, _ = _looks(source, target, options)
        if kinds != ("plain", "plain"):
            yield from _named(source, target, kinds)
            return
        pairs = zip_longest(source.lines(check_lines), target.lines(check_lines))
        if header:
            next(pairs, None)
        for one, other in pairs:
            if one is None or other is None:
                raise _length_mismatch(source, target)
            yield None, one[1], other[1], None, one[0]

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        assert target is not None
        kinds, header, _ = _looks(source, target, options)
        if kinds != ("plain", "plain"):
            return super().count(source, target, options)
        lines = source.count_lines()
        if lines != target.count_lines():
            raise _length_mismatch(source, target)
        return lines - header

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        assert target is not None
        if path == "-" or target == "-" or os.path.realpath(path) == os.path.realpath(target):
            raise InputError("parallel files need two different files to write to", remedy="Name a file for each side")
        # Both files appear together at the end or not at all.
        with output_stream(path) as left, output_stream(target) as right:
            for number, pair in enumerate(pairs):
                source_line, target_line = (joined(side, pair.id, "\t", "|||") for side in (pair.source, pair.target))
                if number == 0 and "\ufeff" in (source_line[:1], target_line[:1]):
                    raise InputError("the first word starts with U+FEFF, which is read as a byte order mark")
                left.write(encoded(source_line, path))
                right.write(encoded(target_line, target))


def _looks(source: Input, target: Input, options: Options) -> tuple[tuple[str, str], bool, list[list[str]]]:
    """The kinds of the two files, whether their first lines are a header, and their first lines."""
    heads = [first_lines(Head(*one.head()).lines) for one in (source, target)]
    kinds = kind_of(heads[0]), kind_of(heads[1])
    firsts = [lines[0] for lines in heads if lines]
    plain = kinds == ("plain", "plain") and len(firsts) == 2
    return kinds, plain and has_header(firsts, options, source.name, "parallel"), heads


def _named(source: Input, target: Input, kinds: tuple[str, str]) -> Iterator[Record]:
    """The pairs of files of which one at least names its sentences."""
    for one, other in zip_longest(sentences(source, kinds[0]), sentences(target, kinds[1])):
        if one is None or other is None:
            more, short = (source, target) if other is None else (target, source)
            line, name, _ = one or other  # type: ignore[misc]
            raise LengthMismatchError(
                f"this sentence{'' if name is None else f' ({name})'} has no counterpart in {short.name}, which ends",
                file=more.name, line=line, remedy=_SAME,
            )  # fmt: skip
        if not same_name(one[1], other[1]):
            there = f"{other[1]!r} in {target.name}:{other[0]}"
            raise source.malformed(f"sentence {one[1]!r} here but {there}", one[0], _SAME)
        yield one[1] or other[1], one[2], other[2], None, one[0]


def _length_mismatch(source: Input, target: Input) -> LengthMismatchError:
    """The error for two parallel files of unequal length; both are counted to their ends."""
    counts = [(source.count_lines(), source.name), (target.count_lines(), target.name)]
    (fewer, short), (more, long) = sorted(counts, key=lambda c: c[0])
    return LengthMismatchError(
        f"has {more} lines but {short} has {fewer}: this line is the first without a counterpart", file=long,
        line=fewer + 1, remedy="Parallel files correspond line by line: look for a missing, empty or doubled line",
    )  # fmt: skip


class Pipes(BitextFormat):
    """One file with ``|||`` between the sides; the first line decides whether links follow."""

    summary = "one pair a line: source ||| target, or source ||| target ||| links (i-j sure, ipj possible)"
    options: ClassVar[Mapping[str, Option]] = {"header": HEADER, "base": BASE}

    def detect(self, head: Head) -> float:
        fields = map(split_fields, head.lines)
        return ratio(len(cells) == 2 or (len(cells) == 3 and looks_like_links(cells[2])) for cells in fields)

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
            fields = split_fields(line)
            width = width or len(fields)
            if len(fields) != width or width not in (2, 3):
                raise _unfit(line, len(fields), width, source, number)
            gold = None
            if width == 3:
                try:
                    gold = parse_gold(fields[2], base)
                except FormatError as error:
                    raise source.placed(error, number) from None
            yield None, fields[0], fields[1], gold, number

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        return source.count_lines() - _header(source, options)

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        write_lines(path, (_SEPARATOR.join(joined(s, p.id, "\t", "|||") for s in (p.source, p.target)) for p in pairs))


def _header(source: Input, options: Options) -> bool:
    lines = Head(*source.head()).lines[:1]
    return bool(lines) and has_header(split_fields(lines[0]), options, source.name, "pipes")


def _unfit(line: str, found: int, width: int, source: Input, number: int) -> FormatError:
    remedy = "Mend the line, or pass another --bitext-format (format= in Python)"
    if found in (2, 3) and width in (2, 3):
        what = f"{found - 1} separators ' ||| ' where the lines before it have {width - 1}"
    elif found > 3:
        what = f"{found - 1} separators ' ||| ' in one line"
        remedy = "Leave one between the two sides, and one before links if there are any"
    else:
        missing = "no separator ' ||| '" if line.strip() else "an empty line"
        what = f"{missing} where 'source ||| target' is needed"
    return source.malformed(what, number, remedy)


FORMATS.register("parallel")(Parallel())
FORMATS.register("pipes", "triple-bar")(Pipes())
