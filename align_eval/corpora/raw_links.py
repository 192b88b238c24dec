"""Links as a file has them: base and order as written, in blocks of consecutive sentence pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align_eval.links import BoolArray, FloatArray, IntArray

Lengths = tuple[NDArray[np.integer], NDArray[np.integer]]

#: ``(first, second, sure)`` to the link as its format writes it.
Shower = Callable[[int, int, bool], str]


@dataclass
class RawLinks:
    """The links of a run of consecutive sentence pairs, as written in the file.

    Args:
        sentence: ``(rows,)`` the sentence pair of a link, counted from 0 at the start of this block; never decreasing.
        first, second: ``(rows,)`` the two indices as written (base and order as in the file); -1 is a missing side.
        sentences: number of sentence pairs in the block.
        sure: ``(rows,)`` false for possible links; ``None``: all sure.
        scores: ``(rows,)`` or ``None``.
        start_line: the line of the block's first sentence pair, where a line is a sentence pair.
        lines: ``(rows,)`` the line of each link, where a line is not a sentence pair.
        lengths: numbers of words of the first and of the second side, ``(sentences,)`` each, if the file says them.
        ids: the names of the sentence pairs, if the file has them.
        ascending: the links of each sentence pair are known to be sorted by (first, second) and unique.
        least: the lowest index of both sides, if it is known.
        notes: what a person should know, see :class:`LinkReport`.
    """

    sentence: IntArray
    first: IntArray
    second: IntArray
    sentences: int
    sure: BoolArray | None = None
    scores: FloatArray | None = None
    start_line: int = 1
    lines: NDArray[np.integer] | None = None
    lengths: Lengths | None = None
    ids: Sequence[str] | None = None
    ascending: bool = False
    least: int | None = None
    notes: Sequence[str] = ()

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[Any]], counts: Sequence[int], **more: Any) -> RawLinks:
        """Links of ``(first, second, ...)``, of which each sentence pair has ``counts``; ``more`` fields."""
        flat = np.array([row[:2] for row in rows], dtype=np.int32).reshape(-1, 2)
        sentence = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        return cls(sentence, flat[:, 0].copy(), flat[:, 1].copy(), len(counts), **more)

    def line_of(self, row: int) -> int:
        """The line of the file, from 1, that holds link ``row``."""
        return int(self.lines[row]) if self.lines is not None else self.start_line + int(self.sentence[row])

    def all_lines(self) -> NDArray[np.int64]:
        """The line of each link."""
        return self.sentence + np.int64(self.start_line) if self.lines is None else self.lines.astype(np.int64)

    def is_sure(self, row: int) -> bool:
        """Whether link ``row`` is marked sure."""
        return self.sure is None or bool(self.sure[row])

    def take(self, rows: slice | NDArray[np.integer], **changes: Any) -> RawLinks:
        """Some of its links, in this order; ``changes`` are other fields."""
        columns = {name: getattr(self, name) for name in ("sentence", "first", "second", "sure", "scores", "lines")}
        taken = {name: None if column is None else column[rows] for name, column in columns.items()}
        return replace(self, **{**taken, **changes})

    def head(self, sentences: int) -> RawLinks:
        """Its first sentence pairs."""
        return self.take(
            slice(int(np.searchsorted(self.sentence, np.int32(sentences)))), sentences=min(sentences, self.sentences),
            lengths=None if self.lengths is None else (self.lengths[0][:sentences], self.lengths[1][:sentences]),
            ids=None if self.ids is None else self.ids[:sentences], least=None, notes=(),
        )  # fmt: skip

    def moved(self, places: NDArray[np.intp], ids: Sequence[str]) -> RawLinks:
        """Its ``k``-th sentence pair at ``places[k]`` among ``ids``; those without any are without links."""
        lengths = None
        if self.lengths is not None and len(places) == len(ids):
            back = np.argsort(places)
            lengths = (self.lengths[0][back], self.lengths[1][back])
        sentence = places.astype(np.int32)[self.sentence]
        order = np.argsort(sentence, kind="stable")
        raw = replace(self, sentence=sentence, lines=self.all_lines())
        return raw.take(order, sentences=len(ids), lengths=lengths, ids=list(ids), ascending=False)


def join_raw(parts: Sequence[RawLinks]) -> RawLinks:
    """Consecutive blocks of one file as one, its links as written; each with its line."""
    if len(parts) == 1:
        return parts[0]
    first = np.cumsum([0, *(part.sentences for part in parts)]).astype(np.int32)
    filled = [part for part in parts if len(part.first)]
    scores = [part.scores for part in filled if part.scores is not None]
    lengths = [part.lengths for part in parts if part.lengths is not None]
    sides = tuple(np.concatenate(side) for side in zip(*lengths, strict=True))
    return RawLinks(
        np.concatenate([part.sentence + begin for part, begin in zip(parts, first, strict=False)]),
        np.concatenate([part.first for part in parts]), np.concatenate([part.second for part in parts]), int(first[-1]),
        np.concatenate([np.ones(len(part.first), dtype=bool) if part.sure is None else part.sure for part in parts]),
        np.concatenate(scores) if filled and len(scores) == len(filled) else None,
        lines=np.concatenate([part.all_lines() for part in parts]),
        lengths=(sides[0], sides[1]) if len(lengths) == len(parts) and lengths else None,
        ids=[name for part in parts for name in part.ids or ()], notes=[text for part in parts for text in part.notes],
    )  # fmt: skip


@dataclass
class LinkReport:
    """What reading a file of links found and did.

    Attributes:
        file, format: what was read, and as what.
        base, order: the index base (0 or 1) and side order (``"st"`` or ``"ts"``) that it was read with.
        base_from, order_from: where they come from: ``"given"``, ``"format"``, the note beside it or its evidence.
        sentences, links, sure: counts of the table that came out.
        nulls: null links left out (policy ``"drop"``). Many of them speak against a stated base 1.
        out_of_range: links outside their sentence pair left out (``out_of_range="drop"``).
        duplicates: links that were given more than once.
        first_out_of_range: the message of the first link out of range, if any was left out.
        notes: what else a person should know, one clause each: what was left out, how sentence pairs were matched.
    """

    file: str
    format: str
    base: int = 0
    order: str = "st"
    base_from: str = "given"
    order_from: str = "given"
    sentences: int = 0
    links: int = 0
    sure: int = 0
    nulls: int = 0
    out_of_range: int = 0
    duplicates: int = 0
    first_out_of_range: str = field(default="", repr=False)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add ``text`` to the notes, once."""
        if text not in self.notes:
            self.notes.append(text)
