"""Tables of links put in another order, cut and joined; names, null links and provenance go with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from align_eval.links import BoolArray
from align_eval.links.table import LinkTable


def placed(table: LinkTable, places: NDArray[np.int64], sentences: int, ids: Sequence[str] | None) -> LinkTable:
    """The table with its ``k``-th sentence pair at ``places[k]`` of ``sentences``; pairs at -1 are left out."""
    rows = places[table.sentence]
    kept = rows >= 0
    moved = LinkTable(
        rows[kept], table.source[kept], table.target[kept], sentences, table.sure[kept],
        None if table.scores is None else table.scores[kept], ids,
    )  # fmt: skip
    moved.provenance = table.provenance
    if table.nulls is not None:
        nulls = table.nulls.copy()
        nulls[0] = places[nulls[0]]
        moved.nulls = nulls[:, nulls[0] >= 0]
    return moved


def kept(table: LinkTable, keep: BoolArray) -> LinkTable:
    """The sentence pairs that are true in ``keep`` ``(sentence pairs,)``, in their order."""
    if keep.all():
        return table
    places = np.where(keep, np.cumsum(keep) - 1, -1)
    names = None if table.ids is None else [name for name, left in zip(table.ids, keep, strict=True) if left]
    return placed(table, places, int(keep.sum()), names)


def part_of(table: LinkTable, start: int, stop: int) -> LinkTable:
    """The sentence pairs ``start`` to ``stop``, counted from 0 again."""
    rows = slice(int(table.offsets[start]), int(table.offsets[stop]))
    part = LinkTable.presorted(
        table.sentence[rows] - np.int32(start), table.source[rows], table.target[rows], stop - start, table.sure[rows],
        None if table.scores is None else table.scores[rows], None if table.ids is None else table.ids[start:stop],
    )  # fmt: skip
    part.provenance = table.provenance
    if table.nulls is not None:
        nulls = table.nulls[:, (table.nulls[0] >= start) & (table.nulls[0] < stop)]
        part.nulls = nulls - np.array([[start], [0], [0], [0]], dtype=np.int32)
    return part


def joined(tables: Sequence[LinkTable]) -> LinkTable:
    """Consecutive tables as one."""
    if len(tables) == 1:
        return tables[0]
    first = np.cumsum([0, *(table.sentences for table in tables)]).astype(np.int32)
    scores = [table.scores for table in tables if table.scores is not None]
    whole = LinkTable.presorted(
        np.concatenate([table.sentence + start for table, start in zip(tables, first, strict=False)]),
        np.concatenate([table.source for table in tables]),
        np.concatenate([table.target for table in tables]),
        int(first[-1]),
        np.concatenate([table.sure for table in tables]),
        np.concatenate(scores) if len(scores) == len(tables) else None,
        [name for table in tables for name in table.ids or ()] if any(table.ids for table in tables) else None,
    )
    whole.provenance = tables[0].provenance
    nulls = [
        table.nulls + np.array([[start], [0], [0], [0]], dtype=np.int32)
        for table, start in zip(tables, first, strict=False)
        if table.nulls is not None
    ]
    whole.nulls = np.concatenate(nulls, axis=1) if nulls else None
    return whole
