"""Words drawn at random."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.infilling.plans.base import PLANS, HowMany, MaskPlan, Variants, check_draws

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("random")
@dataclasses.dataclass(frozen=True)
class Random(MaskPlan):
    """Hide words drawn without replacement.

    Args:
        share: of the words that are hidden, above 0 and up to 1; 0.5 if neither is given.
        count: so many words instead; a pair that is shorter has no variant.
        draws: how many sets are drawn; those drawn twice count once.
    """

    name = "random"
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
        return [tuple(sorted(rng.permutation(words)[:size].tolist())) for _ in range(self.draws)]
