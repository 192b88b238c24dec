"""``number<TAB>links``: the gold and the output of simalign, one line a sentence pair, named by its number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING, ClassVar

from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, LinkInput, RawLinks, WriteOptions
from align_eval.corpora.link_formats._tokens import parse_lines
from align_eval.corpora.link_formats._vector import parse_texts
from align_eval.corpora.link_formats.pharaoh import pharaoh_lines
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_LINES_AT_ONCE = 1 << 13
_NUMBER = re.compile(r"[0-9]{1,10}")


@LINK_FORMATS.register("numbered", "simalign")
class Numbered(LinkFormat):
    """The numbers become :attr:`LinkTable.ids`; the links have any form of Pharaoh or TALP.

    The index base has to be given or proven. simalign numbers its lines from 0; what has no names is written so.
    """

    names_sentences: ClassVar[bool] = True
    names_by_number: ClassVar[bool] = True
    has_scores: ClassVar[bool] = False

    def read(self, file: LinkInput, pairs: Sequence[SentencePair] | None = None) -> Iterator[RawLinks]:
        """Yield blocks of some thousand lines."""
        seen: set[str] = set()
        lines = file.lines()
        while chunk := list(islice(lines, _LINES_AT_ONCE)):
            names: list[str] = []
            links: list[str] = []
            for line, text in chunk:
                number, tab, rest = text.partition("\t")
                if not tab or not _NUMBER.fullmatch(number):
                    raise file.malformed(
                        f"{text[:40]!r} does not begin with a number and a tab", line, "A line is 'number<TAB>links'"
                    )
                if number in seen:
                    raise file.malformed(f"sentence pair {number} is there twice", line, "Name each pair once")
                seen.add(number)
                names.append(number)
                links.append(rest)
            raw = parse_texts(links, chunk[0][0])
            if raw is None:
                raw = parse_lines(file, zip((line for line, _ in chunk), links, strict=True))
            raw.ids = names
            yield raw

    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write one line a sentence pair."""
        names = [str(k) for k in range(table.sentences)] if table.ids is None else table.ids
        if not all(_NUMBER.fullmatch(name) for name in names):
            names = [str(k) for k in range(table.sentences)]
        for name, line in zip(names, pharaoh_lines(table, options.base, "p"), strict=True):
            stream.write(f"{name}\t{line}\n".encode())

    def show(self, first: int, second: int, sure: bool) -> str:
        """``3-4`` or ``3p4``."""
        return f"{first}{'-' if sure else 'p'}{second}"
