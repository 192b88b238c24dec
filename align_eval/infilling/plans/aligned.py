"""Words that gold links to the source."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.infilling.plans._classes import by_gold
from align_eval.infilling.plans.base import PLANS, MaskPlan, Variants, yes_or_no

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("aligned")
@dataclasses.dataclass(frozen=True)
class Aligned(MaskPlan):
    """Hide the words that have a gold link, sure or possible.

    Args:
        each: one variant a word instead of all together.
    """

    name = "aligned"
    kinds: ClassVar[dict[str, Any]] = {"each": yes_or_no}
    each: bool = False

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return by_gold(pair, self.name, aligned=True, each=self.each)
