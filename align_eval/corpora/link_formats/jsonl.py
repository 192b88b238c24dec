"""JSONL: one JSON object a sentence pair, indices from 0.

.. code-block:: json

   {"id": "1", "links": [[0, 0], [1, 2]], "possible": [[1, 1]], "scores": [0.9, 0.8, 0.4]}

``links`` (or ``sure``) are the sure links: a list of ``[i, j]``, or text (``"0-0 1-2"``, in which possible links may
stand too). ``possible`` holds possible links, all of P or those that are not sure. ``scores`` has one number for each
entry of ``links`` and then of ``possible``. ``id`` is text or a whole number. An index -1 or ``null`` is a missing
side. ``source`` and ``target``, text or a list of words, are used to check ranges where no bitext is given. Other keys
are ignored. All but ``links`` may be left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import IO, TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat, LinkInput, RawLinks, WriteOptions
from align_eval.corpora.link_formats._tokens import FORMS, MAX_INDEX, parse_token
from align_eval.corpora.link_formats._words import check_scores, count_words, split_words
from align_eval.corpora.raw_links import NULL
from align_eval.errors import FormatError
from align_eval.link_table import LinkTable

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair

_ROWS_AT_ONCE = 1 << 13
_FORM = 'A line is like {"id": "1", "links": [[0, 0], [1, 2]], "possible": [[1, 1]]}'


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
        """Write one object a line: ``id``, ``links``, ``possible`` if there is any, ``scores`` if there are.

        Raises:
            InputError: a score that is not finite.
        """
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
    for line, text in file.lines():
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise file.malformed(f"not JSON: {error}", line, _FORM) from None
        try:
            row = parse_row(entry)
        except FormatError as error:
            raise file.malformed(error.message, line, error.remedy or _FORM) from None
        if row.sure:
            if scored is not None and scored != (row.scores is not None):
                raise file.malformed("some sentence pairs have scores and others have not", line, "Give all or none")
            scored = row.scores is not None
        if named is not None and named != (row.id is not None):
            raise file.malformed("some sentence pairs have an id and others have not", line, "Give all or none")
        named = row.id is not None
        yield row


def parse_row(entry: Any) -> Row:
    """One object as a :class:`Row`.

    Raises:
        FormatError: it does not follow the schema.
    """
    if not isinstance(entry, dict):
        raise FormatError(f"a {type(entry).__name__} where an object is expected", remedy=_FORM)
    key = "links" if "links" in entry else "sure"
    if key not in entry:
        raise FormatError("no key 'links'", remedy=_FORM)
    sides, sure = _links(key, entry[key], True)
    if entry.get("possible") is not None:
        more, marks = _links("possible", entry["possible"], False)
        sides, sure = sides + more, sure + marks
    scores = entry.get("scores")
    if scores is not None and (not isinstance(scores, list) or not all(_is_score(x) for x in scores)):
        raise FormatError("'scores' is not a list of finite numbers", remedy=_FORM)
    if scores is not None and len(scores) != len(sure):
        raise FormatError(f"{len(scores)} scores for {len(sure)} links", remedy="Give each link one score")
    name = entry.get("id")
    if not isinstance(name, (str, int, type(None))) or isinstance(name, bool):
        raise FormatError("'id' is neither text nor a whole number", remedy=_FORM)
    lengths = None
    if entry.get("source") is not None and entry.get("target") is not None:
        lengths = (_length("source", entry["source"]), _length("target", entry["target"]))
    return Row(sides, sure, scores, None if name is None else str(name), lengths)


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


def _links(key: str, value: Any, sure: bool) -> tuple[list[int], list[bool]]:
    """``first, second, first, ...`` of all links, and the mark of each link."""
    if value is None:
        return [], []
    if isinstance(value, str):
        return _text_links(key, value, sure)
    if not isinstance(value, list):
        raise FormatError(f"{key!r} is a {type(value).__name__}", remedy=_FORM)
    if set(map(type, value)) == {list} and set(map(len, value)) == {2}:
        sides = list(chain.from_iterable(value))
        if set(map(type, sides)) == {int} and min(sides) >= NULL and max(sides) <= MAX_INDEX:
            return sides, [sure] * len(value)
    sides = []
    for entry in value:
        if not isinstance(entry, list) or len(entry) != 2:
            raise FormatError(f"{str(entry)[:40]!r} in {key!r} is not a link", remedy="A link is [i, j]")
        for side in (NULL if side is None else side for side in entry):
            if type(side) is not int or not NULL <= side <= MAX_INDEX:
                raise FormatError(
                    f"{str(entry)[:40]!r} in {key!r} is not a link", remedy="A link is [i, j], whole numbers"
                )
            sides.append(side)
    return sides, [sure] * len(value)


def _text_links(key: str, text: str, sure: bool) -> tuple[list[int], list[bool]]:
    sides: list[int] = []
    marks: list[bool] = []
    for word in split_words(text):
        token = parse_token(word)
        if token is None:
            raise FormatError(f"{word[:40]!r} in {key!r} is not a link", remedy=f"Links in text are {FORMS}")
        sides += token[:2]
        marks.append(token[2] and sure)
    return sides, marks


def _is_score(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 3e38 and math.isfinite(value)


def _length(key: str, value: Any) -> int:
    if isinstance(value, str):
        return count_words(value)
    if isinstance(value, list):
        return len(value)
    raise FormatError(f"{key!r} is neither text nor a list of words", remedy=_FORM)
