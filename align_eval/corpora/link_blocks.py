"""Blocks of links put together, cut and put in another order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora.raw_links import Columns, RawLinks
from align_eval.links import IntArray
from align_eval.links.table import LinkTable


def join(parts: list[Columns]) -> Columns:
    """Consecutive blocks as one; ``parts`` is emptied, so that the links are not held twice for longer than needed."""
    if len(parts) == 1:
        return parts.pop()
    sentences = sum(part.sentences for part in parts)
    rows = sum(len(part.source) for part in parts)
    scored = bool(parts) and all(part.scores is not None for part in parts if len(part.source))
    named = bool(parts) and all(part.ids is not None for part in parts)
    whole = Columns(
        np.empty(rows, dtype=np.int32),
        np.empty(rows, dtype=np.int32),
        np.empty(rows, dtype=np.int32),
        np.empty(rows, dtype=bool),
        np.empty(rows, dtype=np.float32) if scored and rows else None,
        sentences,
        [name for part in parts for name in part.ids or ()] if named else None,
    )
    nulls: list[IntArray] = []
    first, row = 0, 0
    parts.reverse()
    while parts:
        part = parts.pop()
        rows_here = slice(row, row + len(part.source))
        np.add(part.sentence, np.int32(first), out=whole.sentence[rows_here])
        whole.source[rows_here] = part.source
        whole.target[rows_here] = part.target
        whole.sure[rows_here] = part.sure
        if whole.scores is not None and part.scores is not None:
            whole.scores[rows_here] = part.scores
        if part.nulls is not None:
            nulls.append(part.nulls + np.array([[first], [0], [0], [0]], dtype=np.int32))
        first, row = first + part.sentences, rows_here.stop
    whole.nulls = np.concatenate(nulls, axis=1) if nulls else None
    return whole


def cut(columns: Columns, begin: int, end: int) -> Columns:
    """The sentence pairs ``begin`` to ``end`` of a block, counted from 0 again."""
    rows = slice(*np.searchsorted(columns.sentence, [begin, end]).tolist())
    nulls = columns.nulls
    if nulls is not None:
        nulls = nulls[:, (nulls[0] >= begin) & (nulls[0] < end)] - np.array([[begin], [0], [0], [0]], dtype=np.int32)
    return Columns(
        columns.sentence[rows] - np.int32(begin),
        columns.source[rows],
        columns.target[rows],
        columns.sure[rows],
        None if columns.scores is None else columns.scores[rows],
        end - begin,
        None if columns.ids is None else columns.ids[begin:end],
        nulls,
    )


def table_of(columns: Columns) -> LinkTable:
    """A table of sorted, unique columns."""
    table = LinkTable.presorted(
        columns.sentence, columns.source, columns.target, columns.sentences, columns.sure, columns.scores, columns.ids
    )
    table.nulls = columns.nulls
    return table


def join_raw(parts: Sequence[RawLinks]) -> RawLinks:
    """Consecutive blocks of one file as one, its links as written; each with its line."""
    if len(parts) == 1:
        return parts[0]
    first = np.cumsum([0, *(part.sentences for part in parts)]).astype(np.int32)
    marks = [np.ones(len(part.first), dtype=bool) if part.sure is None else part.sure for part in parts]
    lines = [
        part.sentence + np.int64(part.start_line) if part.lines is None else part.lines.astype(np.int64)
        for part in parts
    ]
    filled = [part for part in parts if len(part.first)]
    scores = [part.scores for part in filled if part.scores is not None]
    lengths = [part.lengths for part in parts if part.lengths is not None]
    sides = tuple(np.concatenate(side) for side in zip(*lengths, strict=True))
    return RawLinks(
        sentence=np.concatenate([part.sentence + begin for part, begin in zip(parts, first, strict=False)]),
        first=np.concatenate([part.first for part in parts]),
        second=np.concatenate([part.second for part in parts]),
        sentences=int(first[-1]),
        sure=np.concatenate(marks),
        scores=np.concatenate(scores) if filled and len(scores) == len(filled) else None,
        lines=np.concatenate(lines),
        lengths=(sides[0], sides[1]) if len(lengths) == len(parts) and lengths else None,
        ids=[name for part in parts for name in part.ids or ()],
        notes=[text for part in parts for text in part.notes],
    )


def moved(raw: RawLinks, places: NDArray[np.intp], ids: Sequence[str]) -> RawLinks:
    """The block with its ``k``-th sentence pair at ``places[k]`` among ``ids``; those without any are without links."""
    sentence = places.astype(np.int32)[raw.sentence]
    order = np.argsort(sentence, kind="stable")
    lengths = None
    if raw.lengths is not None and len(places) == len(ids):
        back = np.argsort(places)
        lengths = (raw.lengths[0][back], raw.lengths[1][back])
    lines = raw.lines if raw.lines is not None else raw.sentence + np.int64(raw.start_line)
    return RawLinks(
        sentence=sentence[order],
        first=raw.first[order],
        second=raw.second[order],
        sentences=len(ids),
        sure=None if raw.sure is None else raw.sure[order],
        scores=None if raw.scores is None else raw.scores[order],
        lines=lines[order],
        lengths=lengths,
        ids=list(ids),
        notes=raw.notes,
    )


def head_of(raw: RawLinks, sentences: int) -> RawLinks:
    """The first sentence pairs of a block, its links as written."""
    rows = slice(int(np.searchsorted(raw.sentence, sentences)))
    return RawLinks(
        sentence=raw.sentence[rows],
        first=raw.first[rows],
        second=raw.second[rows],
        sentences=min(sentences, raw.sentences),
        sure=None if raw.sure is None else raw.sure[rows],
        scores=None if raw.scores is None else raw.scores[rows],
        start_line=raw.start_line,
        lines=None if raw.lines is None else raw.lines[rows],
        lengths=None if raw.lengths is None else (raw.lengths[0][:sentences], raw.lengths[1][:sentences]),
        ids=None if raw.ids is None else raw.ids[:sentences],
        ascending=raw.ascending,
    )
