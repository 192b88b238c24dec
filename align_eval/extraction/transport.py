"""Optimal transport: links where a transport plan between the words carries weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from align_eval.extraction import sinkhorn
from align_eval.extraction.base import EXTRACTORS, Extraction, Extractor, column_maxima, row_maxima
from align_eval.models.double import widest
from align_eval.options import option

KINDS = ("balanced", "partial", "unbalanced", "xlm-align")


@EXTRACTORS.register("transport")
@dataclass(frozen=True)
class Transport(Extractor):
    """Link (i, j) iff the min-max scaled transport plan P_ij > threshold.

    ``balanced``, ``partial`` and ``unbalanced``: Arase, Bao & Yokoi 2023, *Unbalanced Optimal Transport for Unbalanced
    Word Alignment*: entropic transport on the cost 1 - minmax(S), uniform marginals. ``xlm-align``: Chi et al. 2021,
    *XLM-Align*, two Sinkhorn iterations on K = max(h_i . h_j, 1e-6), then mutual argmax (no threshold). The score of a
    link is its cell of the scaled plan (``xlm-align``: geometric mean of the row- and the column-normalised kernel).

    Args:
        kind: which transport.
        threshold: of the min-max scaled plan, 0..1. The paper tunes it on development data; 0.4 is
            best on four XL-WA development sets (``experiments/transport-threshold.toml``).
        eps: entropic regularisation, 0.1 in the paper.
        mass: of ``partial``: share of the mass that is moved, 0..1.
        tau: of ``unbalanced``: weight of the marginals' Kullback-Leibler terms.
    """

    name: ClassVar[str] = "transport"
    kind: str = option("balanced", choices=KINDS)
    threshold: float = option(0.4, low=0, high=1)
    eps: float = option(0.1, low=sinkhorn.SMALLEST_EPS)
    mass: float = option(0.8, above=0, high=1)
    tau: float = option(0.5, above=0)

    @property
    def needs(self) -> str:  # type: ignore[override]
        return "dot" if self.kind == "xlm-align" else "similarity"

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        if self.kind == "xlm-align":
            wide = widest(scores)
            by_row, by_column = sinkhorn.alternate(wide.clamp(min=1e-6) * mask.to(wide.device))
            product = (by_row * by_column).sqrt().to(scores.dtype).to(scores.device)
            links = row_maxima(by_row, mask.to(wide.device)) & column_maxima(by_column, mask.to(wide.device))
            return Extraction(links.to(scores.device), product)
        plan = self.plan(scores, mask)
        scaled = _minmax(plan, mask.to(plan.device))
        return Extraction((scaled > self.threshold).to(mask.device) & mask, scaled.to(scores.dtype).to(scores.device))

    def plan(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The entropic transport plan ``(B, M, N)`` in float64; zero in the padding. Not for ``xlm-align``."""
        wide = widest(scores)
        mask = mask.to(wide.device)
        cost = 1 - _minmax(wide, mask)
        rows, columns = mask.any(dim=2).to(wide.dtype), mask.any(dim=1).to(wide.dtype)
        a = rows / rows.sum(dim=1, keepdim=True).clamp(min=1)
        b = columns / columns.sum(dim=1, keepdim=True).clamp(min=1)
        if self.kind == "balanced":
            return sinkhorn.balanced(cost, a, b, self.eps)
        if self.kind == "unbalanced":
            return sinkhorn.unbalanced(cost, a, b, self.eps, self.tau)
        return sinkhorn.partial(cost, a, b, self.eps, torch.full_like(a[:, 0], self.mass))


def _minmax(values: Tensor, mask: Tensor) -> Tensor:
    """Scale every pair's cells to 0..1; 0 in the padding.

    A pair whose cells are all equal (to a millionth, so that rounding is not blown up) becomes all 1.
    """
    low = values.masked_fill(~mask, torch.inf).amin(dim=(1, 2), keepdim=True)
    high = values.masked_fill(~mask, -torch.inf).amax(dim=(1, 2), keepdim=True)
    flat = high - low <= 1e-6 * high.abs()
    scaled = (values - low) / (high - low).masked_fill(flat, 1.0)
    return torch.where(flat, torch.ones_like(scaled), scaled).masked_fill(~mask, 0.0)
