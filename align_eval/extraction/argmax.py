"""Links from the greatest cells: ``argmax``, ``forward``, ``reverse``, ``itermax``; and ``match``, the greatest sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from align_eval.extraction import Extraction, Extractor, column_maxima, row_maxima
from align_eval.registry import option


@dataclass(frozen=True)
class Argmax(Extractor, name="argmax"):
    """Link (i, j) iff j = argmax_j S_ij and i = argmax_i S_ij: the intersection of both directions.

    Jalili Sabet et al. 2020, *SimAlign*, section 2.2 "Argmax". Of equal cells the first counts. The score of a link is
    its cell.
    """

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        return Extraction(row_maxima(scores, mask) & column_maxima(scores, mask), scores)


@dataclass(frozen=True)
class Forward(Extractor, name="forward"):
    """Link (i, j) iff j = argmax_j S_ij: every source word has one link. The score of a link is its cell."""

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        return Extraction(row_maxima(scores, mask), scores)


@dataclass(frozen=True)
class Reverse(Extractor, name="reverse"):
    """Link (i, j) iff i = argmax_i S_ij: every target word has one link. The score of a link is its cell."""

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        return Extraction(column_maxima(scores, mask), scores)


@dataclass(frozen=True)
class Itermax(Extractor, name="itermax"):
    """Mutual argmax, then ``passes`` - 1 more rounds of it in which free words count more.

    Jalili Sabet et al. 2020, *SimAlign*, section 2.2 "Itermax", with the details of its published code. In an extra
    round S is weighted with 1 where both words are free, ``alpha`` where exactly one is, 0 where none is; the mutual
    maxima of it with a free side are new links. A pair is finished when a round gives nothing new or when no word of
    one side is free. A pair with two words or fewer on a side keeps its mutual argmax.

    Args:
        passes: rounds in all; 2 is the published default (ONE extra round).
        alpha: weight of a cell with one free side; 0.9 is the published default.
    """

    passes: int = option(2, low=1)
    alpha: float = option(0.9, low=0, high=1)

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        links = row_maxima(scores, mask) & column_maxima(scores, mask)
        inside_source, inside_target = mask.any(dim=2), mask.any(dim=1)  # (B, M), (B, N)
        large = (inside_source.sum(dim=1) > 2) & (inside_target.sum(dim=1) > 2)  # (B,)
        # A round that changes anything takes a free word, so that no more rounds than words can.
        for _ in range(1, min(self.passes, sum(scores.shape[1:]) + 1)):
            free_source = inside_source & ~links.any(dim=2)
            free_target = inside_target & ~links.any(dim=1)
            active = large & free_source.any(dim=1) & free_target.any(dim=1)
            row, column = free_source[:, :, None], free_target[:, None, :]
            weighted = torch.where(row & column, scores, scores * self.alpha * (row | column))
            new = row_maxima(weighted, mask) & column_maxima(weighted, mask) & (row | column) & active[:, None, None]
            links = links | new
        return Extraction(links, scores)


@dataclass(frozen=True)
class Match(Extractor, name="match"):
    """The one-to-one set of links of full cardinality, min(m, n), with the greatest sum of scores.

    Jalili Sabet et al. 2020, *SimAlign*, section 2.2 "Match" (``mwmf``). Solved with the shortest-augmenting-path
    algorithm of ``scipy.optimize.linear_sum_assignment`` (Crouse 2016) in float64, on the CPU. Where several sets share
    the greatest sum, any one of them is given. The score of a link is its cell.
    """

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        from scipy.optimize import linear_sum_assignment

        inside = mask.any(dim=2).cpu().numpy(), mask.any(dim=1).cpu().numpy()
        values = scores.detach().cpu().double().numpy()
        links = np.zeros(mask.shape, dtype=bool)
        for k, (rows, columns) in enumerate(zip(*inside, strict=True)):
            i, j = np.flatnonzero(rows), np.flatnonzero(columns)
            chosen = linear_sum_assignment(values[k][np.ix_(i, j)], maximize=True)
            links[k, i[chosen[0]], j[chosen[1]]] = True
        return Extraction(torch.from_numpy(links).to(scores.device), scores)
