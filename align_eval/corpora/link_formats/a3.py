"""GIZA++ A3: three lines a sentence pair, indices from 1.

.. code-block:: text

   # Sentence pair (1) source length 2 target length 3 alignment score : 0.0012
   das ist Haus
   NULL ({ 2 }) the ({ 1 }) house ({ 3 })

In GIZA++'s terms the *source* is the side of the third line, whose words (and ``NULL``) generate the words of the
*target*, the second line; the numbers are positions in the second line, from 1. So with ``order="st"`` the third line
holds our source words and the second our target words. A file of the opposite model needs ``order="ts"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO, ClassVar, NamedTuple

import numpy as np

from align_eval.corpora.inputs import Input
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, plain_words, written_names
from align_eval.corpora.link_text import MAX_INDEX
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import RawLinks
from align_eval.corpora.words import split_words
from align_eval.links.table import LinkTable

_HEADER = re.compile(
    r"# Sentence pair \(([0-9]{1,10})\) source length ([0-9]{1,9}) target length ([0-9]{1,9})(?: alignment score ?:.*)?"
)
_HEADER_FORM = "A header is '# Sentence pair (1) source length 2 target length 3 alignment score : 0.5'"
_WORDS_FORM = "The third line is 'NULL ({ }) word ({ 1 2 }) word ({ 3 })'"


class _Pair(NamedTuple):
    number: int
    source: Sequence[str]
    target: Sequence[str]
    sizes: tuple[int, int]
    links: list[tuple[int, int]]
    line: int  # of the header


@LINK_FORMATS.register("a3", "giza", "giza++")
class A3(LinkFormat):
    """All links are sure; words of ``NULL`` are null links; the alignment score of a pair is not kept.

    The numbers of the sentence pairs become :attr:`LinkTable.ids`; pairs that are out of order (MGIZA's parts) are put
    in order by them. Ranges are checked against the file's own sentences where no bitext is given.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".a3", ".final")
    names_sentences: ClassVar[bool] = True
    names_by_number: ClassVar[bool] = True
    own_base: ClassVar[int | None] = 1
    base_may_differ: ClassVar[bool] = False
    needs_sentences: ClassVar[bool] = True
    has_possible: ClassVar[bool] = False

    def read(self, file: Input) -> Iterator[RawLinks]:
        """Yield one block: the order of the pairs is known at the end only."""
        found = sorted((pair._replace(source=(), target=()) for pair in _pairs(file)), key=lambda pair: pair.number)
        for before, after in pairwise(found):
            if before.number == after.number:
                raise file.malformed(
                    f"sentence pair ({after.number}) is there twice, first in line {min(before.line, after.line)}",
                    max(before.line, after.line), "Number the sentence pairs differently",
                )  # fmt: skip
        counts = [len(pair.links) for pair in found]
        sizes = np.array([pair.sizes for pair in found], dtype=np.int32).reshape(-1, 2)
        yield RawLinks.of_rows(
            [link for pair in found for link in pair.links],
            counts,
            lines=np.repeat(np.array([pair.line + 2 for pair in found], dtype=np.int64), counts),
            lengths=(sizes[:, 0], sizes[:, 1]),
            ids=[str(pair.number) for pair in found],
        )

    def sentences(self, file: Input) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """Yield the words of the third line (without NULL) and of the second, in the order of the numbers."""
        for pair in sorted(_pairs(file), key=lambda pair: pair.number):
            yield pair.source, pair.target

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        """Write three lines a pair: the source on the third, target words without a link under ``NULL``."""
        names = written_names(table)
        for k, pair in enumerate(pairs):
            source, target = pair.source, pair.target
            lines = [plain_words(target, pair.id), plain_words(source, pair.id)]
            links = table[k].pairs
            free = sorted(set(range(len(target))) - set(links[:, 1].tolist()))
            boxes: list[list[int]] = [free, *([] for _ in source)]
            for i, j in links.tolist():
                boxes[i + 1].append(j)
            filled = zip(("NULL", *source), boxes, strict=True)
            lines[1] = " ".join(f"{word} ({{ {''.join(f'{j + 1} ' for j in box)}}})" for word, box in filled)
            sizes = f"source length {len(source)} target length {len(target)}"
            header = f"# Sentence pair ({names[k]}) {sizes} alignment score : 1"
            stream.write("\n".join((header, *lines, "")).encode())


def _pairs(file: Input) -> Iterator[_Pair]:
    header: re.Match[str] | None = None
    target: Sequence[str] | None = None
    line = start = 0
    for line, text in file.lines():
        if header is None:
            header = _HEADER.fullmatch(text.rstrip(" "))
            if header is not None:
                start, target = line, None
            elif text.strip(" "):
                raise file.malformed(f"{text[:60]!r} is not a header of GIZA++ A3", line, _HEADER_FORM)
        elif target is None:
            target = split_words(text)
            if len(target) != int(header[3]):
                raise file.malformed(
                    f"{len(target)} words where the header says target length {header[3]}", line, _WORDS_FORM
                )
        else:
            boxes = list(_boxes(file, line, split_words(text)))
            if len(boxes) == int(header[2]) and (not boxes or boxes[0][0] != "NULL"):
                boxes.insert(0, ("NULL", []))  # some tools leave it out
            if len(boxes) != int(header[2]) + 1:
                raise file.malformed(
                    f"{len(boxes)} words (NULL included) where the header says source length {header[2]}", line,
                    _WORDS_FORM,
                )  # fmt: skip
            links = [(i, j) for i, (_, box) in enumerate(boxes) for j in box]
            source = [name for name, _ in boxes[1:]]
            yield _Pair(int(header[1]), source, target, (len(source), len(target)), links, start)
            header = None
    if header is not None:
        raise file.malformed("the file ends within a sentence pair", line, "A sentence pair has three lines")


def _boxes(file: Input, line: int, words: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Yield ``(word, positions)`` of a third line."""
    at = 0
    while at < len(words):
        name = words[at]
        if tuple(words[at + 1 : at + 2]) != ("({",):
            raise file.malformed(f"word {name[:40]!r} is not followed by '({{'", line, _WORDS_FORM)
        end = at + 2
        while end < len(words) and words[end] != "})":
            word = words[end]
            if not (word.isascii() and word.isdigit() and len(word) <= 10 and int(word) <= MAX_INDEX):
                raise file.malformed(f"{word[:40]!r} in the links of {name[:40]!r} is no position", line, _WORDS_FORM)
            end += 1
        if end == len(words):
            raise file.malformed(f"the links of {name[:40]!r} do not end with '}})'", line, _WORDS_FORM)
        yield name, [int(word) for word in words[at + 2 : end]]
        at = end + 1
