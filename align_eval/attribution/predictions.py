"""What a model is asked for each target token, in which batches, and the gradient of each; ``prediction-difference``.

Under teacher forcing a pair of T tokens with n predictions is read once. Its n log-probabilities stand in n rows of the
output, and their gradients are n vector-Jacobian products of that pass, taken together:

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

from align_eval.attribution import Attribution, not_this_model
from align_eval.attribution.matrix import at_least_float32
from align_eval.errors import ModelError
from align_eval.models.attention import eager
from align_eval.models.double import keep_double
from align_eval.models.pairs import Layout, PairModel
from align_eval.registry import option


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
        self.masks = self.family == "encoder" or self.both_sides
        if not self.masks:
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
            for row in sorted({int(row) for block in layout.blocks[self.readings[0]] for row in block.rows}):
                given, token = layout, layout.inputs[-1][row if self.masks or self.family == "seq2seq" else row + 1]
                if self.masks:
                    ids = layout.inputs[-1].copy()
                    ids[row] = self.tokenizer.mask_token_id
                    given = replace(layout, inputs=(*layout.inputs[:-1], ids))
                out.append(Prediction(place, given, row, int(token)))
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


@dataclass(eq=False, repr=False)
class PredictionDifference(ByPrediction, method="prediction-difference"):
    """What the probability of each target token loses when a source embedding is zeroed.

    Li et al. 2019, "On the Word Alignment from Neural Machine Translation" (ACL, P19-1124; checked by the abstract and
    secondary sources), after Zintgraf et al. 2017: S_ij = p(y_i | y_<i, x) - p(y_i | y_<i, x with e(x_j) = 0), positive
    where the source word speaks for y_i. One forward pass for each source token answers for all target tokens; no
    gradient is needed.

    Args:
        log: whether logarithms are compared.

    Raises:
        ModelError: the model is an encoder, or a masked language model.
    """

    log: bool = False

    headless = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masks:
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
        for place, layout in enumerate(layouts):  # copies of one pair have no padding: no two pairs share a batch
            shared = SharedPass.of(self.predictions([layout]), self.device)
            columns = torch.arange(len(layout.inputs[0]), device=self.device)
            if not shared.layouts:
                continue
            whole = self._scores(layout, shared, columns[:0])[0]
            for some in columns.split(max(1, self.token_budget // layout.size)):
                lost = whole - self._scores(layout, shared, some)
                maps[place, 0, shared.rows[:, None], some] = lost.T.to(maps.dtype)
        yield 1, maps

    def _scores(self, layout: Layout, steps: SharedPass, columns: Tensor) -> Tensor:
        """(log) p of all steps, ``(C, steps)``: one copy for each column that is zeroed; no column: one whole copy."""

        def without(embeddings: Tensor) -> Tensor:
            out = embeddings.clone()
            out[torch.arange(len(columns), device=out.device), columns] = 0
            return out

        copies = max(1, len(columns))
        with changed_embeddings(self.reader, without):
            logits = logits_of(self.reader, [layout] * copies)
        scores = log_probability(logits[:, steps.rows], steps.tokens.expand(copies, -1))
        return scores if self.log else scores.exp()


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


def log_softmax(logits: Tensor) -> Tensor:
    """log softmax over the last axis, in float32 or wider."""
    return at_least_float32(logits).log_softmax(dim=-1)


def log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    """:func:`log_softmax` of ``logits`` ``(..., V)`` at ``tokens`` ``(...)``."""
    return log_softmax(logits).gather(-1, tokens[..., None])[..., 0]


def require_logits(output: Any, name: str) -> Tensor:
    """The logits ``(R, T, V)`` in what a model gives out, else ModelError."""
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    raise ModelError(
        f"{name} predicts no words: it gives out no logits",
        remedy="Choose a translation model, a decoder-only model, or a masked language model with its head",
    )


def logits_of(reader: PairModel, layouts: Sequence[Layout]) -> Tensor:
    """The logits ``(R, T, V)`` of one forward pass, see :func:`require_logits`."""
    with keep_double(reader.dtype):
        return require_logits(reader.forward(layouts), reader.name)


@dataclass(frozen=True)
class SharedPass:
    """R predictions that are read off U different texts.

    Attributes:
        layouts: the U texts, in the order in which they come first.
        which: ``(R,)`` int64, the text of each prediction.
        turn: ``(R,)`` int64, which prediction of its text it is, 0-based.
        rows, tokens: ``(R,)`` int64, where it stands and what it predicts.
        turns: the most predictions of one text.
    """

    layouts: tuple[Layout, ...]
    which: Tensor
    turn: Tensor
    rows: Tensor
    tokens: Tensor
    turns: int

    @classmethod
    def of(cls, steps: Sequence[Prediction], device: Any) -> SharedPass:
        """Steps with the same layout object share a text."""
        texts: dict[int, tuple[int, Layout]] = {}
        seen: list[int] = []
        numbers: list[tuple[int, int, int, int]] = []
        for step in steps:
            place, _ = texts.setdefault(id(step.layout), (len(texts), step.layout))
            seen += [0] * (len(texts) - len(seen))
            numbers.append((place, seen[place], step.row, step.token))
            seen[place] += 1
        which, turn, rows, tokens = torch.tensor(numbers, dtype=torch.int64, device=device).reshape(-1, 4).T
        layouts = tuple(layout for _, layout in texts.values())
        return cls(layouts, which, turn, rows, tokens, max(seen, default=0))


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
                raise _unlike(reader, "predicts a word from more than one state")
            (at_rows,) = torch.autograd.grad(scores.sum(), leaf)
            top, turns = hidden, hidden.new_zeros((shared.turns, *hidden.shape))
            turns[shared.turn, shared.which, shared.rows] = at_rows[shared.which, shared.rows]
        else:  # the model has no output layer of its own: the backward pass begins at log p
            top, turns = scores, scores.new_zeros((shared.turns, len(scores)))
            turns[shared.turn, torch.arange(len(scores), device=scores.device)] = 1
        if shared.turns == 1:
            plain = torch.autograd.grad(top, wanted, turns[0], allow_unused=True)
            found = [None if gradient is None else gradient[None] for gradient in plain]
        else:
            found = list(torch.autograd.grad(top, wanted, turns, allow_unused=True, is_grads_batched=True))
    picked = [
        x.new_zeros((len(shared.which), *x.shape[1:])) if gradient is None else gradient[shared.turn, shared.which]
        for x, gradient in zip(wanted, found, strict=True)
    ]
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

    with head.register_forward_pre_hook(hook):
        yield ends


def first_embeddings(reader: PairModel) -> Any:
    """The table of embeddings of what the model reads first (the source, or the whole context), else ModelError."""
    stack = reader.model.get_encoder() if reader.family == "seq2seq" else reader.model
    found = stack.get_input_embeddings() if hasattr(stack, "get_input_embeddings") else None
    found = getattr(stack, "embed_tokens", None) if found is None else found
    if found is None:
        raise _unlike(reader, "has no table of input embeddings")
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
            raise _unlike(reader, "has input embeddings that are no vector a token")
        return change(output)

    with first_embeddings(reader).register_forward_hook(hook):
        yield


def _unlike(reader: PairModel, why: str) -> ModelError:
    return not_this_model(f"{reader.name} ({reader.model.config.model_type}) {why}")
