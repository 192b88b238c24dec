"""The links of many sentence pairs in columns: what readers give and scoring takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError, LinkRangeError
from align_eval.links import BoolArray, FloatArray, GoldLinks, IntArray, Links


def _ascending(sentence: NDArray[np.integer], source: NDArray[np.integer], target: NDArray[np.integer]) -> bool:
    """Whether the columns are sorted by (sentence, source, target) without repetition."""
    width_s, width_t = int(source.max()) + 1, int(target.max()) + 1
    if (int(sentence.max()) + 1) * width_s * width_t < 2**63:
        key = (sentence.astype(np.int64) * width_s + source) * width_t + target
        return bool((key[1:] > key[:-1]).all())
    rise = target[1:] > target[:-1]
    for column in (source, sentence):
        rise = (column[1:] > column[:-1]) | ((column[1:] == column[:-1]) & rise)
    return bool(rise.all())


def _offsets(sentence: IntArray, sentences: int) -> NDArray[np.int64]:
    """The first row of each sentence pair, and the number of rows, ``(sentences + 1,)``, of a sorted column.

    As ``np.searchsorted(sentence, np.arange(sentences + 1))``, in one pass.
    """
    if not len(sentence):
        return np.zeros(sentences + 1, dtype=np.int64)
    starts = np.flatnonzero(sentence[1:] != sentence[:-1]) + 1
    first, last = int(sentence[0]), int(sentence[-1])
    if len(starts) + 1 == sentences:  # every pair has links
        return np.concatenate([[0], starts, [len(sentence)]], dtype=np.int64)
    spans = np.concatenate([[first + 1], np.diff(sentence[starts], prepend=first), [sentences - last]])
    return np.repeat(np.concatenate([[0], starts, [len(sentence)]], dtype=np.int64), spans)


#: Numbers of source and target words that :meth:`LinkTable.merged` has room for; their product fits 31 bits.
HEIGHT, WIDTH = (1 << 16) - 1, 1 << 15


class Merged(NamedTuple):
    """See :meth:`LinkTable.merged`."""

    starts: IntArray
    columns: IntArray


class Gold(NamedTuple):
    """See :meth:`LinkTable.marked`."""

    marks: NDArray[np.uint8]
    sure: IntArray


def sums(rows: NDArray[np.uint8], offsets: NDArray[np.integer]) -> IntArray:
    """The sum of the rows of each sentence pair, ``(sentence pairs,)``; ``offsets`` as in a table."""
    sizes = np.diff(offsets)
    filled = sizes > 0
    out = np.zeros(len(sizes), dtype=np.int32)
    if filled.any():
        out[filled] = np.add.reduceat(rows, offsets[:-1][filled], dtype=np.int32)
    return out


class LinkTable(Sequence[Links]):
    """The links of many sentence pairs in columns: what readers give and scoring takes.

    Row ``r`` says: in sentence pair ``sentence[r]`` source word ``source[r]`` is linked with target word ``target[r]``.
    Rows are sorted by (sentence, source, target) and unique. Indices are 0-based. The columns are not to be changed:
    what is made of them for counting is kept.

    Args:
        sentence, source, target: integer arrays ``(rows,)``.
        sentences: number of sentence pairs, those without links included.
        sure: boolean array ``(rows,)``; false marks a possible-only link. ``None``: all sure. Where a link is given
            both as sure and as possible it is sure.
        scores: float array ``(rows,)`` or ``None``.
        ids: one name a sentence pair, or ``None`` (then the position is the name).

    ``table[k]`` gives the links of pair ``k`` (all of P); ``table.gold(k)`` its :class:`GoldLinks`. What is known of
    how the links came about stands in ``provenance``, by the keys of a signature (model, layer, method, ...).
    """

    __slots__ = (
        "_gold", "_merged",
        "ids", "offsets", "provenance", "scores", "sentence", "sentences", "source", "sure", "target",
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
        sure = np.ones(n, dtype=bool) if sure is None else np.asarray(sure, dtype=bool)
        if n > 1 and not _ascending(sentence, source, target):
            order = np.lexsort((~sure, target, source, sentence))
            columns = np.stack([sentence[order], source[order], target[order]])
            fresh = np.concatenate([[True], (columns[:, 1:] != columns[:, :-1]).any(axis=0)])
            order = order[fresh]
            sentence, source, target, sure = sentence[order], source[order], target[order], sure[order]
            scores = None if scores is None else scores[order]
        self.sentence: IntArray = sentence.astype(np.int32, copy=False)
        self.source: IntArray = source.astype(np.int32, copy=False)
        self.target: IntArray = target.astype(np.int32, copy=False)
        self.sure: BoolArray = sure
        self.scores: FloatArray | None = None if scores is None else scores.astype(np.float32, copy=False)
        self.sentences = sentences
        self.ids = ids
        self.provenance: dict[str, str] = {}
        self._merged: Merged | None = None
        self._gold: Gold | None = None
        self.offsets: NDArray[np.int64] = _offsets(self.sentence, sentences)

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
        table.provenance, table._merged, table._gold = {}, None, None
        table.offsets = _offsets(sentence, sentences)
        return table

    @classmethod
    def from_links(cls, items: Iterable[Links | GoldLinks], ids: Sequence[str] | None = None) -> LinkTable:
        """Build a table from one :class:`Links` or :class:`GoldLinks` a sentence pair."""
        pairs: list[IntArray] = []
        sure: list[BoolArray] = []
        scores: list[FloatArray] = []
        scored = True
        for item in items:
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
            np.repeat(np.arange(len(pairs)), counts),
            flat[:, 0],
            flat[:, 1],
            len(pairs),
            np.concatenate(sure) if sure else None,
            np.concatenate(scores) if scored and scores and any(counts) else None,
            ids,
        )

    def _rows(self, index: int) -> slice:
        if not -self.sentences <= index < self.sentences:
            raise IndexError(f"sentence pair {index} of {self.sentences}")
        index %= self.sentences
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def __getitem__(self, index: int) -> Links:  # type: ignore[override]
        rows = self._rows(index)
        pairs = np.stack([self.source[rows], self.target[rows]], axis=1)
        return Links(pairs, None if self.scores is None else self.scores[rows])

    def gold(self, index: int) -> GoldLinks:
        """The gold links of sentence pair ``index``."""
        rows = self._rows(index)
        pairs = np.stack([self.source[rows], self.target[rows]], axis=1)
        return GoldLinks(Links(pairs[self.sure[rows]]), Links(pairs))

    def __len__(self) -> int:
        return self.sentences

    def __eq__(self, other: object) -> bool:
        """Same number of sentences, same links, same sure marks; scores and ids do not count."""
        return (
            isinstance(other, LinkTable)
            and self.sentences == other.sentences
            and np.array_equal(self.sentence, other.sentence)
            and np.array_equal(self.source, other.source)
            and np.array_equal(self.target, other.target)
            and np.array_equal(self.sure, other.sure)
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

    def merged(self) -> Merged | None:
        """What two tables are merged by, made when it is first asked for; ``None``: an index is too high for it.

        - ``starts`` ``(sentence pairs + 1,)``: the first row of each sentence pair, and the number of rows;
        - ``columns`` ``(rows,)``: ``source * WIDTH + target``, ascending within a sentence pair; both int32.
        """
        if self._merged is None:
            fits = int(self.source.max(initial=0)) < HEIGHT and int(self.target.max(initial=0)) < WIDTH
            if not fits or self.links >= 2**31:
                return None
            columns = self.source * np.int32(WIDTH)
            columns += self.target
            self._merged = Merged(self.offsets.astype(np.int32), columns)
        return self._merged

    def marked(self) -> Gold:
        """The table as gold, made when it is first asked for.

        - ``marks`` ``(rows,)``: uint8, 2 for a sure link, 1 for a possible one;
        - ``sure`` ``(sentence pairs,)``: int32, number of sure links.
        """
        if self._gold is None:
            marks = self.sure + np.uint8(1)
            self._gold = Gold(marks, sums(self.sure.view(np.uint8), self.offsets))
        return self._gold

    def reverse(self) -> LinkTable:
        """The same links seen from the other side (source and target swapped)."""
        return LinkTable(self.sentence, self.target, self.source, self.sentences, self.sure, self.scores, self.ids)

    def check_range(self, source_lengths: Sequence[int], target_lengths: Sequence[int]) -> None:
        """Raise :class:`LinkRangeError` naming the first sentence pair with a link outside its words.

        Raises:
            LengthMismatchError: the number of sentence pairs differs.
            LinkRangeError: a link is out of range; ``line`` is the pair's position counted from 1.
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
            raise LinkRangeError(
                f"link {self.source[row]}-{self.target[row]} (0-based) is outside a pair of {source[k]} source and "
                f"{target[k]} target words",
                line=k + 1,
                remedy="Check the index base (0 or 1), the side order and that the sentences belong to the links",
            )

    def __repr__(self) -> str:
        return f"LinkTable({self.sentences} sentence pairs, {self.sure_links} sure of {self.links} links)"
