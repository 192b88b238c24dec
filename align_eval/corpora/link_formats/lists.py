"""Lists of pairs as Python and JSON print them, one line a sentence pair: ``[(0, 0), (1, 2)]``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, ClassVar

from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, LinkInput, RawLinks, WriteOptions
from align_eval.corpora.link_formats._tokens import parse_lines
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_LINE = re.compile(r"[\[({][\[\](){}0-9.,eE\s+-]*")
_NUMPY = re.compile(r"np\.(?:int|float|uint)[0-9]*\(([^()]*)\)")
_AROUND = re.compile(r"\s+(?=[\[\],])|(?<=[\[\],])\s+")
_BRACKETS = str.maketrans("(){}", "[][]")
_FORM = "A line is like [(0, 0), (1, 2)]: pairs of whole numbers, each perhaps with a score behind them"


@LINK_FORMATS.register("lists", "tuples")
class Lists(LinkFormat):
    """All links are sure; a third number in a pair is its score. The index base has to be given or proven.

    Lists, tuples and sets are read, and one list of such lists for the whole file.
    """

    has_possible: ClassVar[bool] = False

    def read(self, file: LinkInput, pairs: Sequence[SentencePair] | None = None) -> Iterator[RawLinks]:
        """Yield one block."""
        lines = list(file.lines())
        found = [value_of(text) for _, text in lines]
        filled = [value for value in found if value is not None]
        if len(filled) == 1 and _depth(filled[0]) == 3:  # the whole file in one line
            rows = [(lines[0][0], value) for value in filled[0]]
        elif lines and lines[0][1].strip() == "[" and _depth(whole := value_of(" ".join(x for _, x in lines))) == 3:
            rows = list(enumerate(whole, 1))
        else:
            rows = [(line, value) for (line, _), value in zip(lines, found, strict=True)]
            for (line, text), value in zip(lines, found, strict=True):
                if value is None and text.strip():
                    raise file.malformed(f"{text[:40]!r} is no list of pairs", line, _FORM)
        yield parse_lines(file, ((line, _tokens(file, line, value)) for line, value in rows))

    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write one list of lists a line."""
        for links in table:
            stream.write((json.dumps((links.pairs + options.base).tolist()) + "\n").encode())

    def show(self, first: int, second: int, sure: bool) -> str:
        """``(3, 4)``."""
        return f"({first}, {second})"


def value_of(line: str) -> Any:
    """The list that a line prints, ``None`` if it prints none."""
    text = _NUMPY.sub(r"\1", line).strip().replace("set()", "[]").replace("frozenset", "")
    if not _LINE.fullmatch(text):
        return None
    text = _AROUND.sub("", text.translate(_BRACKETS)).replace("][", "],[").replace(",]", "]")
    if not text.startswith(("[[", "[]")):
        text = f"[{text}]"  # pairs without a list around them
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = next((entry for entry in value if entry != []), value[0] if value else None)
    return depth


def _tokens(file: LinkInput, line: int, value: Any) -> str:
    """The links of one list in text."""
    words = []
    for entry in value or ():
        whole = isinstance(entry, list) and len(entry) in (2, 3) and all(type(k) is int for k in entry[:2])
        if not whole or any(type(score) not in (int, float) for score in entry[2:]):
            raise file.malformed(f"{str(entry)[:40]} is no pair of whole numbers", line, _FORM)
        words.append(f"{entry[0]}-{entry[1]}" + (f":{entry[2]!r}" if len(entry) == 3 else ""))
    return " ".join(words)
