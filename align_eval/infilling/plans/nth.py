"""Every n-th word."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.errors import InputError
from align_eval.infilling.plans.base import PLANS, MaskPlan, Variants

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("nth")
@dataclasses.dataclass(frozen=True)
class Nth(MaskPlan):
    """Hide every n-th word.

    Args:
        n: 3 hides one word and leaves two.
        offset: how many words stand before the first hidden one, 0 to n - 1.
    """

    name = "nth"
    kinds: ClassVar[dict[str, Any]] = {"n": int, "offset": int}
    n: int = 3
    offset: int = 0

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 <= self.offset < self.n:
            raise InputError(
                f"n={self.n} with offset={self.offset} is no mask plan",
                remedy="Write nth:n=3,offset=0, with an offset from 0 to n - 1",
            )

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return [tuple(range(self.offset, len(pair.target), self.n))]
