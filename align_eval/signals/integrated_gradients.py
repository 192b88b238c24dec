"""Integrated gradients: the share of each source word on a straight way from an empty source to the given one.

Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks" (ICML, arXiv:1703.01365):

    S_ij = (e_j - b_j) . integral over a from 0 to 1 of  d log p(y_i | y_<i, b + a (e - b)) / d e_j

Completeness: sum_j S_ij = log p(y_i | e) - log p(y_i | b). The integral is taken by the Gauss-Legendre rule, which has
no point at either end and is exact for polynomials of degree 2 n - 1 in a.

How many points are needed is a matter of the model: completeness tells. A model that normalises its embeddings by
their root mean square before anything is added to them (Llama, Qwen, Gemma) is the same along almost all of the way
from 0 and jumps at its beginning, where no rule finds it: take the baseline ``pad`` there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from align_eval.errors import InputError, UnknownNameError
from align_eval.signals.input_gradients import InputReader
from align_eval.signals.registry import SIGNALS
from align_eval.signals.steps import TOKEN_BUDGET, Step, first_embeddings

BASELINES = ("zero", "pad")


@SIGNALS.register("integrated-gradients")
class IntegratedGradients(InputReader):
    """Gradients integrated from a baseline to the embeddings.

    Args:
        model, token_budget: see :class:`~align_eval.signals.steps.StepReader`.
        steps: points of the integral.
        baseline: ``"zero"``, or ``"pad"``: the embedding of padding in every place. It stands for all that the model
            reads first (the source with its special sub-words; the whole context of a decoder-only model).
        absolute: whether the sign is left out (after the sum over the embedding).

    Raises:
        InputError: no point, or the model has no padding.
        UnknownNameError: no such baseline.
        ModelError: the model predicts no words.
    """

    quantity = "integrated gradient"
    limits: ClassVar[dict[str, dict[str, Any]]] = {
        **InputReader.limits,
        "steps": {"low": 1},
        "baseline": {"choices": BASELINES},
    }

    def __init__(
        self, model: Any, *, steps: int = 20, baseline: str = "zero", absolute: bool = False,
        token_budget: int = TOKEN_BUDGET,
    ) -> None:  # fmt: skip
        super().__init__(model, token_budget=token_budget)
        if steps < 1:
            raise InputError(f"{steps} points of integration are asked for", remedy="Take at least 1")
        if baseline not in BASELINES:
            raise UnknownNameError("baseline", baseline, BASELINES)
        if baseline == "pad" and self.tokenizer.pad_token_id is None:
            raise InputError(f"the tokenizer of {self.name} has no padding", remedy="Take the baseline zero")
        self.points, self.baseline, self.absolute = steps, baseline, absolute

    def base(self, embeddings: Tensor) -> Tensor:
        """The baseline for ``embeddings`` ``(R, K, d)``, of the same shape."""
        if self.baseline == "zero":
            return torch.zeros_like(embeddings)
        table = first_embeddings(self)
        with torch.no_grad():
            pad = table(torch.tensor([self.tokenizer.pad_token_id], device=self.device))
        return pad.expand_as(embeddings)

    def attribute(self, steps: Sequence[Step]) -> Tensor:
        places, weights = np.polynomial.legendre.leggauss(self.points)
        total: Tensor | None = None
        for place, weight in zip((places + 1) / 2, weights / 2, strict=True):

            def at(embeddings: Tensor, lengths: Sequence[int], share: float = float(place)) -> Tensor:
                base = self.base(embeddings)
                return base + share * (embeddings - base)

            embeddings, gradient, _ = self.gradient(steps, at)
            part = float(weight) * ((embeddings - self.base(embeddings)) * gradient).sum(dim=-1)
            total = part if total is None else total + part
        assert total is not None
        return total.abs() if self.absolute else total
