"""Pharaoh: one line a sentence pair, links ``i-j`` between spaces. The form of most aligners."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, LinkInput, RawLinks, WriteOptions
from align_eval.corpora.link_formats._tokens import parse_lines
from align_eval.corpora.link_formats._vector import parse_block
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_SMALL = 1 << 14
# Bytes parsed at a time: enough that threads seldom wait for one another, few enough that caches still help.
_BLOCK = 1 << 19
_SENTENCES_AT_ONCE = 1 << 15


@LINK_FORMATS.register("pharaoh")
class Pharaoh(LinkFormat):
    """``i-j`` is sure; possible links are read as ``i?j``, ``ipj``, ``i-j-P`` or ``i-jP`` and written as ``i?j``.

    ``i-j-S`` and ``i-jS`` are sure too. An empty line is a sentence pair without links; the line feed at the end of the
    file does not begin another one. The index base varies between tools: it has to be given or proven.
    A missing side (``3-``, ``-3``) or the index -1 is a null link.
    """

    writes_in_blocks: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".pharaoh", ".align")
    #: What joins the indices of a possible link when writing.
    possible_mark: ClassVar[str] = "?"

    def read(self, file: LinkInput, pairs: Sequence[SentencePair] | None = None) -> Iterator[RawLinks]:
        """Yield blocks of about 512 KiB; ordinary ones are read with numpy, others link by link."""
        line = 1
        for block in file.line_blocks(_BLOCK):
            for part in read_block(file, block, line):
                line += part.sentences
                yield part

    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write one line a sentence pair."""
        for line in pharaoh_lines(table, options.base, self.possible_mark):
            stream.write(line.encode() + b"\n")

    def show(self, first: int, second: int, sure: bool) -> str:
        """``3-4`` or ``3?4``; a missing side is shown as -1."""
        return f"{first}{'-' if sure else self.possible_mark}{second}"


def read_block(file: LinkInput, block: bytes, line: int) -> Iterator[RawLinks]:
    """Parse whole lines, the quick way as far as it goes; what is unusual is narrowed down and read link by link."""
    parsed = parse_block(block, line)
    if parsed is not None:
        yield parsed
        return
    cut = block.find(b"\n", len(block) // 2) + 1
    if len(block) <= _SMALL or cut in (0, len(block)):
        yield parse_lines(file, file.decode_block(block, line))
        return
    yield from read_block(file, block[:cut], line)
    yield from read_block(file, block[cut:], line + block.count(b"\n", 0, cut))


def pharaoh_lines(table: LinkTable, base: int, possible_mark: str) -> Iterator[str]:
    """Yield the links of each sentence pair as ``i-j`` (sure) and ``i<mark>j`` (possible), indices from ``base``."""
    for begin in range(0, table.sentences, _SENTENCES_AT_ONCE):
        end = min(begin + _SENTENCES_AT_ONCE, table.sentences)
        low, high = int(table.offsets[begin]), int(table.offsets[end])
        rows = slice(low, high)
        words = [
            f"{i}-{j}" if sure else f"{i}{possible_mark}{j}"
            for i, j, sure in zip(
                (table.source[rows] + np.int32(base)).tolist(),
                (table.target[rows] + np.int32(base)).tolist(),
                table.sure[rows].tolist(),
                strict=True,
            )
        ]
        offsets = (table.offsets[begin : end + 1] - low).tolist()
        for a, b in itertools.pairwise(offsets):
            yield " ".join(words[a:b])
