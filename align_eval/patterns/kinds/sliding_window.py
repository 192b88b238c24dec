"""Sliding window: every query attends to the keys next to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("sliding-window")
@dataclass(frozen=True)
class SlidingWindow(MaskKind):
    """Query i attends to key j iff 0 <= i - j < width; in both directions iff ``|i - j|`` < width.

    Beltagy et al. 2020, *Longformer*, arXiv:2004.05150, section 3.1 (whose w is 2 width - 1 here); the causal form as
    in Mistral 7B (Jiang et al. 2023, arXiv:2310.06825, section 2), which counts the query's own key in the width.

    Args:
        width: keys of a query on one side, its own counted.
        causal: no key after the query.
    """

    name: ClassVar[str] = "sliding-window"
    width: int = whole(16, 1, "keys of a query on one side, its own counted")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        apart = distances(n)
        return (np.abs(apart) < self.width) & ((apart >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        return [cls(int(evidence.by_distance(causal).cumsum().argmax()) + 1, causal)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(2, n // 2 + 1)), causal)
