"""JSONL: one JSON object a sentence pair, indices from 0.

.. code-block:: json

   {"id": "1", "links": [[0, 0], [1, 2]], "possible": [[1, 1]], "scores": [0.9, 0.8, 0.4]}

The columns of links are those of :mod:`align_eval.corpora.row_links`. ``id`` is text or a whole number. ``source`` and
``target`` (or ``src`` and ``tgt``), text or a list of words, are used to check ranges where no bitext is given. Other
keys are ignored. All but ``links`` may be left out. An array of such objects is read too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import IO, TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from align_eval.corpora.json_rows import json_rows, lacks
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, LinkInput, RawLinks, WriteOptions
from align_eval.corpora.link_formats._words import check_scores, count_words
from align_eval.corpora.row_links import FORM, RowLinks, row_links
from align_eval.errors import FormatError
from align_eval.links.table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_ROWS_AT_ONCE = 1 << 13


class Row(NamedTuple):
    """One sentence pair: ``first, second, first, ...`` of its links, their marks, and what else its object says."""

    sides: list[int]
    sure: list[bool]
    scores: list[float] | None
    id: str | None
    lengths: tuple[int, int] | None


@LINK_FORMATS.register("jsonl", "json")
class Jsonl(LinkFormat):
    """Keeps possible links, scores and ids. When writing, ``possible`` holds the links that are not sure."""

    writes_in_blocks: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl",)
    names_sentences: ClassVar[bool] = True
    own_base: ClassVar[int | None] = 0
    has_scores: ClassVar[bool] = True

    def read(self, file: LinkInput, pairs: Sequence[SentencePair] | None = None) -> Iterator[RawLinks]:
        """Yield blocks of some thousand lines."""
        rows = _rows(file)
        line = 1
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            yield pack(chunk, line)
            line += len(chunk)

    def write(self, stream: IO[bytes], table: LinkTable, options: WriteOptions) -> None:
        """Write one object a line: ``id``, ``links``, ``possible`` if there is any, ``scores`` if there are."""
        check_scores(table)
        for begin in range(0, table.sentences, _ROWS_AT_ONCE):
            lines = _lines(table, begin, min(begin + _ROWS_AT_ONCE, table.sentences), options.base)
            stream.write("".join(lines).encode())

    def show(self, first: int, second: int, sure: bool) -> str:
        """``[3, 4]``."""
        return f"[{first}, {second}]"


def _lines(table: LinkTable, begin: int, end: int, base: int) -> Iterator[str]:
    """The lines of the sentence pairs ``begin`` to ``end``."""
    bounds = table.offsets[begin : end + 1].tolist()
    rows = slice(bounds[0], bounds[-1])
    source, target = (table.source[rows] + np.int32(base)).tolist(), (table.target[rows] + np.int32(base)).tolist()
    links = [f"[{i}, {j}]" for i, j in zip(source, target, strict=True)]
    sure = table.sure[rows].tolist()
    scores = None if table.scores is None else list(map(str, table.scores[rows]))
    for k, (low, high) in enumerate(pairwise(bounds), begin):
        here = range(low - bounds[0], high - bounds[0])
        order = [row for row in here if sure[row]]
        name = json.dumps(str(k + 1) if table.ids is None else table.ids[k], ensure_ascii=False)
        parts = [f'"id": {name}, "links": [{", ".join(links[row] for row in order)}]']
        if len(order) < len(here):
            rest = [row for row in here if not sure[row]]
            parts.append(f'"possible": [{", ".join(links[row] for row in rest)}]')
            order += rest
        if scores is not None:
            parts.append(f'"scores": [{", ".join(scores[row] for row in order)}]')
        yield f"{{{', '.join(parts)}}}\n"


def _rows(file: LinkInput) -> Iterator[Row]:
    scored: bool | None = None
    named: bool | None = None
    for line, entry in json_rows(file):
        try:
            row = parse_row(entry)
        except FormatError as error:
            raise file.malformed(error.message, line, error.remedy or FORM) from None
        if row.sure:
            if scored is not None and scored != (row.scores is not None):
                raise file.malformed("some sentence pairs have scores and others have not", line, "Give all or none")
            scored = row.scores is not None
        if named is not None and named != (row.id is not None):
            raise file.malformed("some sentence pairs have an id and others have not", line, "Give all or none")
        named = row.id is not None
        yield row


def parse_row(entry: dict[str, Any]) -> Row:
    """One object as a :class:`Row`."""
    if "links" not in entry and "sure" not in entry:
        raise lacks(entry, "links")
    links = row_links(entry) or RowLinks([], [], None)
    name = entry.get("id")
    if not isinstance(name, (str, int, type(None))) or isinstance(name, bool):
        raise FormatError("'id' is neither text nor a whole number", remedy=FORM)
    lengths = None
    for one, other in (("source", "target"), ("src", "tgt")):
        if entry.get(one) is not None and entry.get(other) is not None:
            lengths = (_length(one, entry[one]), _length(other, entry[other]))
            break
    return Row(*links, None if name is None else str(name), lengths)


def pack(rows: Sequence[Row], start_line: int) -> RawLinks:
    """Rows of consecutive lines as one block."""
    counts = [len(row.sure) for row in rows]
    pairs = np.fromiter(chain.from_iterable(row.sides for row in rows), dtype=np.int32).reshape(-1, 2)
    scored = any(row.scores for row in rows)
    named = all(row.id is not None for row in rows)
    lengths = np.array([row.lengths for row in rows], dtype=np.int32) if all(row.lengths for row in rows) else None
    return RawLinks(
        sentence=np.repeat(np.arange(len(rows), dtype=np.int32), counts),
        first=pairs[:, 0].copy(),
        second=pairs[:, 1].copy(),
        sentences=len(rows),
        sure=np.fromiter(chain.from_iterable(row.sure for row in rows), dtype=np.bool_),
        scores=np.array([x for row in rows for x in row.scores or ()], dtype=np.float32) if scored else None,
        start_line=start_line,
        lengths=None if lengths is None else (lengths[:, 0], lengths[:, 1]),
        ids=[row.id or "" for row in rows] if named else None,
    )


def _length(key: str, value: Any) -> int:
    if isinstance(value, str):
        return count_words(value)
    if isinstance(value, list):
        return len(value)
    raise FormatError(f"{key!r} is neither text nor a list of words", remedy=FORM)
