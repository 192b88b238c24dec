"""The links of many sentence pairs in columns: what readers give and scoring takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError, LengthMismatchError, LinkRangeError
from align_eval.frames import frame
from align_eval.links import BoolArray, FloatArray, GoldLinks, IntArray, Links
from align_eval.links.columns import int32, number_places, offsets_of, sort_unique

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
        "ids", "nulls", "offsets", "provenance", "scores", "sentence", "sentences", "source", "sure", "target",
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
        self.offsets: NDArray[np.int64] = offsets_of(self.sentence, sentences)

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
        table.provenance, table.nulls = {}, None
        table.offsets = offsets_of(sentence, sentences)
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
        table = LinkTable(
            sentence, source, target, self.sentences, np.concatenate([self.sure, nulls[3] > 0]), ids=self.ids
        )
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
