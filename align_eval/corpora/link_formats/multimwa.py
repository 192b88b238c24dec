"""MultiMWA (Lan et al. 2021): monolingual word alignments in ten tab-separated columns, indices from 0."""

from __future__ import annotations

from typing import IO, ClassVar

from align_eval.corpora.lines import looks_like_links
from align_eval.corpora.link_formats import LINK_FORMATS, LinkInput, WriteOptions
from align_eval.corpora.link_formats._words import plain_words
from align_eval.corpora.link_formats.tsv import Tsv
from align_eval.links.table import LinkTable


@LINK_FORMATS.register("multimwa", "jacana")
class MultiMwa(Tsv):
    """The sentences are columns 2 and 4, sure links column 8, possible links column 9; the rest is not kept."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def cells(file: LinkInput, line: int, text: str) -> tuple[str, str, str]:
        """The first side, the second side, and the links of one line, possible ones as ``ipj``."""
        cells = text.split("\t")
        if not looks_like_multimwa(cells):
            raise file.malformed(
                f"{len(cells)} columns, not those of MultiMWA",
                line,
                "The sentences are columns 2 and 4, sure links column 8, possible links column 9, between tabs",
            )
        return cells[1], cells[3], f"{cells[7]} {cells[8].replace('-', 'p')}"

    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write one line a sentence pair, named by its number."""
        for k, pair in enumerate(options.sentences or ()):
            gold = table.gold(k)
            sides = [" ".join(plain_words(side, pair.id)) for side in (pair.source, pair.target)]
            links = [
                " ".join(f"{i + options.base}-{j + options.base}" for i, j in x)
                for x in (gold.sure, gold.possible_only)
            ]
            row = [str(k), sides[0], "N/A", sides[1], "N/A", "1", "1", *links, ""]
            stream.write(("\t".join(row) + "\n").encode())


def looks_like_multimwa(cells: list[str]) -> bool:
    """Whether the columns of a line are those of MultiMWA."""
    links = all(looks_like_links(cell) for cell in cells[7:9])
    return len(cells) in (9, 10) and links and not any(cell.strip(" ") for cell in cells[9:])
