"""Links where scores are above a threshold: ``threshold`` as they are, ``softmax`` and ``entmax`` as probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from align_eval.errors import InputError
from align_eval.extraction import Extraction, Extractor
from align_eval.registry import option

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


@dataclass(frozen=True)
class Softmax(Extractor, name="softmax"):
    """Link (i, j) iff P_ij > c and Q_ij > c, P the softmax of the dot products over columns, Q over rows.

    Dou & Neubig 2021, *awesome-align*, section 2.2: raw dot products, no cosine and no 1 / sqrt(d). The score of a link
    is the harmonic mean of P and Q at the temperature sqrt(length of the other side), as the published code gives
    probabilities.

    Args:
        threshold: c, 1e-3 in the paper.
    """

    needs: ClassVar[str] = "dot"
    threshold: float = option(1e-3, low=0, high=1)

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        filled = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        over_columns, over_rows = filled.softmax(dim=2), filled.softmax(dim=1)
        links = (over_columns > self.threshold) & (over_rows > self.threshold)
        return Extraction(links, link_probability(filled, mask))


@dataclass(frozen=True)
class Entmax(Extractor, name="entmax"):
    """Link (i, j) iff P_ij > c and Q_ij > c with the 1.5-entmax of the dot products over columns (P) and rows (Q).

    Dou & Neubig 2021, *awesome-align* (its alpha-entmax variant, c = 0); 1.5-entmax: Peters, Niculae & Martins 2019,
    algorithm 2. Link scores as in ``softmax``.

    Args:
        threshold: c, 0 in the paper: a link is where neither direction is exactly zero.
    """

    needs: ClassVar[str] = "dot"
    threshold: float = option(0.0, low=0, high=1)

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        links = (entmax15(scores, mask, 2) > self.threshold) & (entmax15(scores, mask, 1) > self.threshold)
        filled = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return Extraction(links, link_probability(filled, mask))


def link_probability(filled: Tensor, mask: Tensor) -> Tensor:
    """Harmonic mean of both directions' softmax at the temperature sqrt(length), ``(B, M, N)`` in 0..1."""
    rows = mask.any(dim=2).sum(dim=1).clamp(min=1).to(filled.dtype)[:, None, None]
    columns = mask.any(dim=1).sum(dim=1).clamp(min=1).to(filled.dtype)[:, None, None]
    forward = (filled / columns.sqrt()).softmax(dim=2)
    reverse = (filled / rows.sqrt()).softmax(dim=1)
    return 2 * forward * reverse / (forward + reverse + 1e-9)


def entmax15(scores: Tensor, mask: Tensor, dim: int) -> Tensor:
    """1.5-entmax along ``dim``: max(z/2 - tau, 0)^2 with tau such that it sums to 1 (Peters et al. 2019, algorithm 2).

    Cells where ``mask`` is false get 0 and do not count; a slice that is all false is all 0.
    """
    low = torch.finfo(scores.dtype).min / 8
    z = scores.masked_fill(~mask, low) / 2
    z = z - z.amax(dim=dim, keepdim=True)
    ordered = z.sort(dim=dim, descending=True).values
    shape = [1] * z.ndim
    shape[dim] = -1
    count = torch.arange(1, z.shape[dim] + 1, device=z.device, dtype=z.dtype).view(shape)
    mean = ordered.clamp(min=-1e4).cumsum(dim) / count
    mean_square = ordered.clamp(min=-1e4).square().cumsum(dim) / count
    spread = count * (mean_square - mean.square())
    tau = mean - ((1 - spread) / count).clamp(min=0).sqrt()
    support = (tau <= ordered).sum(dim=dim, keepdim=True)
    threshold = tau.gather(dim, support - 1)
    return (z - threshold).clamp(min=0).square().masked_fill(~mask, 0.0)
