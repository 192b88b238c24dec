"""Each word in turn."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from align_eval.infilling.plans.base import PLANS, MaskPlan, Variants

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("each")
@dataclasses.dataclass(frozen=True)
class Each(MaskPlan):
    """One variant a word, with that word alone hidden."""

    name = "each"

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return [(word,) for word in range(len(pair.target))]
