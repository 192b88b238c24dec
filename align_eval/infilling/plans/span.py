"""Words that stand together."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.infilling.plans.base import PLANS, HowMany, MaskPlan, Variants, check_draws

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("span")
@dataclasses.dataclass(frozen=True)
class Span(MaskPlan):
    """Hide one contiguous span, at a place that is drawn: every place is as likely.

    Args:
        share: of the words that are hidden, above 0 and up to 1; 0.5 if neither is given.
        count: so many words instead; a pair that is shorter has no variant.
        draws: how many spans are drawn; those drawn twice count once.
    """

    name = "span"
    kinds: ClassVar[dict[str, Any]] = {"share": float, "count": int, "draws": int}
    share: float | None = None
    count: int | None = None
    draws: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", HowMany(self.share, self.count, self.name).share)
        check_draws(self.draws, self.name)

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        words = len(pair.target)
        size = HowMany(self.share, self.count, self.name).of(words)
        if not size:
            return []
        starts = rng.integers(words - size + 1, size=self.draws).tolist()
        return [tuple(range(start, start + size)) for start in starts]
