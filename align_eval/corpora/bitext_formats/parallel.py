"""Two files, line k of one the translation of line k of the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from align_eval.corpora.formats import FORMATS, BitextFormat, Options, Record, length_mismatch
from align_eval.corpora.inputs import Input
from align_eval.corpora.textout import encoded, joined
from align_eval.errors import InputError
from align_eval.files import output_stream

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


class Parallel(BitextFormat):
    """Two files of equally many lines. An empty line is a side without words."""

    summary = "two files, line by line"
    parallel = True

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        assert target is not None
        for one, other in zip_longest(source.lines(), target.lines()):
            if one is None or other is None:
                raise length_mismatch(source, target)
            yield None, one[1], other[1], None, one[0]

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        assert target is not None
        lines = source.count_lines()
        if lines != target.count_lines():
            raise length_mismatch(source, target)
        return lines

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        assert target is not None
        if path == "-" or target == "-" or os.path.realpath(path) == os.path.realpath(target):
            raise InputError("parallel files need two different files to write to", remedy="Name a file for each side")
        # Both files appear together at the end or not at all.
        with output_stream(path) as left, output_stream(target) as right:
            for number, pair in enumerate(pairs):
                source_line, target_line = joined(pair.source, pair.id), joined(pair.target, pair.id)
                if number == 0 and "\ufeff" in (source_line[:1], target_line[:1]):
                    raise InputError("the first word starts with U+FEFF, which is read as a byte order mark")
                left.write(encoded(source_line, path))
                right.write(encoded(target_line, target))


FORMATS.register("parallel")(Parallel())
