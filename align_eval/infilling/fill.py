"""Predictions of masked words: probability and rank of each word, and the most probable fillings.

The tokens of a masked word are predicted in parallel, none from another: the probability of a word is the product of
theirs, and its best fillings are found exactly from the best tokens of each place.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from align_eval.errors import ModelError, NonFiniteError
from align_eval.infilling.measures import Filled
from align_eval.models.tokens import IdArray, readable

SLICE = 1 << 25
"""Numbers in a slice of the rows whose probabilities are taken at once."""
_REMEDY = "Choose a masked language model with its head, or offline:tiny-deen-mask"


@dataclass(frozen=True)
class Predictions:
    """The distributions at R masked tokens."""

    log_probability: NDArray[np.float64]  # (R,) natural logarithm, of the masked token
    rank: NDArray[np.int64]  # (R,) 1 + the number of tokens that are more probable
    best: NDArray[np.int64]  # (R, k) the most probable tokens, descending
    best_log_probability: NDArray[np.float64]  # (R, k)

    def __getitem__(self, rows: slice) -> Predictions:
        return Predictions(*(part[rows] for part in vars(self).values()))


def predictions(logits: Tensor, tokens: Tensor, top: int, name: str = "the model") -> Predictions:
    """Probability and rank of ``tokens`` ``(R,)`` in ``logits`` ``(R, V)``, and the ``top`` best of each row."""
    count, size = logits.shape
    k = min(top, size)
    kept: list[tuple[Tensor, ...]] = []
    step = max(1, SLICE // max(1, size))
    for start in range(0, count, step):
        part = logits[start : start + step]
        wide = part.to(torch.promote_types(part.dtype, torch.float32)).log_softmax(dim=-1)
        own = wide.gather(1, tokens[start : start + step, None])
        if bool(wide.isnan().any()):
            raise NonFiniteError(
                f"{name} gave out NaN or infinite logits for a masked word",
                remedy="Load the model with --dtype float32, or check its weights",
            )
        best, which = wide.topk(k, dim=-1)
        kept.append((own[:, 0], 1 + (wide > own).sum(dim=-1), which, best))
    if not kept:
        empty = np.zeros((0, k))
        return Predictions(empty.sum(axis=1), np.zeros(0, np.int64), np.zeros((0, k), np.int64), empty)
    log_p, rank, which, best = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return Predictions(
        log_p.cpu().double().numpy(), rank.cpu().numpy(), which.cpu().numpy(), best.cpu().double().numpy()
    )


def fill_words(
    tokenizer: Any, found: Predictions, places: IdArray, words: Sequence[str], masked: Sequence[int], top: int
) -> tuple[Filled, ...]:
    """Put the predictions at the masked tokens of one sentence together to words.

    ``places`` ``(R,)`` is the word of each token, never falling; ``words`` those of the sentence; ``masked`` ascends.
    """
    out = []
    for word in masked:
        start, end = (int(k) for k in np.searchsorted(places, [word, word + 1]))
        part = found[slice(start, end)]
        sequences = best_sequences(part.best, part.best_log_probability, top)
        best = tuple((text_of(tokenizer, ids), math.exp(score)) for score, ids in sequences)
        out.append(Filled(word, words[word], float(part.log_probability.sum()), int(part.rank.max(initial=1)), best))
    return tuple(out)


def best_sequences(
    best: NDArray[np.int64], scores: NDArray[np.float64], count: int
) -> list[tuple[float, tuple[int, ...]]]:
    """The ``count`` best sequences of independent places, exactly: (sum of log-probabilities, ids), descending.

    ``best`` and ``scores`` ``(s, k)`` are ids and log-probabilities of the best of each of s places, descending, k at
    least ``count`` or all there are. Of equal sequences the first in lexical order of places comes first.
    """
    beams: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for ids, values in zip(best.tolist(), scores.tolist(), strict=True):
        grown = [
            (score + value, (*sequence, number))
            for score, sequence in beams
            for number, value in zip(ids, values, strict=True)
        ]
        beams = sorted(grown, key=lambda item: -item[0])[:count]
    return beams[:count]


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """Tokens as the text that they spell: words apart by one space, none at the ends."""
    pieces = readable(tokenizer, ids, target=True)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if type(getattr(backend, "model", None)).__name__ == "WordPiece":
        joined = "".join(piece[2:] if piece.startswith("##") else f" {piece}" for piece in pieces)
    else:
        joined = "".join(pieces).replace("▁", " ")
    return joined.strip(" ")


@contextlib.contextmanager
def logits_at(model: Any, batch: Tensor, rows: Tensor, name: str = "the model") -> Iterator[list[Tensor]]:
    """Let the output layer of ``model`` compute the logits at the places ``batch, rows`` ``(R,)`` alone.

    The logits of all places of a batch under a vocabulary of 250,000 would take gigabytes.

    Yields:
        a list; after the pass, ``logits_of_pass(list, output)`` gives ``(R, V)``.

    Raises:
        ModelError: the model has no output layer over words.
    """
    layer = model.get_output_embeddings()
    if layer is None:
        raise ModelError(f"{name} predicts no words: it has no output layer", remedy=_REMEDY)
    seen: list[Tensor] = []

    def before(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        states = given[0]
        if states.ndim != 3 or seen:
            return None
        seen.append(states)
        return (states[batch, rows][None], *given[1:])

    handle = layer.register_forward_pre_hook(before)
    try:
        yield seen
    finally:
        handle.remove()


def logits_of_pass(seen: Sequence[Tensor], output: Any, batch: Tensor, rows: Tensor, name: str) -> Tensor:
    """The logits ``(R, V)`` of a pass under :func:`logits_at`."""
    logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise ModelError(f"{name} predicts no words: it gives out no logits", remedy=_REMEDY)
    return logits[0] if seen else logits[batch, rows]
