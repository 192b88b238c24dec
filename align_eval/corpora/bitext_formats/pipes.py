"""``source words ||| target words``, one pair a line: the input of fast_align and awesome-align."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.inputs import Input
from align_eval.corpora.textout import joined, write_lines
from align_eval.errors import FormatError

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_SEPARATOR = " ||| "


def split_line(line: str) -> tuple[str, str] | None:
    """The two sides of ``line``, or ``None`` unless exactly one ``|||`` stands in it as a word of its own.

    >>> split_line("the house ||| das Haus")
    ('the house', 'das Haus')
    >>> split_line("||| das Haus")
    ('', 'das Haus')
    """
    source, found, target = line.partition(_SEPARATOR)
    if found and line.count("|||") == 1:
        return source, target
    # A separator at an end of the line, or "|||" inside of other words.
    words = line.split(" ")
    if words.count("|||") != 1:
        return None
    at = words.index("|||")
    return " ".join(words[:at]), " ".join(words[at + 1 :])


class Pipes(BitextFormat):
    """One file with ``|||`` between the sides."""

    summary = "one pair a line: source ||| target"

    def detect(self, head: Head) -> float:
        return head.share(split_line(line) is not None for line in head.lines)

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        for number, line in source.lines():
            left, found, right = line.partition(_SEPARATOR)
            if not found or line.count("|||") != 1:
                sides = split_line(line)
                if sides is None:
                    raise _not_two_sides(line, source.name, number)
                left, right = sides
            yield None, left, right, None, number

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        return source.count_lines()

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        write_lines(
            path, (f"{joined(p.source, p.id, '|||')}{_SEPARATOR}{joined(p.target, p.id, '|||')}" for p in pairs)
        )


def _not_two_sides(line: str, name: str, number: int) -> FormatError:
    bars = line.split(" ").count("|||")
    if bars:
        return FormatError(
            f"{bars} separators ' ||| ' in one line", file=name, line=number, remedy="Leave one, between the two sides"
        )
    what = "an empty line" if not line.strip() else "no separator ' ||| '"
    return FormatError(
        f"{what} where 'source ||| target' is needed",
        file=name,
        line=number,
        remedy="Mend the line, or pass another --bitext-format (format= in Python)",
    )


FORMATS.register("pipes", "triple-bar")(Pipes())
