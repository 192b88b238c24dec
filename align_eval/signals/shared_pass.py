"""Many predictions out of one forward pass, and the gradient of each by itself.

A pair of T sub-words with n predictions is read once. Its n log-probabilities stand in n rows of the output, and their
gradients are n vector-Jacobian products of that pass, taken together:

    d log p_i / d x = (d h / d x)^T  (d log p_i / d h),      h (T, d): what the output layer reads

d log p_i / d h is 0 but for the row that predicts, since the output layer works on each row alone. So one plain
backward pass through the output layer serves all n, and only the layers below see n at once (``is_grads_batched``).

Counted in rows that go through the layers: T forward and n T backward for a pair, where reading the pair once for each
prediction takes n T both ways; and T rows of the output layer (whose width is the vocabulary) in place of n T.
A masked language model reads another text for each prediction; there nothing can be shared, and n T stays n T.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from align_eval.errors import ModelError
from align_eval.models.attention import eager
from align_eval.models.pairs import Layout
from align_eval.signals.steps import Step, log_probability, logits_of

if TYPE_CHECKING:
    from align_eval.models.pairs import PairModel


@dataclass(frozen=True)
class SharedPass:
    """R predictions that are read off U different texts.

    Attributes:
        layouts: the U texts, in the order in which they come first.
        which: ``(R,)`` int64, the text of each prediction.
        turn: ``(R,)`` int64, which prediction of its text it is, 0-based.
        rows, tokens: ``(R,)`` int64, where it stands and what it predicts.
    """

    layouts: tuple[Layout, ...]
    which: Tensor
    turn: Tensor
    rows: Tensor
    tokens: Tensor

    @classmethod
    def of(cls, steps: Sequence[Step], device: Any) -> SharedPass:
        """Steps with the same layout object share a text."""
        places: dict[int, int] = {}
        seen: list[int] = []
        layouts: list[Layout] = []
        which: list[int] = []
        turn: list[int] = []
        for step in steps:
            place = places.setdefault(id(step.layout), len(places))
            if place == len(layouts):
                layouts.append(step.layout)
                seen.append(0)
            which.append(place)
            turn.append(seen[place])
            seen[place] += 1
        numbers = (which, turn, [step.row for step in steps], [step.token for step in steps])
        return cls(tuple(layouts), *(torch.tensor(n, dtype=torch.int64, device=device) for n in numbers))

    @property
    def turns(self) -> int:
        """The most predictions of one text."""
        return int(self.turn.max()) + 1


def step_gradients(
    reader: PairModel, shared: SharedPass, inputs: Callable[[], Sequence[Tensor]]
) -> tuple[list[Tensor], Tensor]:
    """d log p_i / d x of every prediction, for tensors x of one forward pass over the U texts.

    Args:
        reader: a model that gives out logits; gradients must be enabled.
        shared: the R predictions.
        inputs: called after the forward pass; gives tensors ``(U, ...)`` of its graph.

    Returns:
        for each of them the gradients ``(R, ...)``, 0 where a prediction does not depend on it; and log p ``(R,)``.

    Raises:
        ModelError: the model gives out no logits.
    """
    # Attention of other kernels has no rule for several gradients at once.
    kernel: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if shared.turns > 1:
        kernel = eager(reader.model, reader.name)
    with kernel, _cut(reader.model) as ends:
        logits = logits_of(reader, shared.layouts)
        scores = log_probability(logits[shared.which, shared.rows], shared.tokens)
        wanted = list(inputs())
        if ends:
            hidden, leaf = ends
            if hidden.shape[:-1] != logits.shape[:-1]:
                raise ModelError(
                    f"{reader.name} ({reader.model.config.model_type}) predicts a word from more than one state",
                    remedy="Choose another model, or another attribution method",
                )
            (at_rows,) = torch.autograd.grad(scores.sum(), leaf)
            top, turns = hidden, hidden.new_zeros((shared.turns, *hidden.shape))
            turns[shared.turn, shared.which, shared.rows] = at_rows[shared.which, shared.rows]
        else:  # the model has no output layer of its own: the backward pass begins at log p
            top, turns = scores, scores.new_zeros((shared.turns, len(scores)))
            turns[shared.turn, torch.arange(len(scores), device=scores.device)] = 1
        if shared.turns == 1:
            found = torch.autograd.grad(top, wanted, turns[0], allow_unused=True)
            out = [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True)]
            return [g[shared.which] for g in out], scores.detach()
        found = torch.autograd.grad(top, wanted, turns, allow_unused=True, is_grads_batched=True)
    picked = []
    for x, gradient in zip(wanted, found, strict=True):
        if gradient is None:
            picked.append(x.new_zeros((len(shared.which), *x.shape[1:])))
        else:
            picked.append(gradient[shared.turn, shared.which])
    return picked, scores.detach()


@contextlib.contextmanager
def _cut(model: Any) -> Iterator[list[Tensor]]:
    """Cut the graph where the output layer begins; the list gets both ends: what it would read, and what it reads."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    ends: list[Tensor] = []
    if head is None:
        yield ends
        return

    def hook(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if ends or not given or not isinstance(given[0], Tensor) or not given[0].requires_grad:
            return None
        leaf = given[0].detach().requires_grad_()
        ends.extend((given[0], leaf))
        return (leaf, *given[1:])

    handle = head.register_forward_pre_hook(hook)
    try:
        yield ends
    finally:
        handle.remove()
