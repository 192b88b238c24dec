"""Links and gold links: the value that everything ends in.

Indices are 0-based everywhere inside the package: link ``(i, j)`` joins source word ``i`` with target word ``j``.
Readers and writers translate other bases and orders at the border.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError, LinkRangeError

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

_EMPTY: IntArray = np.empty((0, 2), dtype=np.int32)


class Links:
    """The links of one sentence pair: a set of ``(i, j)``, 0-based, kept sorted, optionally each with a score.

    Args:
        pairs: anything that iterates over ``(source index, target index)``, or an integer array ``(n, 2)``.
            Duplicates are dropped (the highest score of a duplicate is kept).
        scores: one number a pair, higher is surer. ``None``: no scores.

    Raises:
        InputError: a negative index, a shape that is not ``(n, 2)``, or scores of another length.

    >>> Links([(1, 0), (0, 0), (1, 0)])
    Links('0-0 1-0')
    """

    __slots__ = ("pairs", "scores")

    pairs: IntArray
    scores: FloatArray | None

    def __init__(
        self,
        pairs: Iterable[tuple[int, int]] | IntArray = (),
        scores: Sequence[float] | FloatArray | None = None,
    ) -> None:
        array = pairs if isinstance(pairs, np.ndarray) else np.array(list(pairs), dtype=np.int64)
        if array.size == 0:
            array = _EMPTY
        if array.ndim != 2 or array.shape[1] != 2:
            raise InputError(f"links need shape (n, 2), got {array.shape}")
        if array.size and (int(array.min()) < 0 or int(array.max()) > 2**31 - 1):
            raise InputError(f"a link index is out of bounds: {int(array.min())} or {int(array.max())}")
        array = array.astype(np.int32, copy=False)
        values = None if scores is None else np.asarray(scores, dtype=np.float32)
        if values is not None and values.shape != (len(array),):
            raise InputError(f"{len(array)} links but {values.shape} scores")
        if len(array) > 1:
            keys = (array[:, 1], array[:, 0]) if values is None else (-values, array[:, 1], array[:, 0])
            order = np.lexsort(keys)
            array = array[order]
            values = None if values is None else values[order]
            fresh = np.empty(len(array), dtype=bool)
            fresh[0] = True
            np.any(array[1:] != array[:-1], axis=1, out=fresh[1:])
            if not fresh.all():
                array = array[fresh]
                values = None if values is None else values[fresh]
        self.pairs = array
        self.scores = values

    @classmethod
    def presorted(cls, pairs: IntArray, scores: FloatArray | None = None) -> Links:
        """Links of an int32 array ``(n, 2)`` that is known to be sorted and unique; nothing is checked or copied."""
        links = cls.__new__(cls)
        links.pairs, links.scores = pairs, scores
        return links

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.bool_], scores: NDArray[np.floating] | None = None) -> Links:
        """Links of the true cells of ``matrix`` (source words x target words), scored from ``scores`` (same shape)."""
        pairs = np.argwhere(matrix).astype(np.int32)
        return cls.presorted(pairs, None if scores is None else scores[matrix].astype(np.float32))

    def matrix(self, source_length: int, target_length: int) -> BoolArray:
        """A boolean array ``(source_length, target_length)``, true where a link is.

        Raises:
            LinkRangeError: a link lies outside of it.
        """
        self.check_range(source_length, target_length)
        out = np.zeros((source_length, target_length), dtype=bool)
        out[self.pairs[:, 0], self.pairs[:, 1]] = True
        return out

    def check_range(self, source_length: int, target_length: int) -> None:
        """Raise :class:`LinkRangeError` if a link lies outside ``source_length`` x ``target_length`` words."""
        bad = (self.pairs[:, 0] >= source_length) | (self.pairs[:, 1] >= target_length)
        if bad.any():
            i, j = self.pairs[int(bad.argmax())]
            raise LinkRangeError(
                f"link {i}-{j} (0-based) is outside a pair of {source_length} source and {target_length} target words",
                remedy="Check the index base (0 or 1), the side order and that the sentences belong to the links",
            )

    def reverse(self) -> Links:
        """The same links seen from the other side: ``(j, i)``."""
        return Links(self.pairs[:, ::-1], self.scores)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.pairs[:, 0].tolist(), self.pairs[:, 1].tolist(), strict=True)

    def __len__(self) -> int:
        return len(self.pairs)

    def __contains__(self, pair: object) -> bool:
        return pair in set(self)

    def __eq__(self, other: object) -> bool:
        """Equal as sets of pairs; scores do not count."""
        return isinstance(other, Links) and np.array_equal(self.pairs, other.pairs)

    def __hash__(self) -> int:
        return hash(self.pairs.tobytes())

    def __or__(self, other: Links) -> Links:
        return Links(np.concatenate([self.pairs, other.pairs]))

    def __and__(self, other: Links) -> Links:
        return Links(sorted(set(self) & set(other)))

    def __sub__(self, other: Links) -> Links:
        return Links(sorted(set(self) - set(other)))

    def __le__(self, other: Links) -> bool:
        return set(self) <= set(other)

    def __str__(self) -> str:
        """The links in Pharaoh form, 0-based: ``0-0 1-2``."""
        return " ".join(f"{i}-{j}" for i, j in self)

    def __repr__(self) -> str:
        return f"Links({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (Links, (self.pairs, self.scores))


@dataclass(frozen=True)
class GoldLinks:
    """Gold links of one sentence pair: sure S and possible P, with S a subset of P (Och & Ney 2003).

    ``possible`` holds *all* of P. Sure links missing from it are added, so S is always a subset of P.
    """

    sure: Links
    possible: Links = field(default_factory=Links)

    def __post_init__(self) -> None:
        if not self.sure <= self.possible:
            object.__setattr__(self, "possible", self.sure | self.possible)

    @property
    def possible_only(self) -> Links:
        """P without S."""
        return self.possible - self.sure

    def reverse(self) -> GoldLinks:
        """The same gold seen from the other side."""
        return GoldLinks(self.sure.reverse(), self.possible.reverse())

    def __str__(self) -> str:
        """TALP form, 0-based: ``0-0`` is sure, ``0p1`` possible only."""
        sure = set(self.sure)
        return " ".join(f"{i}-{j}" if (i, j) in sure else f"{i}p{j}" for i, j in self.possible)


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


class LinkTable(Sequence[Links]):
    """The links of many sentence pairs in columns: what readers give and scoring takes.

    Row ``r`` says: in sentence pair ``sentence[r]`` source word ``source[r]`` is linked with target word ``target[r]``.
    Rows are sorted by (sentence, source, target) and unique. Indices are 0-based.

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

    __slots__ = ("ids", "offsets", "provenance", "scores", "sentence", "sentences", "source", "sure", "target")

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
        table.provenance = {}
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
        flat = np.concatenate(pairs) if pairs else _EMPTY
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
