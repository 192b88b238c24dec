"""The links of many sentence pairs in columns: what readers give and scoring takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError
from align_eval.links import BoolArray, FloatArray, GoldLinks, IntArray, Links, out_of_range
from align_eval.tables import frame

if TYPE_CHECKING:
    import pandas


class LinkTable(Sequence[Links]):
    """The links of many sentence pairs in columns: what readers give and scoring takes.

    Row ``r`` says: in sentence pair ``sentence[r]`` source word ``source[r]`` is linked with target word ``target[r]``.
    Rows are sorted by (sentence, source, target) and unique. Indices are 0-based.

    Args:
        sentence, source, target: integer arrays ``(rows,)``.
        sentences: number of sentence pairs, those without links included.
        sure: boolean array ``(rows,)``; false marks a possible-only link. ``None``: all sure. Where a link is given
            both as sure and as possible it is sure.
        scores: float array ``(rows,)`` or ``None``. Where a link is given twice the highest score is kept.
        ids: one name a sentence pair, or ``None`` (then the position is the name). A reader gives names if and only
            if the file names its sentence pairs.

    ``nulls`` is ``None``, or an integer array ``(4, n)`` of sentence, source, target and mark (1 sure, 0 possible): the
    null links that a reader left out, 0-based as all, below 0 where a side is missing. They are no links of the table;
    :meth:`reread` and :meth:`with_nulls` need them.

    ``table[k]`` gives the links of pair ``k`` (all of P); ``table.gold(k)`` its :class:`GoldLinks`. What is known of
    how the links came about stands in ``provenance``, by the keys of a signature (model, layer, method, ...).
    """

    __slots__ = (
        "_offsets", "ids", "nulls", "provenance", "scores", "sentence", "sentences", "source", "sure", "target",
    )  # fmt: skip

    def __init__(
        self,
        sentence: NDArray[np.integer],
        source: NDArray[np.integer],
        target: NDArray[np.integer],
        sentences: int,
        sure: BoolArray | None = None,
        scores: NDArray[np.floating] | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        n = len(sentence)
        if len(source) != n or len(target) != n:
            raise InputError(f"columns differ in length: {n}, {len(source)}, {len(target)}")
        if ids is not None and len(ids) != sentences:
            raise LengthMismatchError(f"{sentences} sentence pairs but {len(ids)} ids")
        if n and (int(source.min()) < 0 or int(target.min()) < 0 or int(sentence.min()) < 0):
            raise InputError("a negative index in a link table")
        if n and int(sentence.max()) >= sentences:
            raise LengthMismatchError(f"links name sentence {int(sentence.max())} of only {sentences}")
        values = None if scores is None else scores.astype(np.float32, copy=False)
        if values is not None and not bool(np.isfinite(values).all()):
            raise InputError("a score of a link is not a finite number", remedy="Repair the scores, or leave them out")
        columns = (int32(sentence), int32(source), int32(target))
        marks = None if sure is None else np.asarray(sure, dtype=bool)
        self.sentence, self.source, self.target, self.sure, self.scores = sort_unique(*columns, marks, values)
        self.sentences = sentences
        self.ids = ids
        self.nulls: IntArray | None = None
        self.provenance: dict[str, str] = {}
        self._offsets: NDArray[np.int64] | None = None

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The first row of each sentence pair, and the number of rows, ``(sentences + 1,)``."""
        if self._offsets is None:
            self._offsets = np.searchsorted(self.sentence, np.arange(self.sentences + 1, dtype=np.int32))
        return self._offsets

    def to_frame(self) -> pandas.DataFrame:
        """A row a link: ``sentence`` (0-based) or its ``id``, ``source``, ``target`` (0-based), ``sure``, ``score``."""
        names = {"sentence": self.sentence} if self.ids is None else {"id": [self.ids[k] for k in self.sentence]}
        columns = {**names, "source": self.source, "target": self.target, "sure": self.sure}
        return frame(columns if self.scores is None else {**columns, "score": self.scores})

    @classmethod
    def presorted(
        cls,
        sentence: IntArray,
        source: IntArray,
        target: IntArray,
        sentences: int,
        sure: BoolArray,
        scores: FloatArray | None = None,
        ids: Sequence[str] | None = None,
    ) -> LinkTable:
        """A table of int32 columns that are known to be sorted, unique and in range; nothing is checked or copied."""
        table = cls.__new__(cls)
        table.sentence, table.source, table.target, table.sure = sentence, source, target, sure
        table.scores, table.sentences, table.ids = scores, sentences, ids
        table.provenance, table.nulls, table._offsets = {}, None, None
        return table

    @classmethod
    def from_links(cls, items: Iterable[Links | GoldLinks], ids: Sequence[str] | None = None) -> LinkTable:
        """Build a table from one :class:`Links`, :class:`GoldLinks`, or what :class:`Links` takes, a sentence pair."""
        pairs: list[IntArray] = []
        sure: list[BoolArray] = []
        scores: list[FloatArray] = []
        scored = True
        for given in items:
            item = given if isinstance(given, Links | GoldLinks) else Links(given)
            if isinstance(item, GoldLinks):
                pairs.append(item.possible.pairs)
                inside = set(item.sure)
                sure.append(np.array([p in inside for p in item.possible], dtype=bool))
                scored = False
            else:
                pairs.append(item.pairs)
                sure.append(np.ones(len(item), dtype=bool))
                if item.scores is None and len(item):
                    scored = False
                scores.append(item.scores if item.scores is not None else np.empty(0, dtype=np.float32))
        counts = [len(p) for p in pairs]
        flat = np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int32)
        return cls(
            np.repeat(np.arange(len(pairs)), counts), flat[:, 0], flat[:, 1], len(pairs),
            np.concatenate(sure) if sure else None,
            np.concatenate(scores) if scored and scores and any(counts) else None, ids,
        )  # fmt: skip

    def _rows(self, index: int) -> tuple[slice, IntArray]:
        """The rows of a sentence pair, and their links ``(rows, 2)``."""
        if not -self.sentences <= index < self.sentences:
            raise IndexError(f"sentence pair {index} of {self.sentences}")
        index %= self.sentences
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return rows, np.stack([self.source[rows], self.target[rows]], axis=1)

    def __getitem__(self, index: int) -> Links:  # type: ignore[override]
        rows, pairs = self._rows(index)
        return Links(pairs, None if self.scores is None else self.scores[rows])

    def gold(self, index: int) -> GoldLinks:
        """The gold links of sentence pair ``index``."""
        rows, pairs = self._rows(index)
        return GoldLinks(Links(pairs[self.sure[rows]]), Links(pairs))

    def __len__(self) -> int:
        return self.sentences

    def __eq__(self, other: object) -> bool:
        """Same number of sentences, same links, same sure marks; scores and ids do not count."""
        return (
            isinstance(other, LinkTable)
            and self.sentences == other.sentences
            and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("sentence", "source", "target", "sure")
            )
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def links(self) -> int:
        """Number of links, possible ones included."""
        return len(self.source)

    @property
    def sure_links(self) -> int:
        """Number of sure links."""
        return int(self.sure.sum())

    def reverse(self) -> LinkTable:
        """The same links with source and target swapped."""
        return LinkTable(self.sentence, self.target, self.source, self.sentences, self.sure, self.scores, self.ids)

    def reread(self, shift: int = 0, swap: bool = False) -> LinkTable:
        """The table as it would have been read with another index base, the other side order, or both.

        Args:
            shift: what is added to each index: 1 if base 1 was taken and base 0 is wanted, -1 if it is the reverse.
                Null links of base 1 (:attr:`nulls`) are links of base 0, and the reverse.
            swap: swap source and target.

        No range is checked. Scores are left out.
        """
        columns, sure = np.stack([self.sentence, self.source, self.target]), self.sure
        if self.nulls is not None:
            columns = np.concatenate([columns, self.nulls[:3]], axis=1)
            sure = np.concatenate([sure, self.nulls[3] > 0])
        sentence, source, target = columns[0], columns[1] + np.int32(shift), columns[2] + np.int32(shift)
        keep = (source >= 0) & (target >= 0)
        if not keep.all():
            sentence, source, target, sure = sentence[keep], source[keep], target[keep], sure[keep]
        first, second = (target, source) if swap else (source, target)
        return LinkTable(sentence, first, second, self.sentences, sure, None, self.ids)

    def with_nulls(self) -> LinkTable:
        """The table with its null links as links with a word 0 of that side; all other words count from 1.

        Null links then are scored as all others are (the "NULL-Align" of Mihalcea & Pedersen 2003).
        """
        nulls = np.empty((4, 0), dtype=np.int32) if self.nulls is None else self.nulls
        columns = np.stack([self.source, self.target]) + np.int32(1)
        source, target = np.concatenate([columns, np.maximum(nulls[1:3] + np.int32(1), 0)], axis=1)
        sentence = np.concatenate([self.sentence, nulls[0]])
        sure = np.concatenate([self.sure, nulls[3] > 0])
        table = LinkTable(sentence, source, target, self.sentences, sure, ids=self.ids)
        table.provenance = self.provenance
        return table

    def by_number(self, sentences: int | None = None) -> LinkTable | None:
        """The table with one sentence pair for each number, in their order, if its names are whole numbers.

        The pair named ``k`` becomes the ``k``-th one (or the one after it, if a pair is named 0); a number that is not
        among the names becomes a sentence pair without links. So nothing is closed up by rank.

        Args:
            sentences: the number of sentence pairs wanted; ``None``: up to the highest number.

        Returns:
            a table without names, or ``None`` if the names are not such numbers or go beyond ``sentences``.
        """
        places = number_places(self.ids or ())
        highest = -1 if places is None else int(places.max(initial=-1))
        if places is None or (sentences is not None and highest >= sentences):
            return None
        count = highest + 1 if sentences is None else sentences
        return LinkTable(places[self.sentence], self.source, self.target, count, self.sure, self.scores)

    def check_range(self, source_lengths: Sequence[int], target_lengths: Sequence[int]) -> None:
        """Raise :class:`LinkRangeError` for the first link outside its words; ``line`` is the pair's place from 1.

        Raises:
            LengthMismatchError: the number of sentence pairs differs.
        """
        if not len(source_lengths) == len(target_lengths) == self.sentences:
            raise LengthMismatchError(
                f"links of {self.sentences} sentence pairs but {len(source_lengths)} source and "
                f"{len(target_lengths)} target sentences"
            )
        source, target = np.asarray(source_lengths), np.asarray(target_lengths)
        if not self.links:
            return
        bad = (self.source >= source[self.sentence]) | (self.target >= target[self.sentence])
        if bad.any():
            row = int(bad.argmax())
            k = int(self.sentence[row])
            raise out_of_range(self.source[row], self.target[row], source[k], target[k], k + 1)

    def __repr__(self) -> str:
        return f"LinkTable({self.sentences} sentence pairs, {self.sure_links} sure of {self.links} links)"


