"""Prefix: the beginning is seen by all in both directions, the rest is causal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, distances, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("prefix")
@dataclass(frozen=True)
class Prefix(MaskKind):
    """Query i attends to key j iff j <= i or j < length: PrefixLM.

    Raffel et al. 2020, arXiv:1910.10683, section 3.2.1 ("causal with prefix"); Dong et al. 2019, *UniLM*,
    arXiv:1905.03197 (sequence-to-sequence mask).

    Args:
        length: tokens of the prefix.
    """

    name: ClassVar[str] = "prefix"
    directions: ClassVar[tuple[bool, ...]] = (False,)
    length: int = whole(16, 1, "tokens that every query attends to")

    def mask(self, n: int) -> BoolArray:
        return (distances(n) >= 0) | (np.arange(n) < self.length)[None, :]

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        above = np.triu(evidence.gain, 1).sum(axis=0).cumsum()
        return [cls(int(above.argmax()) + 1)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(n // 4, 3 * n // 4 + 1)))
