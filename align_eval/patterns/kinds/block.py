"""Block: every query attends within its own block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, direction, distances, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("block")
@dataclass(frozen=True)
class Block(MaskKind):
    """Query i attends to key j iff floor(i / size) = floor(j / size), and j <= i if causal.

    The block-diagonal permutation of Qiu et al. 2020, *Blockwise Self-Attention for Long Document Understanding*,
    arXiv:1911.02972; also documents of one length that are packed into one context.

    Args:
        size: tokens of a block; the last one may be shorter.
        causal: no key after the query.
    """

    name: ClassVar[str] = "block"
    size: int = whole(8, 1, "tokens of a block")
    causal: bool = direction()

    def mask(self, n: int) -> BoolArray:
        block = np.arange(n) // self.size
        return (block[:, None] == block[None, :]) & ((distances(n) >= 0) | (not self.causal))

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        sums = [evidence.squares(size, causal) for size in range(1, evidence.n + 1)]
        return [cls(int(np.argmax(sums)) + 1, causal)]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        return cls(int(rng.integers(3, n // 2 + 1)), causal)
