"""Causal: every query attends to itself and to all before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, distances

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("causal")
@dataclass(frozen=True)
class Causal(MaskKind):
    """Query i attends to key j iff j <= i (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3, the decoder)."""

    name: ClassVar[str] = "causal"
    directions: ClassVar[tuple[bool, ...]] = (True,)

    def mask(self, n: int) -> BoolArray:
        return distances(n) >= 0

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        return [cls()]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls()
