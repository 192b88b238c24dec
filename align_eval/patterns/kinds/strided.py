"""Strided: a band of the length of the stride, and each stride-th key before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("strided")
@dataclass(frozen=True)
class Strided(MaskKind):
    """Query i attends to key j iff 0 <= i - j <= stride, or i - j >= 0 is a multiple of the stride.

    Child et al. 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509, section 4.3: the union of
    A(1) = {t .. i}, t = max(0, i - l), and A(2) = {j : (i - j) mod l = 0}. In both directions ``|i - j|`` is taken.

    Args:
        stride: l of the paper.
        causal: no key after the query.
    """

    name: ClassVar[str] = "strided"
    stride: int = whole(8, 1, "length of the band, and step between the keys before it")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        apart = distances(n)
        far = np.abs(apart)
        return ((far <= self.stride) | (far % self.stride == 0)) & ((apart >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        gains = evidence.by_distance(causal)
        band = gains.cumsum()
        sums = [band[stride] + gains[2 * stride :: stride].sum() for stride in range(1, evidence.n)]
        return [cls(int(np.argmax(sums)) + 1, causal)] if sums else []

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(3, n // 3 + 1)), causal)
