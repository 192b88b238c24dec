"""Words that carry content."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.infilling.plans._classes import by_class
from align_eval.infilling.plans.base import PLANS, MaskPlan, Variants, yes_or_no

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


@PLANS.register("content")
@dataclasses.dataclass(frozen=True)
class Content(MaskPlan):
    """Hide the words that are neither in the language's list of closed-class words nor punctuation.

    Args:
        language: of the target side, ISO 639-1; see :func:`align_eval.infilling.word_lists.list_languages`.
        each: one variant a word instead of all together.
    """

    name = "content"
    kinds: ClassVar[dict[str, Any]] = {"language": str, "each": yes_or_no}
    language: str = ""
    each: bool = False

    def variants(self, pair: SentencePair, rng: np.random.Generator) -> Variants:
        return by_class(pair, self.language, self.name, function=False, each=self.each)
