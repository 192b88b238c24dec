"""Prediction difference: what the probability of a target word loses without one source word.

Li et al. 2019, "On the Word Alignment from Neural Machine Translation" (ACL, P19-1124; checked by the abstract and
secondary sources), after Zintgraf et al. 2017:

    S_ij = p(y_i | y_<i, x) - p(y_i | y_<i, x with e(x_j) = 0)

One forward pass for each source token answers for all target tokens; no gradient is needed. With ``log`` the
difference is that of the logarithms: log p(y_i | x) - log p(y_i | x without x_j).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from align_eval.errors import ModelError
from align_eval.models.pairs import Layout
from align_eval.signals.predictions import ByPrediction, changed_embeddings, log_probability, logits_of


@dataclass(eq=False, repr=False)
class PredictionDifference(ByPrediction, method="prediction-difference"):
    """What the probability of each target token loses when a source embedding is zeroed.

    Positive where the source word speaks for y_i.

    Args:
        log: whether logarithms are compared.

    Raises:
        ModelError: the model is an encoder, or a masked language model.
    """

    log: bool = False

    headless = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.family == "encoder" or self.both_sides:
            kind = "an encoder" if self.family == "encoder" else "a masked language model"
            raise ModelError(
                f"{self.name} is {kind}: it does not predict a target word by word",
                remedy="Choose an encoder-decoder or a decoder-only model",
            )
        self.layers = 1
        self.quantity = f"difference of {'log-' if self.log else ''}probabilities"

    @torch.no_grad()
    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        self.wanted(layers)
        maps = self.empty(layouts)
        for place, layout in enumerate(layouts):
            self._fill(maps[place, 0], layout)
        yield 1, maps

    def _fill(self, out: Tensor, layout: Layout) -> None:
        """One pair: ``out`` is ``(Q, K)``. Its copies have no padding, so that pairs need not share a batch."""
        steps = self.predictions([layout])
        rows = torch.tensor([step.row for step in steps], device=self.device)
        tokens = torch.tensor([step.token for step in steps], device=self.device)
        columns = torch.arange(len(layout.inputs[0]), device=self.device)
        if not len(steps):
            return
        whole = self._scores(layout, rows, tokens, columns[:0])[0]
        for some in columns.split(max(1, self.token_budget // layout.size)):
            lost = whole - self._scores(layout, rows, tokens, some)
            out[rows[:, None], some] = lost.T.to(out.dtype)

    def _scores(self, layout: Layout, rows: Tensor, tokens: Tensor, columns: Tensor) -> Tensor:
        """(log) p of all steps, ``(C, steps)``: one copy for each column that is zeroed; no column: one whole copy."""

        def without(embeddings: Tensor) -> Tensor:
            out = embeddings.clone()
            out[torch.arange(len(columns), device=out.device), columns] = 0
            return out

        copies = max(1, len(columns))
        with changed_embeddings(self.reader, without):
            logits = logits_of(self.reader, [layout] * copies)
        scores = log_probability(logits[:, rows], tokens.expand(copies, -1))
        return scores if self.log else scores.exp()
