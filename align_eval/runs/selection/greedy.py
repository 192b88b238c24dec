"""Greedy forward selection of views.

    C_0 = {},   C_k = C_{k-1} + argmin over views v of AER(links of mean of the maps of C_{k-1} + {v})

Each step adds the view that lowers AER on the development part most, and the search ends when no view lowers it any
more, or at ``max_heads`` views. Maps are averaged as they are, without weights; no view is taken twice. (Forward
stepwise selection, Hastie et al. 2009, The Elements of Statistical Learning, section 3.3.2, with AER as the criterion.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from align_eval.errors import InputError
from align_eval.extraction import make_extractor
from align_eval.runs.selection import SELECTORS, SENTENCES, Selection, Settings, candidates
from align_eval.scoring import measures

if TYPE_CHECKING:
    from align_eval.runs.sweep import Sweep


@SELECTORS.register("greedy")
def greedy(found: Sweep, development: SENTENCES, settings: Settings) -> Selection:
    """Views added while AER on the development part falls; of equal ones the first.

    Raises:
        InputError: ``max_heads`` is less than 1.
    """
    if settings.max_heads < 1:
        raise InputError(f"{settings.max_heads} heads are asked for at most", remedy="Allow at least 1")
    extractor = make_extractor(found.method)
    views = candidates(found, development)
    batches = list(found.maps.batches(development, views))
    sure = int(found.sure()[development].sum())
    totals: list[Tensor] = []
    chosen: list[int] = []
    path: list[float] = []
    while len(chosen) < min(settings.max_heads, len(views)):
        sums = np.zeros((len(views), 4), dtype=np.int64)
        for number, maps in enumerate(batches):
            values = (totals[number] + maps.matrix.values) / (len(chosen) + 1) if chosen else maps.matrix.values
            sums += maps.count(extractor, values).sum(axis=1, dtype=np.int64)
        sums[:, 1] = sure
        aer = np.asarray(measures(sums)["aer"])
        aer[chosen] = np.inf
        view = int(aer.argmin())
        if path and aer[view] >= path[-1]:
            break
        chosen.append(view)
        path.append(float(aer[view]))
        added = [maps.matrix.values[view] for maps in batches]
        totals = [total + more for total, more in zip(totals, added, strict=True)] if totals else added
    return Selection(
        "greedy",
        tuple(views[k] for k in chosen),
        (1 / len(chosen),) * len(chosen),
        aer=path[-1],
        notes={"development_path": [round(value, 6) for value in path]},
    )
