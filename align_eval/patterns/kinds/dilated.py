"""Dilated sliding window: every query attends to each d-th key before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("dilated")
@dataclass(frozen=True)
class Dilated(MaskKind):
    """Query i attends to key j iff i - j is one of 0, d, 2d ... (width - 1) d, d the dilation.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (after the dilated convolutions of van den Oord et
    al. 2016, arXiv:1609.03499). In both directions ``|i - j|`` is taken.

    Args:
        dilation: from one key to the next.
        width: keys of a query on one side, its own counted.
        causal: no key after the query.
    """

    name: ClassVar[str] = "dilated"
    dilation: int = whole(2, 1, "from one key to the next")
    width: int = whole(8, 1, "keys of a query on one side, its own counted")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        apart = distances(n)
        far = np.abs(apart)
        return (far % self.dilation == 0) & (far < self.dilation * self.width) & ((apart >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        gains = evidence.by_distance(causal)
        best: tuple[int, int, int] | None = None
        for dilation in range(2, evidence.n):  # a dilation of 1 is a sliding window
            sums = gains[::dilation].cumsum()
            width = int(sums.argmax())
            if best is None or sums[width] > best[0]:
                best = int(sums[width]), dilation, width + 1
        return [] if best is None else [cls(best[1], best[2], causal)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        dilation = int(rng.integers(2, max(3, n // 8) + 1))
        return cls(dilation, int(rng.integers(3, n // dilation + 1)), causal)
