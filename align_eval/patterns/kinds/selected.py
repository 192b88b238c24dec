"""Mask kinds that name their lines: masked rows, segments, verticals and slashes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.errors import InputError
from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, log2_choose, numbers, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence

MOST_KEPT = 16
"""The most keys of a masked row that the fit tries."""


@MASK_KINDS.register("masked-rows")
@dataclass(frozen=True)
class MaskedRows(MaskKind):
    """Masked rows attend to their last ``keep`` keys, themselves counted; the others are causal, or see everything.

    The rows of queries that are cut off from their context, as padded or hidden tokens are, or the tokens of an
    intervention that blocks attention out of chosen positions (Geva et al. 2023, *Dissecting Recall of Factual
    Associations in Auto-Regressive Language Models*, arXiv:2304.14767, section 4, attention knockout).

    Args:
        period: row i is masked iff i and ``offset`` leave the same rest by it.
        offset: the first masked row, counted from 0; -1 masks the last one of each period.
        rows: the masked rows themselves, counted from 0, in place of a period.
        keep: keys that a masked row attends to, its own counted; 0: none.
        causal: no key after the query.

    Raises:
        InputError: a row outside of the context.
    """

    name: ClassVar[str] = "masked-rows"
    period: int = whole(8, 2, "from one masked row to the next")
    offset: int = whole(-1, -1, "the first masked row, counted from 0; -1: the last one of each period")
    rows: tuple[int, ...] = numbers((), 0, "the masked rows, counted from 0, in place of a period")
    keep: int = whole(1, 0, "keys that a masked row attends to, its own counted")
    causal: bool = direction()

    def masked(self, n: int) -> BoolArray:
        """``(n,)``: which rows are masked.

        Raises:
            InputError: a row outside of the context.
        """
        if not self.rows:
            found: BoolArray = (np.arange(n) - self.offset) % self.period == 0
            return found
        if max(self.rows) >= n:
            raise InputError(f"row {max(self.rows)} of {n}", remedy=f"Rows are counted from 0 to {n - 1}")
        return np.isin(np.arange(n), self.rows)

    def mask(self, n: int) -> BoolArray:
        apart = distances(n)
        seen = (apart >= 0) | (not self.causal)
        return np.where(self.masked(n)[:, None], (apart >= 0) & (apart < self.keep), seen)

    def bits(self, n: int) -> float:
        """log2 n each for what is kept and for period and offset, or for the number of rows and their choice."""
        if self.rows:
            return 2 * math.log2(n) + log2_choose(n, len(set(self.rows)))
        return 3 * math.log2(n)

    def describe(self) -> str:
        which = f"every {self.period} from row {self.offset % self.period}"
        if self.rows:
            which = f"{len(set(self.rows))} of them"
        both = "" if self.causal else ", both directions"
        return f"masked rows ({which}, {self.keep} key{'' if self.keep == 1 else 's'} kept{both})"

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterator[MaskKind]:
        n, gains = evidence.n, evidence.gains(causal)
        plain = gains.sum(axis=1)
        kept = np.zeros((min(MOST_KEPT, n) + 1, n), dtype=np.int64)
        for keep in range(1, len(kept)):
            kept[keep] = kept[keep - 1]
            kept[keep, keep - 1 :] += np.diagonal(gains, -(keep - 1))
        better = kept - plain  # (keep, row): what masking that row gains
        best: tuple[int, int, int, int] | None = None
        for period in range(2, n // 2 + 1):
            padded = np.pad(better, ((0, 0), (0, -n % period)))
            sums = padded.reshape(len(kept), -1, period).sum(axis=1)
            kept_keys, offset = divmod(int(sums.argmax()), period)
            if best is None or sums[kept_keys, offset] > best[0]:
                best = int(sums[kept_keys, offset]), period, offset, kept_keys
        if best is not None:
            yield cls(best[1], -1 if best[2] == best[1] - 1 else best[2], (), best[3], causal)
        most = n // 2  # more would be another kind, with some rows let free
        if not most:
            return
        order = np.argsort(-better, axis=1, kind="stable")[:, :most]
        sums = np.take_along_axis(better, order, axis=1).cumsum(axis=1) + plain.sum()
        price = np.array([log2_choose(n, count) for count in range(1, most + 1)])
        kept_keys, last = divmod(int((evidence.residual_bits(sums) + price).argmin()), most)
        rows = sorted(int(row) for row in order[kept_keys, : last + 1])
        yield cls(rows=tuple(rows), keep=kept_keys, causal=causal)

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        keep = int(rng.integers(0, 3))
        if rng.random() < 0.5:
            rows = rng.choice(np.arange(n // 4, n), size=max(3, n // 10), replace=False)
            return cls(rows=tuple(sorted(int(row) for row in rows)), keep=keep, causal=causal)
        period = int(rng.integers(3, n // 4 + 1))
        return cls(period, int(rng.integers(-1, period - 1)), (), keep, causal)


PENALTIES = (0, 1, 2, 4, 8, 16)
"""Cells that a segment more must explain, in turn; which number of segments is right is told by its bits."""


@MASK_KINDS.register("segments", "documents")
@dataclass(frozen=True)
class Segments(MaskKind):
    """Query i attends to key j iff no segment begins after the one and up to the other, and j <= i if causal.

    Documents packed into one context that do not see each other (Krell et al. 2021, *Efficient Sequence Packing without
    Cross-contamination*, arXiv:2107.02027, section 3.2.2); also heads that stay within a sentence.

    Args:
        starts: where the second segment begins, the third ..., counted from 0; the first one begins at 0.
        causal: no key after the query.

    Raises:
        InputError: a segment that begins outside of the context.
    """

    name: ClassVar[str] = "segments"
    starts: tuple[int, ...] = numbers((8, 24, 40), 1, "where the second segment begins, the third ...")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        if max(self.starts, default=0) >= n:
            raise InputError(
                f"a segment that begins at {max(self.starts)} of {n}",
                remedy=f"Segments begin from 1 to {n - 1}; write for example segments:starts={max(1, n // 2)}",
            )
        segment = np.searchsorted(np.unique(self.starts), np.arange(n), side="right")
        return (segment[:, None] == segment[None, :]) & ((distances(n) >= 0) | (not self.causal))

    def bits(self, n: int) -> float:
        """log2 n for the number of segments, and log2 of the ways to choose where they begin."""
        return math.log2(n) + log2_choose(n - 1, len(set(self.starts)))

    def describe(self) -> str:
        starts = sorted(set(self.starts))
        where = f" from {', '.join(map(str, starts))}" if 0 < len(starts) <= 6 else ""
        return f"segments ({len(starts) + 1} of them{where}{'' if self.causal else ', both directions'})"

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterator[MaskKind]:
        """The best segments by dynamic programming over their ends, one candidate a penalty."""
        n, area = evidence.n, evidence.area(causal)
        corner = area.diagonal()
        found: set[tuple[int, ...]] = set()
        for penalty in PENALTIES:
            best = np.zeros(n + 1, dtype=np.int64)  # of the tokens before each place
            begin = np.zeros(n + 1, dtype=np.int64)  # where the last segment before it begins
            for end in range(1, n + 1):
                square = corner[end] - area[:end, end] - area[end, :end] + corner[:end]
                totals = best[:end] + square - penalty
                begin[end] = int(totals.argmax())
                best[end] = totals[begin[end]]
            starts = []
            place = int(begin[n])
            while place:
                starts.append(place)
                place = int(begin[place])
            found.add(tuple(reversed(starts)))
        for segments in sorted(found):
            yield cls(segments, causal)

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        count = int(rng.integers(2, max(3, min(6, n // 8)) + 1))
        while True:
            starts = np.sort(rng.choice(np.arange(2, n - 1), size=count - 1, replace=False))
            lengths = np.diff([0, *starts, n])
            if lengths.min() > 1 and (np.ptp(lengths[:-1]) or lengths[-1] > lengths[0]):  # not blocks of one size
                return cls(tuple(int(start) for start in starts), causal)


@MASK_KINDS.register("vertical-slash")
@dataclass(frozen=True)
class VerticalSlash(MaskKind):
    """Query i attends to key j iff j is one of ``columns``, or i - j one of ``slashes``; j <= i if causal.

    Jiang et al. 2024, *MInference 1.0*, arXiv:2407.02490, section 3.1, which finds it in most heads of long-context
    models. It is the most flexible kind here: windows, sinks and dilations are special cases, so a fit pays for every
    line.

    Args:
        columns: keys that every query attends to, counted from 0.
        slashes: distances i - j, 0 or more; in both directions ``|i - j|`` is taken.
        causal: no key after the query.

    Raises:
        InputError: a line outside of the context.
    """

    name: ClassVar[str] = "vertical-slash"
    columns: tuple[int, ...] = numbers((0,), 0, "keys that every query attends to, counted from 0")
    slashes: tuple[int, ...] = numbers((0, 1), 0, "distances from query to key")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        last = max((*self.columns, *self.slashes), default=0)
        if last >= n:
            raise InputError(f"line {last} of {n}", remedy=f"Columns and slashes are counted from 0 to {n - 1}")
        apart = distances(n)
        lines = np.isin(np.abs(apart), self.slashes) | np.isin(np.arange(n), self.columns)[None, :]
        return lines & ((apart >= 0) | (not self.causal))

    def bits(self, n: int) -> float:
        """log2 n for each of the two numbers of lines, and log2 of the ways to choose the lines."""
        lines = log2_choose(n, len(set(self.columns))) + log2_choose(n, len(set(self.slashes)))
        return 2 * math.log2(n) + lines

    def describe(self) -> str:
        both = "" if self.causal else ", both directions"
        return f"vertical slash ({_lines(self.columns, 'column')}, {_lines(self.slashes, 'slash')}{both})"

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterator[MaskKind]:
        """One line after another, that which gains most first; as many as pay for themselves."""
        n = evidence.n
        free = evidence.gains(causal).copy()
        place = np.arange(n)
        far = np.abs(distances(n))
        by_column, by_slash = free.sum(axis=0), evidence.by_distance(causal).copy()
        columns: list[int] = []
        slashes: list[int] = []
        total, best = 0, (math.inf, 0, 0)
        while True:
            column, slash = int(by_column.argmax()), int(by_slash.argmax())
            vertical = by_column[column] >= by_slash[slash]
            gained = int(by_column[column] if vertical else by_slash[slash])
            if gained <= 0:
                break
            total += gained
            if vertical:
                columns.append(column)
                rows, cols = place, np.full(n, column)
            else:
                slashes.append(slash)
                rows, cols = place[slash:], place[: n - slash]
                if slash and not causal:
                    rows, cols = np.concatenate([rows, cols]), np.concatenate([cols, rows])
            taken = free[rows, cols]
            np.subtract.at(by_column, cols, taken)
            np.subtract.at(by_slash, far[rows, cols], taken)
            free[rows, cols] = 0
            lines = log2_choose(n, len(columns)) + log2_choose(n, len(slashes))
            bits = float(evidence.residual_bits(total)) + lines
            if bits < best[0]:
                best = bits, len(columns), len(slashes)
        columns, slashes = columns[: best[1]], slashes[: best[2]]
        if columns or slashes:
            yield cls(tuple(sorted(columns)), tuple(sorted(slashes)), causal)

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        lines = np.arange(2, n // 2)
        columns = rng.choice(lines, size=int(rng.integers(1, 5)), replace=False)
        slashes = rng.choice(lines, size=int(rng.integers(1, 5)), replace=False)
        return cls(tuple(sorted(int(c) for c in columns)), (0, *sorted(int(s) for s in slashes)), causal)


def _lines(places: tuple[int, ...], what: str) -> str:
    plural = f"{what}es" if what.endswith("sh") else f"{what}s"
    if len(places) > 6:
        return f"{len(places)} {plural}"
    return f"{what if len(places) == 1 else plural} {'+'.join(map(str, places))}" if places else f"no {what}"
