"""Fixed: the own block, and the last keys of each block for all that come after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from align_eval.patterns.base import MASK_KINDS, MaskKind, distances, whole

if TYPE_CHECKING:
    from align_eval.patterns.base import BoolArray
    from align_eval.patterns.evidence import Evidence


@MASK_KINDS.register("fixed")
@dataclass(frozen=True)
class Fixed(MaskKind):
    """Query i attends to key j <= i iff both are in one block, or j mod size >= size - summary.

    Child et al. 2019, *Generating Long Sequences with Sparse Transformers*, arXiv:1904.10509, section 4.3: the union of
    A(1) = {j : floor(j / l) = floor(i / l)} and A(2) = {j : j mod l in {t .. l - 1}}, t = l - c.

    Args:
        size: l of the paper, tokens of a block.
        summary: c of the paper, keys at the end of each block that all later queries attend to.

    Raises:
        InputError: ``summary`` is over ``size``.
    """

    name: ClassVar[str] = "fixed"
    directions: ClassVar[tuple[bool, ...]] = (True,)
    size: int = whole(8, 1, "tokens of a block")
    summary: int = whole(1, 1, "keys at the end of a block that all later queries attend to")

    def mask(self, n: int) -> BoolArray:
        place = np.arange(n)
        block = place // self.size
        kept = place % self.size >= self.size - self.summary
        return ((block[:, None] == block[None, :]) | kept[None, :]) & (distances(n) >= 0)

    @classmethod
    def fit(cls, evidence: Evidence, causal: bool) -> Iterable[MaskKind]:
        n, lower = evidence.n, evidence.lower
        below = np.pad(lower[::-1].cumsum(axis=0)[::-1], ((0, 1), (0, 0)))  # (n + 1, n): sum of rows >= i
        column = np.arange(n)
        best: tuple[int, int, int] | None = None
        for size in range(2, n):
            after = below[np.minimum((column // size + 1) * size, n), column]  # the column outside of its own block
            by_place = np.bincount(column % size, weights=after, minlength=size)[::-1].cumsum()[:-1]
            summary = int(by_place.argmax())
            total = evidence.squares(size, True) + int(by_place[summary])
            if best is None or total > best[0]:
                best = total, size, summary + 1
        return [] if best is None else [cls(best[1], best[2])]

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, causal: bool) -> MaskKind:
        size = int(rng.integers(4, n // 2 + 1))
        return cls(size, int(rng.integers(1, max(1, size // 4) + 1)))
