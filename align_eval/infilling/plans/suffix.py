"""The last words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.infilling.plans.base import PLANS, HowMany, MaskPlan, Variants

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("suffix")
@dataclasses.dataclass(frozen=True)
class Suffix(MaskPlan):
    """Hide the last words, as a model does that drafts several words at once (Xia et al. 2023).

    Args:
        share: of the words that are hidden, above 0 and up to 1; 0.5 if neither is given.
        count: so many words instead; a pair that is shorter has no variant. ``suffix:5`` is ``suffix:count=5``.
    """

    name = "suffix"
    kinds: ClassVar[dict[str, Any]] = {"share": float, "count": int}
    share: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", HowMany(self.share, self.count, self.name).share)

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        words = len(pair.target)
        return [tuple(range(words - HowMany(self.share, self.count, self.name).of(words), words))]

    @classmethod
    def from_options(cls, text: str) -> MaskPlan:
        return super().from_options(f"count={text}" if text.strip().isdecimal() else text)
