"""Saliency: how much the probability of a target word changes with the embedding of a source word.

Simonyan et al. 2013 (arXiv:1312.6034) and Li et al. 2016 (arXiv:1506.01066) for the gradient's absolute value, Ding,
Xu & Koehn 2019, "Saliency-driven Word Alignment Interpretation for Neural Machine Translation" (WMT, arXiv:1906.10282)
for alignments by it, under forced decoding:

    S_ij = || d log p(y_i | y_<i, x) / d e(x_j) ||

The norm is over the embedding: L2, L1, or the mean of the absolute values. (Ding et al. checked by the abstract and
secondary sources.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from align_eval.signals.input_gradients import NORMS, InputReader, reduced, require_norm
from align_eval.signals.registry import SIGNALS
from align_eval.signals.steps import TOKEN_BUDGET, Step

if TYPE_CHECKING:
    from torch import Tensor


@SIGNALS.register("saliency")
class Saliency(InputReader):
    """The norm of the gradient at each source embedding.

    Args:
        model, token_budget: see :class:`~align_eval.signals.steps.StepReader`.
        norm: ``"l2"``, ``"l1"`` or ``"mean"``.

    Raises:
        UnknownNameError: no such norm.
        ModelError: the model predicts no words.
    """

    quantity = "saliency"
    limits: ClassVar[dict[str, dict[str, Any]]] = {**InputReader.limits, "norm": {"choices": NORMS}}

    def __init__(self, model: Any, *, norm: str = "l2", token_budget: int = TOKEN_BUDGET) -> None:
        super().__init__(model, token_budget=token_budget)
        require_norm(norm)
        self.norm = norm

    def attribute(self, steps: Sequence[Step]) -> Tensor:
        _, gradient, _ = self.gradient(steps)
        return reduced(gradient, self.norm)
