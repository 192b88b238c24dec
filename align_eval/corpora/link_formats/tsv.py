"""TSV with links (XL-WA, Martelli et al. 2023): ``source<TAB>target<TAB>links``, indices from 0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.corpora.headers import is_header
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, LinkInput, RawLinks, WriteOptions
from align_eval.corpora.link_formats._tokens import parse_lines
from align_eval.corpora.link_formats._vector import parse_texts
from align_eval.corpora.link_formats._words import count_words, plain_words, split_words
from align_eval.corpora.link_formats.pharaoh import pharaoh_lines
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_LINES_AT_ONCE = 1 << 13
_DIGIT = re.compile(r"[0-9]")


@LINK_FORMATS.register("tsv", "xl-wa", "xlwa")
class Tsv(LinkFormat):
    """The third column holds links in any form of Pharaoh or TALP; possible ones are written ``ipj``.

    A first line that names the columns is left out. Further columns have to be empty. Ranges are checked against the
    file's own sentences where no bitext is given. With ``order="ts"`` the first column is the target.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".tsv",)
    own_base: ClassVar[int | None] = 0
    needs_sentences: ClassVar[bool] = True

    def read(self, file: LinkInput, pairs: Sequence[SentencePair] | None = None) -> Iterator[RawLinks]:
        """Yield blocks of some thousand lines."""
        rows = (self._row(file, line, text) for line, text in self._lines(file))
        while chunk := list(islice(rows, _LINES_AT_ONCE)):
            start = chunk[0][0]
            raw = parse_texts((row[1] for row in chunk), start)
            if raw is None:
                raw = parse_lines(file, ((row[0], row[1]) for row in chunk))
            raw.lengths = (
                np.array([row[2] for row in chunk], dtype=np.int32),
                np.array([row[3] for row in chunk], dtype=np.int32),
            )
            yield raw

    def sentences(self, file: LinkInput) -> Iterator[tuple[list[str], list[str]]]:
        """Yield the words of the two sides."""
        for line, text in self._lines(file):
            first, second, _ = self.cells(file, line, text)
            yield split_words(first), split_words(second)

    def _lines(self, file: LinkInput) -> Iterator[tuple[int, str]]:
        """The lines, without a first one that names the columns."""
        for line, text in file.lines():
            cells = text.split("\t")
            if line > 1 or len(cells) < 3 or not is_header(cells, file.name, "auto") or _DIGIT.search(cells[2]):
                yield line, text

    def _row(self, file: LinkInput, line: int, text: str) -> tuple[int, str, int, int]:
        first, second, links = self.cells(file, line, text)
        return line, links, count_words(first), count_words(second)

    @staticmethod
    def cells(file: LinkInput, line: int, text: str) -> tuple[str, str, str]:
        """The first side, the second side, and the links of one line."""
        cells = text.split("\t")
        if len(cells) < 3 or any(cell.strip(" ") for cell in cells[3:]):
            raise file.malformed(
                f"{len(cells)} columns instead of 3",
                line,
                "A line is source, target and links between tabs (a pair without links has an empty third column)",
            )
        return cells[0], cells[1], cells[2]

    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write one line a sentence pair."""
        for pair, links in zip(options.sentences or (), pharaoh_lines(table, options.base, "p"), strict=True):
            source, target = plain_words(pair.source, pair.id), plain_words(pair.target, pair.id)
            stream.write(f"{' '.join(source)}\t{' '.join(target)}\t{links}\n".encode())

    def show(self, first: int, second: int, sure: bool) -> str:
        """``3-4`` or ``3p4``."""
        return f"{first}{'-' if sure else 'p'}{second}"
