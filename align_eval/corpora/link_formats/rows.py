"""Links in rows with named columns (:mod:`align_eval.corpora.rows`), indices from 0: JSON lines and Parquet.

``{"id": "1", "links": [[0, 0], [1, 2]], "possible": [[1, 1]], "scores": [0.9, 0.8, 0.4]}``: all but ``links`` may be
left out, ``source`` and ``target`` are used to check ranges where no bitext is given, and other columns are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import IO, Any, ClassVar

import numpy as np

from align_eval.corpora.inputs import Input
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat
from align_eval.corpora.link_text import MAX_INDEX, NULL
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.parquet import parquet_batches
from align_eval.corpora.raw_links import RawLinks
from align_eval.corpora.rows import (
    FORM,
    LINK_COLUMNS,
    SIDE_COLUMNS,
    RowLinks,
    json_rows,
    lacks_links,
    row_links,
    row_name,
)
from align_eval.corpora.words import split_words
from align_eval.errors import FormatError
from align_eval.links import BoolArray
from align_eval.links.table import LinkTable

_ROWS_AT_ONCE = 1 << 13


class _Rows(LinkFormat):
    """Keeps possible links, scores and ids. When writing, ``possible`` holds the links that are not sure."""

    names_sentences: ClassVar[bool] = True
    own_base: ClassVar[int | None] = 0
    has_scores: ClassVar[bool] = True
    shown: ClassVar[tuple[str, str]] = ("[{}, {}]", "[{}, {}]")


class _Agreement:
    """Whether the rows of a file have scores, and names: all or none."""

    def __init__(self, file: Input) -> None:
        self.file = file
        self.scored: bool | None = None
        self.named: bool | None = None

    def check(self, line: int, scored: bool | None, named: bool) -> None:
        """Raise for a row (of a block, the first) unlike those before it; ``scored`` is ``None`` without links."""
        for what, before, now in (("scores", self.scored, scored), ("an id", self.named, named)):
            if before is not None and now is not None and before != now:
                what = f"some sentence pairs have {what} and others have not"
                raise self.file.malformed(what, line, "Give all or none")
        self.scored, self.named = self.scored if scored is None else scored, named


def _block(agreement: _Agreement, entries: Sequence[dict[str, Any]], start_line: int) -> RawLinks:
    """Rows of consecutive lines as one block."""
    rows: list[RowLinks] = []
    names: list[str | None] = []
    sizes: list[tuple[int, int] | None] = []
    for line, entry in enumerate(entries, start_line):
        try:
            if "links" not in entry and "sure" not in entry:
                raise lacks_links(entry)
            rows.append(row_links(entry) or RowLinks([], [], None))
            names.append(row_name(entry))
            sizes.append(_lengths(entry))
        except FormatError as error:
            raise agreement.file.malformed(error.message, line, error.remedy or FORM) from None
        agreement.check(line, rows[-1].scores is not None if rows[-1].sure else None, names[-1] is not None)
    pairs = np.fromiter(chain.from_iterable(row.sides for row in rows), dtype=np.int32).reshape(-1, 2)
    scored = any(row.scores for row in rows)
    lengths = np.array(sizes, dtype=np.int32) if None not in sizes else None
    return RawLinks(
        np.repeat(np.arange(len(rows), dtype=np.int32), [len(row.sure) for row in rows]), pairs[:, 0].copy(),
        pairs[:, 1].copy(), len(rows), np.fromiter(chain.from_iterable(row.sure for row in rows), dtype=np.bool_),
        np.array([x for row in rows for x in row.scores or ()], dtype=np.float32) if scored else None,
        start_line=start_line, lengths=None if lengths is None else (lengths[:, 0], lengths[:, 1]),
        ids=[name or "" for name in names] if None not in names else None,
    )  # fmt: skip


def _lengths(entry: dict[str, Any]) -> tuple[int, int] | None:
    """The numbers of words of the two sides, if the row has them."""
    for pair in SIDE_COLUMNS:
        sides = [entry.get(name) for name in pair]
        if None not in sides:
            for name, side in zip(pair, sides, strict=True):
                if not isinstance(side, (str, list)):
                    raise FormatError(f"{name!r} is neither text nor a list of words", remedy=FORM)
            one, other = (
                len(split_words(side) if isinstance(side, str) else side) for side in sides if side is not None
            )
            return one, other
    return None


@LINK_FORMATS.register("jsonl", "json")
class Jsonl(_Rows):
    """One object a line, or an array of objects."""

    writes_in_blocks: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl",)

    def read(self, file: Input) -> Iterator[RawLinks]:
        """Yield blocks of some thousand rows."""
        agreement, rows = _Agreement(file), json_rows(file)
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            yield _block(agreement, [row for _, row in chunk], chunk[0][0])

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        """Write one object a line: ``id``, ``links``, ``possible`` if there is any, ``scores`` if there are."""
        for begin in range(0, table.sentences, _ROWS_AT_ONCE):
            lines = _lines(table, begin, min(begin + _ROWS_AT_ONCE, table.sentences), base)
            stream.write("".join(lines).encode())


@LINK_FORMATS.register("parquet")
class Parquet(_Rows):
    """One row a sentence pair; in messages the line is the row, counted from 1."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)

    def read(self, file: Input) -> Iterator[RawLinks]:
        """Yield blocks of some thousand rows; lists of pairs of integers by columns, all else row by row."""
        agreement, line = _Agreement(file), 1
        for batch in parquet_batches(file, lambda have: _needed(file, have)):
            raw = _quick(batch, line)
            if raw is None:
                raw = _block(agreement, batch.to_pylist(), line)
            else:
                agreement.check(line, raw.scores is not None if len(raw.first) else None, raw.ids is not None)
            line += batch.num_rows
            yield raw

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        """Write the columns ``id``, ``links``, ``possible`` and, if there are scores, ``scores``."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        ids = [str(k + 1) for k in range(table.sentences)] if table.ids is None else list(table.ids)
        columns: dict[str, Any] = {"id": pa.array(ids, pa.string())}
        for name, rows in (("links", table.sure), ("possible", ~table.sure)):
            columns[name] = _lists(table, rows, base)
        if table.scores is not None:
            order = np.lexsort((~table.sure, table.sentence))
            columns["scores"] = pa.ListArray.from_arrays(table.offsets.astype(np.int32), pa.array(table.scores[order]))
        pq.write_table(pa.table(columns), stream, compression="zstd")


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


def _needed(file: Input, have: list[str]) -> list[str]:
    """The columns of a Parquet file that are read."""
    if "links" not in have and "sure" not in have:
        names = ", ".join(map(repr, have)) or "none"
        raise file.malformed(f"no column 'links' among its columns ({names})", None, "Name it 'links'")
    wanted = (*LINK_COLUMNS, "id", *chain.from_iterable(SIDE_COLUMNS))
    return [name for name in have if name in wanted]


def _quick(batch: Any, line: int) -> RawLinks | None:
    """The links of a batch of plain ``[i, j]`` lists with text as names; ``None``: :func:`_block` reads it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = batch.schema.names
    ids = batch["id"] if "id" in names else None
    if ("links" in names and "sure" in names) or {"source", "src"} & set(names):
        return None
    if ids is not None and (ids.null_count or not pa.types.is_string(ids.type)):
        return None
    parts, counts = [], []
    for name in (name for name in ("links", "sure", "possible") if name in names):
        column = batch[name]
        inner = column.flatten() if pa.types.is_list(column.type) and not column.null_count else column
        if inner is column or not pa.types.is_list(inner.type) or not pa.types.is_integer(inner.type.value_type):
            return None
        values = inner.flatten()
        if inner.null_count or values.null_count or pc.any(pc.not_equal(pc.list_value_length(inner), 2)).as_py():
            return None
        pairs = values.cast(pa.int64()).to_numpy().reshape(-1, 2)
        if len(pairs) and (int(pairs.min()) < NULL or int(pairs.max()) > MAX_INDEX):
            return None
        parts.append(pairs)
        counts.append(pc.list_value_length(column).to_numpy())
    rows = np.arange(batch.num_rows, dtype=np.int32)
    sentence = np.concatenate([np.repeat(rows, count) for count in counts])
    order = np.argsort(sentence, kind="stable")
    scores = None
    if "scores" in names:
        column = batch["scores"]
        if not pa.types.is_list(column.type) or column.null_count or not pa.types.is_floating(column.type.value_type):
            return None
        values = column.flatten()
        if values.null_count or (pc.list_value_length(column).to_numpy() != sum(counts)).any():
            return None
        scores = values.to_numpy().astype(np.float32) if len(values) else None
        if scores is not None and not np.isfinite(scores).all():
            return None
    pairs = np.concatenate(parts).astype(np.int32)[order]
    sure = np.concatenate([np.full(len(part), k == 0) for k, part in enumerate(parts)])[order]
    return RawLinks(
        sentence[order], pairs[:, 0].copy(), pairs[:, 1].copy(), batch.num_rows, sure, scores, start_line=line,
        ids=None if ids is None else ids.to_pylist(),
    )  # fmt: skip


def _lists(table: LinkTable, rows: BoolArray, base: int) -> Any:
    """The chosen links as an Arrow array ``list<list<int32>>``, one entry a sentence pair."""
    import pyarrow as pa

    pairs = np.stack([table.source[rows], table.target[rows]], axis=1) + np.int32(base)
    inner = pa.ListArray.from_arrays(np.arange(0, 2 * len(pairs) + 1, 2, dtype=np.int32), pa.array(pairs.ravel()))
    offsets = np.searchsorted(table.sentence[rows], np.arange(table.sentences + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, inner)
