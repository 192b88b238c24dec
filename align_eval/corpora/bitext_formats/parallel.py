"""Two files, line k of one the translation of line k of the other, or sentences that the files name themselves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record, length_mismatch
from align_eval.corpora.headers import HEADER, has_header
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import encoded, joined
from align_eval.corpora.markup import check_lines, first_lines, kind_of, note_of, same_name, sentences
from align_eval.errors import FormatError, InputError, LengthMismatchError
from align_eval.files import output_stream
from align_eval.registry import Option

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


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
                raise length_mismatch(source, target)
            yield None, one[1], other[1], None, one[0]

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        assert target is not None
        kinds, header, _ = _looks(source, target, options)
        if kinds != ("plain", "plain"):
            return super().count(source, target, options)
        lines = source.count_lines()
        if lines != target.count_lines():
            raise length_mismatch(source, target)
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
                file=more.name,
                line=line,
                remedy="Both files must hold the same sentences in the same order",
            )
        if not same_name(one[1], other[1]):
            raise FormatError(
                f"sentence {one[1]!r} here but {other[1]!r} in {target.name}:{other[0]}",
                file=source.name,
                line=one[0],
                remedy="Both files must hold the same sentences in the same order",
            )
        yield one[1] or other[1], one[2], other[2], None, one[0]


FORMATS.register("parallel")(Parallel())
