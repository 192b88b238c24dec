"""Match: maximum-weight bipartite matching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from align_eval.extraction.base import Extraction, Extractor


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
