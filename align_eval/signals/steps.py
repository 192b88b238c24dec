"""Forced predictions: what a model is asked for each target sub-word, and in which batches.

How the gradients of many predictions are had from one forward pass: :mod:`align_eval.signals.shared_pass`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from align_eval.errors import ModelError
from align_eval.models.double import keep_double
from align_eval.models.pairs import Layout
from align_eval.signals.reader import SignalReader

if TYPE_CHECKING:
    from align_eval.models.pairs import PairModel

TOKEN_BUDGET = 2048
"""Sub-words in a batch of predictions."""


@dataclass(frozen=True)
class Step:
    """One prediction.

    Attributes:
        place: the pair's place in its batch.
        layout: what is read; of a masked language model with the predicted sub-word masked.
        row: the position whose output predicts.
        token: the id that is predicted.
    """

    place: int
    layout: Layout
    row: int
    token: int


class StepReader(SignalReader):
    """The base of signals that explain the prediction of each target sub-word.

    Their only reading is ``awo``: row i belongs to the sub-word that it gives out, since that is whose loss is taken.
    A masked language model (an encoder with its head, a decoder that sees both sides) predicts each sub-word in turn
    from its own masked place, and keeps its readings.

    Args:
        model: of :func:`align_eval.models.load_model`; an encoder-decoder model, a decoder-only model, or an encoder
            that was loaded with its head for hidden words.
        token_budget: sub-words in a batch of predictions, padding counted; it changes speed and memory only.

    Raises:
        ModelError: an encoder without a mask.
    """

    distribution = False

    def __init__(self, model: Any, *, token_budget: int = TOKEN_BUDGET) -> None:
        super().__init__(with_head(model))
        self.token_budget = token_budget
        if self.family != "encoder" and not self.both_sides:
            self.readings = ("awo",)
        elif self.tokenizer.mask_token_id is None:
            raise ModelError(
                f"the tokenizer of {self.name} has no mask, so that the model cannot predict a word from both sides",
                remedy="Choose a masked language model, an encoder-decoder model or a decoder-only model",
            )

    def steps(self, layouts: Sequence[Layout]) -> list[Step]:
        """All predictions of a batch, pair by pair."""
        out: list[Step] = []
        for place, layout in enumerate(layouts):
            blocks = layout.blocks[self.readings[0]]
            for row in sorted({int(row) for block in blocks for row in block.rows}):
                if self.family == "encoder" or self.both_sides:
                    ids = layout.inputs[-1].copy()
                    ids[row] = self.tokenizer.mask_token_id
                    masked = replace(layout, inputs=(*layout.inputs[:-1], ids))
                    out.append(Step(place, masked, row, int(layout.inputs[-1][row])))
                else:
                    token = layout.inputs[1][row] if self.family == "seq2seq" else layout.inputs[0][row + 1]
                    out.append(Step(place, layout, row, int(token)))
        return out

    def chunks(self, steps: Sequence[Step]) -> Iterator[list[Step]]:
        """``steps`` in order, in batches under the token budget: texts x predictions of a text x sub-words of a text.

        Predictions that are read off the same text stay together, unless they alone are over the budget.
        """
        chunk: list[Step] = []
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

    def log_probabilities(self, steps: Sequence[Step]) -> Tensor:
        """log p of each step's token, ``(R,)``; one forward pass, gradients as the caller has set them.

        Raises:
            ModelError: the model gives out no logits.
        """
        logits = logits_of(self.reader, [step.layout for step in steps])
        rows = torch.tensor([step.row for step in steps], device=logits.device)
        tokens = torch.tensor([step.token for step in steps], device=logits.device)
        return log_probability(logits[torch.arange(len(steps), device=logits.device), rows], tokens)

    def empty(self, layouts: Sequence[Layout], heads: int = 1) -> Tensor:
        """Zeros ``(B, heads, Q, K)`` for the maps of a batch, on the model's device; float32 or the model's float64."""
        blocks = [block for layout in layouts for blocks in layout.blocks.values() for block in blocks]
        rows = max(int(block.rows.max(initial=-1)) for block in blocks) + 1
        columns = max(len(block.column_words) for block in blocks)
        dtype = torch.promote_types(self.dtype, torch.float32)
        return torch.zeros((len(layouts), heads, rows, columns), dtype=dtype, device=self.device)


def with_head(model: Any) -> Any:
    """The model; of an encoder that has a trained head for hidden words, the form that predicts with it."""
    from align_eval.models.encoder import Encoder, PairEncoder
    from align_eval.models.masked import MaskedEncoder

    encoder = model.encoder if type(model) is PairEncoder else model
    return MaskedEncoder(encoder) if isinstance(encoder, Encoder) and encoder.masked_lm is not None else model


def place_rows(maps: Tensor, steps: Sequence[Step], values: Tensor) -> None:
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
