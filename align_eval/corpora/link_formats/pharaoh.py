"""Links as text, one line a sentence pair: Pharaoh, TALP, numbered lines, and lists as Python prints them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, ClassVar

import numpy as np

from align_eval.corpora.inputs import Input
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat
from align_eval.corpora.link_formats._vector import parse_block, parse_texts
from align_eval.corpora.link_text import Token, parse_token, split_scores, token_hint
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import RawLinks
from align_eval.links.table import LinkTable

_SMALL = 1 << 14
# Bytes parsed at a time: enough that threads seldom wait for one another, few enough that caches still help.
_BLOCK = 1 << 19
_SENTENCES_AT_ONCE = 1 << 15
_LINES_AT_ONCE = 1 << 13
_NUMBER = re.compile(r"[0-9]{1,10}")


@LINK_FORMATS.register("pharaoh")
class Pharaoh(LinkFormat):
    """``i-j`` is sure; possible links are read as ``i?j``, ``ipj``, ``i-j-P`` or ``i-jP`` and written as ``i?j``.

    ``i-j-S`` and ``i-jS`` are sure too. An empty line is a sentence pair without links; the line feed at the end of the
    file does not begin another one. The index base varies between tools: it has to be given or proven.
    A missing side (``3-``, ``-3``) or the index -1 is a null link.
    """

    writes_in_blocks: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".pharaoh", ".align")

    def read(self, file: Input) -> Iterator[RawLinks]:
        """Yield blocks of about 512 KiB; ordinary ones are read by the quick parser, others link by link."""
        line = 1
        for block in file.line_blocks(_BLOCK):
            for part in _read_block(file, block, line):
                line += part.sentences
                yield part

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        for line in pharaoh_lines(table, base, self.shown[1].strip("{}")):
            stream.write(line.encode() + b"\n")


@LINK_FORMATS.register("talp")
class Talp(Pharaoh):
    """Reads all that Pharaoh reads; ``i-j`` is sure and ``ipj`` possible when written (lilt, the RWTH De-En gold)."""

    suffixes: ClassVar[tuple[str, ...]] = (".talp",)
    shown: ClassVar[tuple[str, str]] = ("{}-{}", "{}p{}")


@LINK_FORMATS.register("numbered", "simalign")
class Numbered(LinkFormat):
    """``number<TAB>links``, the gold and the output of simalign; the links have any form of Pharaoh or TALP.

    The numbers become :attr:`LinkTable.ids`. The index base has to be given or proven. simalign numbers its lines from
    0; what has no names is written so.
    """

    names_sentences: ClassVar[bool] = True
    names_by_number: ClassVar[bool] = True
    shown: ClassVar[tuple[str, str]] = ("{}-{}", "{}p{}")

    def read(self, file: Input) -> Iterator[RawLinks]:
        seen: set[str] = set()
        lines = file.lines()
        while chunk := list(itertools.islice(lines, _LINES_AT_ONCE)):
            cells = [(line, *text.partition("\t")) for line, text in chunk]
            for (line, number, tab, _), (_, text) in zip(cells, chunk, strict=True):
                if not tab or not _NUMBER.fullmatch(number):
                    raise file.malformed(
                        f"{text[:40]!r} does not begin with a number and a tab", line, "A line is 'number<TAB>links'"
                    )
                if number in seen:
                    raise file.malformed(f"sentence pair {number} is there twice", line, "Name each pair once")
                seen.add(number)
            raw = parse_chunk(file, [(line, links) for line, *_, links in cells])
            raw.ids = [number for _, number, *_ in cells]
            yield raw

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        names = table.ids
        if names is None or not all(_NUMBER.fullmatch(name) for name in names):
            names = [str(k) for k in range(table.sentences)]
        for name, line in zip(names, pharaoh_lines(table, base, "p"), strict=True):
            stream.write(f"{name}\t{line}\n".encode())


def _read_block(file: Input, block: bytes, line: int) -> Iterator[RawLinks]:
    """Parse whole lines, the quick way as far as it goes; what is unusual is narrowed down and read link by link."""
    parsed = parse_block(block, line)
    if parsed is not None:
        yield parsed
        return
    cut = block.find(b"\n", len(block) // 2) + 1
    if len(block) <= _SMALL or cut in (0, len(block)):
        yield parse_lines(file, file.decode_block(block, line))
        return
    yield from _read_block(file, block[:cut], line)
    yield from _read_block(file, block[cut:], line + block.count(b"\n", 0, cut))


def parse_chunk(file: Input, lines: Sequence[tuple[int, str]]) -> RawLinks:
    """As :func:`parse_lines`, the quick way where all is ordinary."""
    raw = parse_texts((text for _, text in lines), lines[0][0])
    return parse_lines(file, lines) if raw is None else raw


def parse_lines(file: Input, lines: Iterable[tuple[int, str]]) -> RawLinks:
    """The links of ``(line number, links separated by spaces)``; one line is one sentence pair.

    The slow and careful way: exact, with the place of every error. Scores of the sentence pair behind ``|||`` are left
    out, and noted.
    """
    known: dict[str, Token] = {}
    scores: list[float] = []
    notes: list[str] = []
    rows: list[Token] = []
    counts: list[int] = []
    start = 0
    for number, text in lines:
        start = start or number
        before = len(rows)
        text = text.strip("\t")
        if "|" in text:
            text, found = split_scores(text)
            if found:
                notes = ["the scores of sentence pairs behind '|||' are left out"]
        for token in text.split(" "):
            if not token:
                continue
            parsed = known.get(token)
            if parsed is None:
                parsed = parse_token(token)
                if parsed is None:
                    shown = token if len(token) <= 40 else token[:40] + "..."
                    what, remedy = token_hint(text)
                    raise file.malformed(f"{shown!r} is not a link{what}", number, remedy)
                if len(known) < 1 << 16:
                    known[token] = parsed
            rows.append(parsed)
            if parsed[3] is not None:
                scores.append(parsed[3])
            if scores and len(scores) != len(rows):
                raise file.malformed("some links have a score and others have not", number, "Give all or none")
        counts.append(len(rows) - before)
    values = np.array(scores, dtype=np.float32) if scores else None
    sure = np.array([row[2] for row in rows], dtype=bool)
    return RawLinks.of_rows(rows, counts, sure=sure, scores=values, start_line=start or 1, notes=notes)


def pharaoh_lines(table: LinkTable, base: int, mark: str) -> Iterator[str]:
    """Yield the links of each sentence pair as ``i-j`` (sure) and ``i<mark>j`` (possible), indices from ``base``."""
    for begin in range(0, table.sentences, _SENTENCES_AT_ONCE):
        offsets = table.offsets[begin : begin + _SENTENCES_AT_ONCE + 1]
        rows = slice(int(offsets[0]), int(offsets[-1]))
        source, target = (column[rows] + np.int32(base) for column in (table.source, table.target))
        links = zip(source.tolist(), target.tolist(), table.sure[rows].tolist(), strict=True)
        words = [f"{i}-{j}" if sure else f"{i}{mark}{j}" for i, j, sure in links]
        for a, b in itertools.pairwise((offsets - rows.start).tolist()):
            yield " ".join(words[a:b])


_LINE = re.compile(r"[\[({][\[\](){}0-9.,eE\s+-]*")
_NUMPY = re.compile(r"np\.(?:int|float|uint)[0-9]*\(([^()]*)\)")
_AROUND = re.compile(r"\s+(?=[\[\],])|(?<=[\[\],])\s+")
_BRACKETS = str.maketrans("(){}", "[][]")
_FORM = "A line is like [(0, 0), (1, 2)]: pairs of whole numbers, each perhaps with a score behind them"


@LINK_FORMATS.register("lists", "tuples")
class Lists(LinkFormat):
    """``[(0, 0), (1, 2)]``: all links are sure; a third number in a pair is its score.

    The index base has to be given or proven. Lists, tuples and sets are read, and one list of such lists for the whole
    file.
    """

    has_possible: ClassVar[bool] = False
    shown: ClassVar[tuple[str, str]] = ("({}, {})", "({}, {})")

    def read(self, file: Input) -> Iterator[RawLinks]:
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
        yield parse_lines(file, ((line, _as_text(file, line, value)) for line, value in rows))

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        """Write one list of lists a line."""
        for links in table:
            stream.write((json.dumps((links.pairs + base).tolist()) + "\n").encode())


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


def _as_text(file: Input, line: int, value: Any) -> str:
    """The links of one list as Pharaoh has them."""
    words = []
    for entry in value or ():
        whole = isinstance(entry, list) and len(entry) in (2, 3) and all(type(k) is int for k in entry[:2])
        if not whole or any(type(score) not in (int, float) for score in entry[2:]):
            raise file.malformed(f"{str(entry)[:40]} is no pair of whole numbers", line, _FORM)
        words.append(f"{entry[0]}-{entry[1]}" + (f":{entry[2]!r}" if len(entry) == 3 else ""))
    return " ".join(words)
