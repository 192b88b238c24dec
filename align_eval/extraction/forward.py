"""Each source word to its best target word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from align_eval.extraction.base import EXTRACTORS, Extraction, Extractor, row_maxima


@EXTRACTORS.register("forward")
@dataclass(frozen=True)
class Forward(Extractor):
    """Link (i, j) iff j = argmax_j S_ij: every source word has one link. The score of a link is its cell."""

    name: ClassVar[str] = "forward"

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        return Extraction(row_maxima(scores, mask), scores)
