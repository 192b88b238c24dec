"""Forced predictions: what a model is asked for each target token, in which batches, and the gradient of each.

A pair of T tokens with n predictions is read once. Its n log-probabilities stand in n rows of the output, and their
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
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from align_eval.errors import ModelError
from align_eval.models.attention import eager
from align_eval.models.double import keep_double
from align_eval.models.pairs import Layout, PairModel
from align_eval.options import option
from align_eval.signals.base import Attribution


@dataclass(frozen=True)
class Prediction:
    """One prediction.

    Attributes:
        place: the pair's place in its batch.
        layout: what is read; of a masked language model with the predicted token masked.
        row: the position whose output predicts.
        token: the id that is predicted.
    """

    place: int
    layout: Layout
    row: int
    token: int


@dataclass(eq=False, repr=False)
class ByPrediction(Attribution):
    """The base of methods that explain the prediction of each target token.

    Their only reading is ``awo``: row i belongs to the token that it gives out, since that is whose loss is taken.
    A masked language model (an encoder with its head, a decoder that sees both sides) predicts each token in turn
    from its own masked place, and keeps its readings.

    Args:
        token_budget: tokens in a batch of predictions, padding counted; it changes speed and memory only.

    Raises:
        ModelError: an encoder without a mask.
    """

    token_budget: int = option(2048, low=1)

    distribution = False

    def __post_init__(self) -> None:
        self.reader = with_head(self.reader)
        super().__post_init__()
        if self.family != "encoder" and not self.both_sides:
            self.readings = ("awo",)
        elif self.tokenizer.mask_token_id is None:
            raise ModelError(
                f"the tokenizer of {self.name} has no mask, so that the model cannot predict a word from both sides",
                remedy="Choose a masked language model, an encoder-decoder model or a decoder-only model",
            )

    def predictions(self, layouts: Sequence[Layout]) -> list[Prediction]:
        """All predictions of a batch, pair by pair."""
        out: list[Prediction] = []
        for place, layout in enumerate(layouts):
            blocks = layout.blocks[self.readings[0]]
            for row in sorted({int(row) for block in blocks for row in block.rows}):
                if self.family == "encoder" or self.both_sides:
                    ids = layout.inputs[-1].copy()
                    ids[row] = self.tokenizer.mask_token_id
                    masked = replace(layout, inputs=(*layout.inputs[:-1], ids))
                    out.append(Prediction(place, masked, row, int(layout.inputs[-1][row])))
                else:
                    token = layout.inputs[1][row] if self.family == "seq2seq" else layout.inputs[0][row + 1]
                    out.append(Prediction(place, layout, row, int(token)))
        return out

    def chunks(self, steps: Sequence[Prediction]) -> Iterator[list[Prediction]]:
        """``steps`` in order, in batches under the token budget: texts x predictions of a text x tokens of a text.

        Predictions that are read off the same text stay together, unless they alone are over the budget.
        """
        chunk: list[Prediction] = []
        texts = most = width = 0
        for _, group in groupby(steps, key=lambda step: id(step.layout)):
            same = list(group)
            size = same[0].layout.size
            part = max(1, self.token_budget // size)
            for start in range(0, len(same), part):
                piece = same[start : start + part]
                most, width = max(most, len(piece)), max(width, size)
                if chunk and (texts + 1) * most * width > self.token_budget:
                    yield chunk
                    chunk, texts, most, width = [], 0, len(piece), size
                chunk.extend(piece)
                texts += 1
        if chunk:
            yield chunk

    def empty(self, layouts: Sequence[Layout], heads: int = 1) -> Tensor:
        """Zeros ``(B, heads, Q, K)`` for the maps of a batch, on the model's device; float32 or the model's float64."""
        blocks = [block for layout in layouts for blocks in layout.blocks.values() for block in blocks]
        rows = max(int(block.rows.max(initial=-1)) for block in blocks) + 1
        columns = max(len(block.column_words) for block in blocks)
        dtype = torch.promote_types(self.dtype, torch.float32)
        return torch.zeros((len(layouts), heads, rows, columns), dtype=dtype, device=self.device)


def with_head(model: Any) -> Any:
    """The model; of an encoder that has a trained head for masked words, the form that predicts with it."""
    from align_eval.models.encoder import Encoder, PairEncoder
    from align_eval.models.masked import MaskedEncoder

    encoder = model.encoder if type(model) is PairEncoder else model
    return MaskedEncoder(encoder) if isinstance(encoder, Encoder) and encoder.masked_lm is not None else model


def place_rows(maps: Tensor, steps: Sequence[Prediction], values: Tensor) -> None:
    """Write each step's row into ``maps`` ``(B, H, Q, K)``; ``values`` are ``(R, H, k)`` with k up to K."""
    places = torch.tensor([step.place for step in steps], device=maps.device)
    rows = torch.tensor([step.row for step in steps], device=maps.device)
    maps[places, :, rows, : values.shape[-1]] = values.to(maps.dtype)


def log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    """log softmax of ``logits`` ``(..., V)`` at ``tokens`` ``(...)``, in float32 or wider."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide.log_softmax(dim=-1).gather(-1, tokens[..., None])[..., 0]


def logits_of(reader: PairModel, layouts: Sequence[Layout]) -> Tensor:
    """The logits ``(R, T, V)`` of one forward pass.

    Raises:
        ModelError: the model gives out none.
    """
    with keep_double(reader.dtype):
        logits = getattr(reader.forward(layouts), "logits", None)
    if not isinstance(logits, Tensor):
        raise ModelError(
            f"{reader.name} predicts no words: it gives out no logits",
            remedy="Choose a translation model, a decoder-only model, or a masked language model with its head",
        )
    return logits


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
    def of(cls, steps: Sequence[Prediction], device: Any) -> SharedPass:
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


def first_embeddings(reader: PairModel) -> Any:
    """The table of embeddings of what the model reads first: the source, or the whole context.

    Raises:
        ModelError: it has none.
    """
    stack = reader.model.get_encoder() if reader.family == "seq2seq" else reader.model
    found = stack.get_input_embeddings() if hasattr(stack, "get_input_embeddings") else None
    found = getattr(stack, "embed_tokens", None) if found is None else found
    if found is None:
        raise ModelError(
            f"{reader.name} ({reader.model.config.model_type}) has no table of input embeddings",
            remedy="Choose another model, or another attribution method",
        )
    return found


@contextlib.contextmanager
def changed_embeddings(reader: PairModel, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let the model read ``change(e)`` in place of the embeddings ``e`` ``(R, K, d)`` of what it reads first.

    That is the source of an encoder-decoder model, also where its decoder has the same table, and the whole context
    of the others. Positions and scaling factors that come after the table are untouched.
    """
    done = False

    def hook(module: Any, given: Any, output: Tensor) -> Tensor | None:
        nonlocal done
        if done:
            return None
        done = True
        if not isinstance(output, Tensor) or output.ndim != 3:
            raise ModelError(
                f"the input embeddings of {reader.name} ({reader.model.config.model_type}) are no vector a token",
                remedy="Choose another model, or another attribution method",
            )
        return change(output)

    handle = first_embeddings(reader).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
