"""Threshold: every cell above a value, which gives a word any number of links."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from align_eval.errors import InputError
from align_eval.extraction.base import Extraction, Extractor
from align_eval.options import option

SCALES = ("minmax", "none")


@dataclass(frozen=True)
class Threshold(Extractor, name="threshold"):
    """Link (i, j) iff S'_ij > c. A word may have several links or none; the score of a link is S'_ij.

    With ``scale=minmax`` S' = (S - min S) / (max S - min S) over the cells of the pair, so that one c suits scores
    of any range; a pair whose cells are all equal has no links. With ``scale=none`` S' = S: of attention, c is a share
    of the weight that a word gives out.

    Args:
        above: c.
        scale: ``minmax`` or ``none``.

    Raises:
        InputError: no such scale, or c is out of range.
    """

    above: float = 0.5
    scale: str = option("minmax", choices=SCALES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale == "minmax" and not 0 <= self.above <= 1:
            raise InputError(
                f"option above={self.above} of the method threshold is out of range",
                remedy="Give a number from 0 to 1, or the values as they are: threshold:scale=none",
            )

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        if self.scale == "minmax":
            low = scores.masked_fill(~mask, torch.inf).amin(dim=(1, 2), keepdim=True)
            high = scores.masked_fill(~mask, -torch.inf).amax(dim=(1, 2), keepdim=True)
            span = high - low
            scores = torch.where(span > 0, (scores - low) / torch.where(span > 0, span, 1.0), 0.0)
        return Extraction((scores > self.above) & mask, scores)