_NUMBER = re.compile(r"[0-9]{1,9}")


def int32(column: NDArray[np.integer]) -> IntArray:
    """``column`` in 32 bits."""
    if column.dtype.kind not in "iu" and len(column):
        raise InputError(f"indices of links are of type {column.dtype}", remedy="Give whole numbers")
    if column.dtype.itemsize > 4 and len(column) and int(column.max()) >= 2**31:
        raise InputError(f"index {int(column.max())} of a link is out of bounds", remedy="Give indices below 2**31")
    return column.astype(np.int32, copy=False)


def number_places(names: Sequence[str]) -> IntArray | None:
    """The places, from 0, that sentence pairs named by whole numbers have by their numbers.

    Numbers count from 1, or from 0 if one is 0. ``None``: the names are not numbers, or one is there twice.

    >>> number_places(["0001", "3"]).tolist(), number_places(["2", "0"]).tolist(), number_places(["3", "3"])
    ([0, 2], [2, 0], None)
    """
    if not all(_NUMBER.fullmatch(name) for name in names):
        return None
    numbers = np.array([int(name) for name in names], dtype=np.int32)
    if len(set(numbers.tolist())) != len(numbers):
        return None
    return numbers - np.int32(len(numbers) and numbers.min() > 0)


def sort_unique(
    sentence: IntArray, source: IntArray, target: IntArray, sure: BoolArray | None, scores: FloatArray | None
) -> tuple[IntArray, IntArray, IntArray, BoolArray, FloatArray | None]:
    """Sort links by (sentence, source, target) and drop repetitions; of equal links a sure one and the best score win.

    All arrays have shape ``(rows,)``; indices are 0-based. Columns already in order are returned as they are.
    """
    rows = len(source)
    full = np.ones(rows, dtype=bool) if sure is None else sure
    if rows < 2:
        return sentence, source, target, full, scores
    wide = [int(column.max()).bit_length() for column in (sentence, source, target)]
    if sum(wide) > 61:
        return _sort_unique_wide(sentence, source, target, full, scores)
    if wide[1] + wide[2] <= 31 and _ascending(sentence, (source << np.int32(wide[2])) | target):
        return sentence, source, target, full, scores
    key = sentence.astype(np.int64)
    key <<= wide[1]
    key |= source
    key <<= wide[2]
    key |= target
    if bool((key[1:] > key[:-1]).all()):
        return sentence, source, target, full, scores
    if scores is not None:
        return _sort_unique_wide(sentence, source, target, full, scores)
    key <<= 1
    key |= ~full
    key.sort()
    full = (key & 1) == 0
    key >>= 1
    fresh = np.empty(rows, dtype=bool)
    fresh[0] = True
    np.not_equal(key[1:], key[:-1], out=fresh[1:])
    if not fresh.all():
        key, full = key[fresh], full[fresh]
    target = (key & ((1 << wide[2]) - 1)).astype(np.int32)
    key >>= wide[2]
    source = (key & ((1 << wide[1]) - 1)).astype(np.int32)
    key >>= wide[1]
    return key.astype(np.int32), source, target, full, None


