"""What the gradients at the source embeddings have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from align_eval.errors import UnknownNameError
from align_eval.models.pairs import Layout
from align_eval.signals.shared_pass import SharedPass, step_gradients
from align_eval.signals.steps import TOKEN_BUDGET, Step, StepReader, changed_embeddings, place_rows

if TYPE_CHECKING:
    from align_eval.models.attention import Take

NORMS = ("l2", "l1", "mean")
Point = Callable[[Tensor, Sequence[int]], Tensor]


class InputReader(StepReader):
    """The base of signals at the source embeddings: one map a model, called layer 1, of no one head.

    Columns are what the model reads first: the source of an encoder-decoder model, the whole context of the others.
    """

    headless = True

    def __init__(self, model: Any, *, token_budget: int = TOKEN_BUDGET) -> None:
        super().__init__(model, token_budget=token_budget)
        self.layers = 1

    def attend(self, layouts: Sequence[Layout], layers: Sequence[int], take: Take) -> None:
        self.require_layers(layers)
        maps = self.empty(layouts)
        for chunk in self.chunks(self.steps(layouts)):
            place_rows(maps, chunk, self.attribute(chunk)[:, None])
        take(1, maps)

    @abstractmethod
    def attribute(self, steps: Sequence[Step]) -> Tensor:
        """What each step owes to each source sub-word, ``(R, K)``; what stands in the padding has no meaning."""

    def gradient(self, steps: Sequence[Step], at: Point | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The embeddings e, d log p(y_i) / d e, and log p.

        Args:
            steps: R predictions. Those with the same layout object share one forward pass.
            at: from e and the sub-words that each text has to the point where the gradient is taken, the same for all
                predictions of a text; ``None``: e itself.

        Returns:
            e and the gradient ``(R, K, d)``, log p ``(R,)``.
        """
        shared = SharedPass.of(steps, self.device)
        lengths = [len(layout.inputs[0]) for layout in shared.layouts]
        held: list[Tensor] = []

        def leaf(embeddings: Tensor) -> Tensor:
            plain = embeddings.detach()
            point = (plain if at is None else at(plain, lengths)).clone().requires_grad_()
            held.extend((plain, point))
            return point

        with torch.enable_grad(), changed_embeddings(self.reader, leaf):
            (gradient,), scores = step_gradients(self.reader, shared, lambda: held[1:])
        return held[0][shared.which], gradient, scores

    @staticmethod
    def read(steps: Sequence[Step]) -> list[int]:
        """How many sub-words each step reads first, padding left out."""
        return [len(step.layout.inputs[0]) for step in steps]


def reduced(values: Tensor, norm: str) -> Tensor:
    """The last axis as one number: ``"l2"``, ``"l1"`` (sum of absolute values) or ``"mean"`` (of absolute values).

    Raises:
        UnknownNameError: no such norm.
    """
    require_norm(norm)
    if norm == "l2":
        return values.norm(dim=-1)
    return values.abs().sum(dim=-1) if norm == "l1" else values.abs().mean(dim=-1)


def require_norm(norm: str) -> None:
    """Raise :class:`UnknownNameError` unless ``norm`` is one of :data:`NORMS`."""
    if norm not in NORMS:
        raise UnknownNameError("norm", norm, NORMS)
