"""Mutual argmax (the intersection of both directions)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from align_eval.extraction.base import EXTRACTORS, Extraction, Extractor, column_maxima, row_maxima


@EXTRACTORS.register("argmax")
@dataclass(frozen=True)
class Argmax(Extractor):
    """Link (i, j) iff j = argmax_j S_ij and i = argmax_i S_ij.

    Jalili Sabet et al. 2020, *SimAlign*, section 2.2 "Argmax". Of equal cells the first counts. The score of a link is
    its cell.
    """

    name: ClassVar[str] = "argmax"

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        return Extraction(row_maxima(scores, mask) & column_maxima(scores, mask), scores)
