"""Input x gradient: the first-order share of each source word in the log-probability of a target word.

Shrikumar et al. 2016, "Not Just a Black Box" (arXiv:1605.01713); Denil et al. 2014 for words:

    S_ij = e(x_j) . d log p(y_i | y_<i, x) / d e(x_j)

Signed: a source word can speak against a target word. It is the derivative by a factor on e(x_j), at 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from align_eval.signals.input_gradients import InputReader
from align_eval.signals.registry import SIGNALS
from align_eval.signals.steps import TOKEN_BUDGET, Step

if TYPE_CHECKING:
    from torch import Tensor


@SIGNALS.register("input-x-gradient")
class InputXGradient(InputReader):
    """The product of each source embedding with its gradient.

    Args:
        model, token_budget: see :class:`~align_eval.signals.steps.StepReader`.
        absolute: whether the sign is left out (after the sum over the embedding).

    Raises:
        ModelError: the model predicts no words.
    """

    quantity = "input x gradient"

    def __init__(self, model: Any, *, absolute: bool = False, token_budget: int = TOKEN_BUDGET) -> None:
        super().__init__(model, token_budget=token_budget)
        self.absolute = absolute

    def attribute(self, steps: Sequence[Step]) -> Tensor:
        embeddings, gradient, _ = self.gradient(steps)
        values = (embeddings * gradient).sum(dim=-1)
        return values.abs() if self.absolute else values
