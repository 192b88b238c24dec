"""Masked rows: some queries attend to little, the others to all that they may; horizontal cuts."""

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
