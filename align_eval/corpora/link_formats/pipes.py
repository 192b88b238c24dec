"""``source ||| target ||| links`` (cdec, Joshua, Moses): sentences with their links, indices from 0."""

from __future__ import annotations

from typing import IO, ClassVar

from align_eval.corpora.link_formats import LINK_FORMATS, LinkInput, WriteOptions
from align_eval.corpora.link_formats._tokens import is_score
from align_eval.corpora.link_formats._words import plain_words
from align_eval.corpora.link_formats.pharaoh import pharaoh_lines
from align_eval.corpora.link_formats.tsv import Tsv
from align_eval.links.table import LinkTable


@LINK_FORMATS.register("pipes", "triple-bar")
class Pipes(Tsv):
    """As TSV, with ``|||`` between the fields. The third field may be empty; scores behind it are not kept."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def cells(file: LinkInput, line: int, text: str) -> tuple[str, str, str]:
        """The first side, the second side, and the links of one line."""
        cells = split_fields(text)
        if len(cells) > 3 and all(map(is_score, cells[3:])):  # of the sentence pair: left out, and told
            return cells[0], cells[1], " ||| ".join(cells[2:])
        if len(cells) != 3:
            raise file.malformed(
                f"{len(cells)} fields instead of 3",
                line,
                "A line is 'source ||| target ||| links' (a pair without links ends in '|||')",
            )
        return cells[0], cells[1], cells[2]

    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write one line a sentence pair."""
        for pair, links in zip(options.sentences or (), pharaoh_lines(table, options.base, "p"), strict=True):
            sides = (" ".join(plain_words(side, pair.id, "|||")) for side in (pair.source, pair.target))
            stream.write(f"{' ||| '.join((*sides, links))}\n".encode())


def split_fields(text: str) -> list[str]:
    """The fields of a line: what the word ``|||`` separates."""
    fields: list[list[str]] = [[]]
    for word in text.split(" "):
        if word == "|||":
            fields.append([])
        else:
            fields[-1].append(word)
    return [" ".join(words) for words in fields]
