"""Three lines a pair, as the judged links of TransRead have them (Xu & Yvon 2016): number, source, target."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.inputs import Input

_FORM = "Give three lines a pair: its number, its source words, its target words"


class TransRead(BitextFormat):
    """The numbers name the pairs; they need not be consecutive, but rise."""

    summary = "three lines a pair: number, source, target (TransRead)"

    def detect(self, head: Head) -> float:
        """Proven by rising numbers in every third line, and something else in others."""
        lines = head.lines[: len(head.lines) // 3 * 3]
        numbers = lines[::3]
        if len(numbers) < 2 or not all(n.isascii() and n.isdigit() for n in numbers) or all(map(str.isdigit, lines)):
            return 0.0
        return 1.5 if all(int(a) < int(b) for a, b in pairwise(numbers)) else 0.0

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        lines = source.lines()
        before = -1
        for place, number in lines:
            if not (number.isascii() and number.isdigit()) or int(number) <= before:
                raise source.malformed(f"{number[:40]!r} is no number above {max(before, 0)}", place, _FORM)
            before = int(number)
            sides = [text for _, text in (next(lines, (0, None)), next(lines, (0, None))) if text is not None]
            if len(sides) != 2:
                raise source.malformed(f"pair {number} breaks off", place, _FORM)
            yield number, sides[0], sides[1], None, place


FORMATS.register("transread")(TransRead())
