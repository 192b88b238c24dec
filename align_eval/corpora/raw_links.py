"""Links as a file has them, and their translation into the package's own: 0-based, source first, sorted, unique."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import FormatError, IndexBaseError, LinkRangeError
from align_eval.links import BoolArray, FloatArray, IntArray
from align_eval.links.table import sort_unique

#: What stands in :attr:`RawLinks.first` or :attr:`RawLinks.second` for a side that is missing.
NULL = -1

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

    def line_of(self, row: int) -> int:
        """The line of the file, from 1, that holds link ``row``."""
        return int(self.lines[row]) if self.lines is not None else self.start_line + int(self.sentence[row])

    def is_sure(self, row: int) -> bool:
        """Whether link ``row`` is marked sure."""
        return self.sure is None or bool(self.sure[row])


@dataclass
class Columns:
    """Translated links of one block: sorted by (sentence, source, target), unique, 0-based."""

    sentence: IntArray
    source: IntArray
    target: IntArray
    sure: BoolArray
    scores: FloatArray | None
    sentences: int
    ids: Sequence[str] | None = None
    nulls: IntArray | None = None  # (4, n): see LinkTable.nulls


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


class Translator:
    """Translates blocks into 0-based, source-target :class:`Columns` under one base, order and policy.

    Args:
        base, order: of the file.
        nulls: ``"drop"`` or ``"raise"``: what to do with null links (a side missing, -1, or 0 in a 1-based file).
        out_of_range: ``"drop"`` or ``"raise"``: what to do with links outside of their sentence pair.
        show: gives a link as the file writes it.
        report: its counts are raised.
    """

    def __init__(self, base: int, order: str, nulls: str, out_of_range: str, show: Shower, report: LinkReport) -> None:
        self.base, self.order, self.nulls, self.out_of_range = base, order, nulls, out_of_range
        self.show, self.report = show, report

    def translate(self, raw: RawLinks, lengths: Lengths | None) -> Columns:
        """The block's links; ``lengths`` are the numbers of (source, target) words of its pairs, if known."""
        base = np.int32(self.base)
        source, target = (raw.first, raw.second) if self.order == "st" else (raw.second, raw.first)
        keep: BoolArray | None = None
        left_out: IntArray | None = None
        least = raw.least
        if least is None and len(source):
            least = min(int(source.min()), int(target.min()))
        if least is not None and least < self.base:
            null = (source < base) | (target < base)
            if self.base == 1 and least <= 0:
                nothing = (source == 0) & (target == 0)
                if nothing.any():
                    raise self._base_error(raw, int(nothing.argmax()))
            if self.nulls == "raise":
                raise self._null_error(raw, int(null.argmax()))
            self.report.nulls += int(null.sum())
            keep = ~null
            left_out = np.stack([raw.sentence[null], source[null] - base, target[null] - base, _marks(raw, null)])
        if lengths is not None and len(source):
            bad = (source - base >= lengths[0][raw.sentence]) | (target - base >= lengths[1][raw.sentence])
            if keep is not None:
                bad &= keep
            if bad.any():
                error = self._range_error(raw, int(bad.argmax()), lengths)
                if self.out_of_range == "raise":
                    raise error
                self.report.out_of_range += int(bad.sum())
                self.report.first_out_of_range = self.report.first_out_of_range or str(error)
                keep = ~bad if keep is None else keep & ~bad
        sentence, sure, scores = raw.sentence, raw.sure, raw.scores
        if keep is not None:
            sentence, source, target = sentence[keep], source[keep], target[keep]
            sure = None if sure is None else sure[keep]
            scores = None if scores is None else scores[keep]
        if self.base:
            source, target = source - base, target - base
        before = len(source)
        if raw.ascending and sure is not None and self.order == "st":  # and what was left out leaves them so
            columns = sentence, source, target, sure, scores
        else:
            columns = sort_unique(sentence, source, target, sure, scores)
        self.report.duplicates += before - len(columns[0])
        self.report.links += len(columns[0])
        self.report.sure += int(columns[3].sum())
        self.report.sentences += raw.sentences
        for text in raw.notes:
            self.report.note(text)
        return Columns(*columns, raw.sentences, raw.ids, left_out)

    def _base_error(self, raw: RawLinks, row: int) -> IndexBaseError:
        return IndexBaseError(
            f"link {self.show(0, 0, raw.is_sure(row))} joins nothing with nothing if indices count from 1, so they "
            "count from 0",
            file=self.report.file,
            line=raw.line_of(row),
            remedy="Pass base 0 (--gold-base, --hyp-base, --base or --base-in; base= in Python)",
        )

    def _null_error(self, raw: RawLinks, row: int) -> FormatError:
        shown = self.show(int(raw.first[row]), int(raw.second[row]), raw.is_sure(row))
        return FormatError(
            f"link {shown} joins a word with nothing (a null link, indices counted from {self.base})",
            file=self.report.file,
            line=raw.line_of(row),
            remedy="Leave null links out with nulls='drop' (--nulls drop)",
        )

    def _range_error(self, raw: RawLinks, row: int, lengths: Lengths) -> LinkRangeError:
        first, second, k = int(raw.first[row]), int(raw.second[row]), int(raw.sentence[row])
        source, target = (first, second) if self.order == "st" else (second, first)
        m, n = int(lengths[0][k]), int(lengths[1][k])
        likely = self._likely_cause(source, target, m, n)
        shown = self.show(first, second, raw.is_sure(row))
        return LinkRangeError(
            f"link {shown} (indices from {self.base}, {'source-target' if self.order == 'st' else 'target-source'}) "
            f"is outside its sentence pair of {m} source and {n} target words",
            file=self.report.file,
            line=raw.line_of(row),
            remedy=f"{likely}; to leave such links out pass out_of_range='drop' (--out-of-range drop)",
        )

    def _likely_cause(self, source: int, target: int, m: int, n: int) -> str:
        if self.base == 0 and source <= m and target <= n:
            return (
                "Probably the indices count from 1: pass base 1 (--gold-base, --hyp-base, --base or --base-in; base= "
                "in Python), or check that these are the right sentences"
            )
        a, b = source - self.base, target - self.base
        if a < n and b < m:
            return (
                "Probably the sides are swapped: pass order ts (--hyp-order or --order-in; order= in Python), or check "
                "that these are the right sentences"
            )
        return "Check that these are the right sentences, the base (0 or 1) and the order (st or ts)"


def _marks(raw: RawLinks, rows: BoolArray) -> IntArray:
    """1 for a sure link and 0 for a possible one, of some rows."""
    return np.ones(int(rows.sum()), dtype=np.int32) if raw.sure is None else raw.sure[rows].astype(np.int32)
