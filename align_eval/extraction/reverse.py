"""Each target word to its best source word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from align_eval.extraction.base import EXTRACTORS, Extraction, Extractor, column_maxima


@EXTRACTORS.register("reverse")
@dataclass(frozen=True)
class Reverse(Extractor):
    """Link (i, j) iff i = argmax_i S_ij: every target word has one link. The score of a link is its cell."""

    name: ClassVar[str] = "reverse"

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        return Extraction(column_maxima(scores, mask), scores)
