"""Segments: every query attends within its own sentence or document, of whatever length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.errors import InputError
from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, log2_choose, numbers

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence

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
