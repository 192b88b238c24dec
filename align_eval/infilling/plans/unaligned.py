"""Words that gold links to nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.infilling.plans._classes import by_gold
from align_eval.infilling.plans.base import PLANS, MaskPlan, Variants, yes_or_no

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("unaligned")
@dataclasses.dataclass(frozen=True)
class Unaligned(MaskPlan):
    """Hide the words that have no gold link. No row of theirs has a gold peak to hit; entropy and recovery remain.

    Args:
        each: one variant a word instead of all together.
    """

    name = "unaligned"
    kinds: ClassVar[dict[str, Any]] = {"each": yes_or_no}
    each: bool = False

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return by_gold(pair, self.name, aligned=False, each=self.each)
