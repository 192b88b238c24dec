"""Softmax threshold: both directions' probabilities above a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from align_eval.extraction.base import EXTRACTORS, Extraction, Extractor
from align_eval.options import option


@EXTRACTORS.register("softmax")
@dataclass(frozen=True)
class Softmax(Extractor):
    """Link (i, j) iff P_ij > c and Q_ij > c, P the softmax of the dot products over columns, Q over rows.

    Dou & Neubig 2021, *awesome-align*, section 2.2: raw dot products, no cosine and no 1 / sqrt(d). The score of a link
    is the harmonic mean of P and Q at the temperature sqrt(length of the other side), as the published code gives
    probabilities.

    Args:
        threshold: c, 1e-3 in the paper.
    """

    name: ClassVar[str] = "softmax"
    needs: ClassVar[str] = "dot"
    threshold: float = option(1e-3, low=0, high=1)

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        filled = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        over_columns, over_rows = filled.softmax(dim=2), filled.softmax(dim=1)
        links = (over_columns > self.threshold) & (over_rows > self.threshold)
        return Extraction(links, link_probability(filled, mask))


def link_probability(filled: Tensor, mask: Tensor) -> Tensor:
    """Harmonic mean of both directions' softmax at the temperature sqrt(length), ``(B, M, N)`` in 0..1."""
    rows = mask.any(dim=2).sum(dim=1).clamp(min=1).to(filled.dtype)[:, None, None]
    columns = mask.any(dim=1).sum(dim=1).clamp(min=1).to(filled.dtype)[:, None, None]
    forward = (filled / columns.sqrt()).softmax(dim=2)
    reverse = (filled / rows.sqrt()).softmax(dim=1)
    return 2 * forward * reverse / (forward + reverse + 1e-9)
