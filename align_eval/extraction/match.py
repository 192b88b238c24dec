"""Match: maximum-weight bipartite matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from align_eval.extraction.base import EXTRACTORS, Extraction, Extractor


@EXTRACTORS.register("match")
@dataclass(frozen=True)
class Match(Extractor):
    """The one-to-one set of links of full cardinality, min(m, n), with the greatest sum of scores.

    Jalili Sabet et al. 2020, *SimAlign*, section 2.2 "Match" (``mwmf``). Solved with the shortest-augmenting-path
    algorithm of ``scipy.optimize.linear_sum_assignment`` (Crouse 2016) in float64. Where several sets share the
    greatest sum, any one of them is given. The score of a link is its cell.
    """

    name: ClassVar[str] = "match"

    def extract(self, scores: Tensor, mask: Tensor) -> Extraction:
        from scipy.optimize import linear_sum_assignment

        rows = mask.any(dim=2).sum(dim=1).tolist()
        columns = mask.any(dim=1).sum(dim=1).tolist()
        values = scores.detach().cpu().double().numpy()
        links = torch.zeros(mask.shape, dtype=torch.bool, device="cpu")
        flat = links.numpy()
        for k, (m, n) in enumerate(zip(rows, columns, strict=True)):
            flat[k][linear_sum_assignment(values[k, :m, :n], maximize=True)] = True
        return Extraction(links.to(scores.device), scores)
