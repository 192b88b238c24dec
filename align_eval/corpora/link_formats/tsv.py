"""Sentences with their links in fields of a line: TSV (XL-WA), ``|||``, and MultiMWA; indices from 0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, ClassVar

import numpy as np

from align_eval.corpora.headers import is_header
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import looks_like_links
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, plain_words
from align_eval.corpora.link_formats.pharaoh import parse_chunk, pharaoh_lines
from align_eval.corpora.link_text import is_score, split_fields
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import RawLinks
from align_eval.corpora.words import split_words
from align_eval.links.table import LinkTable

_LINES_AT_ONCE = 1 << 13
_DIGIT = re.compile(r"[0-9]")
#: The first side, the second side, and the links of one line.
Cells = tuple[str, str, str]


@LINK_FORMATS.register("tsv", "xl-wa", "xlwa")
class Tsv(LinkFormat):
    """The third column holds links in any form of Pharaoh or TALP; possible ones are written ``ipj``.

    A first line that names the columns is left out. Further columns have to be empty. Ranges are checked against the
    file's own sentences where no bitext is given. With ``order="ts"`` the first column is the target.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".tsv",)
    own_base: ClassVar[int | None] = 0
    needs_sentences: ClassVar[bool] = True
    shown: ClassVar[tuple[str, str]] = ("{}-{}", "{}p{}")
    separator: ClassVar[str] = "\t"

    def read(self, file: Input) -> Iterator[RawLinks]:
        """Yield blocks of some thousand lines."""
        rows = self._rows(file)
        while chunk := list(islice(rows, _LINES_AT_ONCE)):
            raw = parse_chunk(file, [(line, links) for line, (*_, links) in chunk])
            sizes = np.array([[len(split_words(text)) for text in cells[:2]] for _, cells in chunk], dtype=np.int32)
            raw.lengths = sizes[:, 0], sizes[:, 1]
            yield raw

    def sentences(self, file: Input) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        for _, (first, second, _) in self._rows(file):
            yield split_words(first), split_words(second)

    def _rows(self, file: Input) -> Iterator[tuple[int, Cells]]:
        """The lines, without a first one that names the columns."""
        for line, text in file.lines():
            cells = text.split("\t")
            if line > 1 or len(cells) < 3 or not is_header(cells, file.name, "auto") or _DIGIT.search(cells[2]):
                yield line, self.cells(file, line, text)

    @staticmethod
    def cells(file: Input, line: int, text: str) -> Cells:
        """The fields of a line; one of another form is a :class:`FormatError`."""
        cells = text.split("\t")
        if len(cells) < 3 or any(cell.strip(" ") for cell in cells[3:]):
            raise file.malformed(
                f"{len(cells)} columns instead of 3", line,
                "A line is source, target and links between tabs (a pair without links has an empty third column)",
            )  # fmt: skip
        return cells[0], cells[1], cells[2]

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        word = self.separator.strip()
        for pair, links in zip(pairs, pharaoh_lines(table, base, "p"), strict=True):
            sides = (plain_words(side, pair.id, word) for side in (pair.source, pair.target))
            stream.write(f"{self.separator.join((*sides, links))}\n".encode())


@LINK_FORMATS.register("pipes", "triple-bar")
class Pipes(Tsv):
    """``source ||| target ||| links`` (cdec, Joshua, Moses). The links may be missing; scores behind are not kept."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    separator: ClassVar[str] = " ||| "

    @staticmethod
    def cells(file: Input, line: int, text: str) -> Cells:
        cells = split_fields(text)
        if len(cells) > 3 and all(map(is_score, cells[3:])):  # of the sentence pair: left out, and told
            return cells[0], cells[1], " ||| ".join(cells[2:])
        if len(cells) != 3:
            raise file.malformed(
                f"{len(cells)} fields instead of 3", line,
                "A line is 'source ||| target ||| links' (a pair without links ends in '|||')",
            )  # fmt: skip
        return cells[0], cells[1], cells[2]


@LINK_FORMATS.register("multimwa", "jacana")
class MultiMwa(Tsv):
    """Monolingual word alignments (Lan et al. 2021) in ten tab-separated columns.

    The sentences are columns 2 and 4, sure links column 8, possible links column 9; the rest is not kept.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def cells(file: Input, line: int, text: str) -> Cells:
        cells = text.split("\t")
        if not looks_like_multimwa(cells):
            raise file.malformed(
                f"{len(cells)} columns, not those of MultiMWA", line,
                "The sentences are columns 2 and 4, sure links column 8, possible links column 9, between tabs",
            )  # fmt: skip
        return cells[1], cells[3], f"{cells[7]} {cells[8].replace('-', 'p')}"

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        """Write one line a sentence pair, named by its number."""
        for k, pair in enumerate(pairs):
            gold = table.gold(k)
            sides = [plain_words(side, pair.id) for side in (pair.source, pair.target)]
            links = [" ".join(f"{i + base}-{j + base}" for i, j in part) for part in (gold.sure, gold.possible_only)]
            stream.write("\t".join([str(k), sides[0], "N/A", sides[1], "N/A", "1", "1", *links, "\n"]).encode())


def looks_like_multimwa(cells: list[str]) -> bool:
    """Whether the columns of a line are those of MultiMWA."""
    links = all(looks_like_links(cell) for cell in cells[7:9])
    return len(cells) in (9, 10) and links and not any(cell.strip(" ") for cell in cells[9:])