def _ascending(sentence: IntArray, cell: IntArray) -> bool:
    """Whether links, each a sentence and the number of a cell, are sorted without repetition."""
    later = sentence[1:] > sentence[:-1]
    later |= (cell[1:] > cell[:-1]) & (sentence[1:] == sentence[:-1])
    return bool(later.all())


def _sort_unique_wide(
    sentence: IntArray, source: IntArray, target: IntArray, sure: BoolArray, scores: FloatArray | None
) -> tuple[IntArray, IntArray, IntArray, BoolArray, FloatArray | None]:
    """:func:`sort_unique` for links with scores, or with indices too large for one 64-bit key."""
    keys = (~sure, target, source, sentence)
    order = np.lexsort(keys if scores is None else (-scores, *keys[1:]))
    sentence, source, target, sure = sentence[order], source[order], target[order], sure[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (sentence[1:] != sentence[:-1]) | (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    if scores is not None:
        scores = scores[order][fresh]
        sure = np.logical_or.reduceat(sure, np.flatnonzero(fresh))
    else:
        sure = sure[fresh]
    return sentence[fresh], source[fresh], target[fresh], sure, scores


def sums(rows: NDArray[np.uint8], offsets: NDArray[np.integer]) -> IntArray:
    """The sum of the rows of each sentence pair, ``(sentence pairs,)``; ``offsets`` as in a table."""
    sizes = np.diff(offsets)
    filled = sizes > 0
    out = np.zeros(len(sizes), dtype=np.int32)
    if filled.any():
        out[filled] = np.add.reduceat(rows, offsets[:-1][filled], dtype=np.int32)
    return out


def placed(table: LinkTable, places: NDArray[np.int64], sentences: int, ids: Sequence[str] | None) -> LinkTable:
    """The table with its ``k``-th sentence pair at ``places[k]`` of ``sentences``; pairs at -1 are left out."""
    rows = places[table.sentence]
    kept = rows >= 0
    scores = None if table.scores is None else table.scores[kept]
    moved = LinkTable(rows[kept], table.source[kept], table.target[kept], sentences, table.sure[kept], scores, ids)
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
    rows = slice(*np.searchsorted(table.sentence, np.array([start, stop], dtype=np.int32)).tolist())
    part = LinkTable.presorted(
        table.sentence[rows] - np.int32(start), table.source[rows], table.target[rows], stop - start, table.sure[rows],
        None if table.scores is None else table.scores[rows], None if table.ids is None else table.ids[start:stop],
    )  # fmt: skip
    part.provenance = table.provenance
    if table.nulls is not None:
        part.nulls = table.nulls[:, (table.nulls[0] >= start) & (table.nulls[0] < stop)] - _column(start)
    return part


def joined(tables: list[LinkTable]) -> LinkTable:
    """Consecutive tables as one; the list is emptied, so that links are not held twice for longer than needed.

    Scores, where all that have links have them, and names, where all have them.
    """
    if len(tables) == 1:
        return tables.pop()
    rows = sum(table.links for table in tables)
    scored = bool(rows) and all(table.scores is not None for table in tables if table.links)
    named = bool(tables) and all(table.ids is not None for table in tables)
    ids = [name for table in tables for name in table.ids or ()] if named else None
    sentence, source, target = (np.empty(rows, dtype=np.int32) for _ in range(3))
    sure, scores = np.empty(rows, dtype=bool), np.empty(rows, dtype=np.float32) if scored else None
    nulls: list[IntArray] = []
    provenance = tables[0].provenance if tables else {}
    first = row = 0
    tables.reverse()
    while tables:
        part = tables.pop()
        here = slice(row, row + part.links)
        np.add(part.sentence, np.int32(first), out=sentence[here])
        source[here], target[here], sure[here] = part.source, part.target, part.sure
        if scores is not None and part.scores is not None:
            scores[here] = part.scores
        if part.nulls is not None:
            nulls.append(part.nulls + _column(first))
        first, row = first + part.sentences, here.stop
    whole = LinkTable.presorted(sentence, source, target, first, sure, scores, ids)
    whole.provenance = provenance
    whole.nulls = np.concatenate(nulls, axis=1) if nulls else None
    return whole


def _column(first: int) -> IntArray:
    """What is added to null links of a sentence pair 0 to be of pair ``first``."""
    return np.array([[first], [0], [0], [0]], dtype=np.int32)
