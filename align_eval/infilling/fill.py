"""What a model says of hidden words: their probability, their rank, and what it would put in their place.

The sub-words of a hidden word are predicted in parallel, none from another: the probability of a word is the product
of theirs, and its best fillings are found exactly from the best sub-words of each place.
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
from align_eval.infilling.results import Filled
from align_eval.models.tokens import IdArray, readable

SLICE = 1 << 25
"""Numbers in a slice of the rows whose probabilities are taken at once."""


@dataclass(frozen=True)
class Predictions:
    """The distributions at R hidden sub-words.

    Attributes:
        log_probability: ``(R,)`` float64, natural logarithm, of the hidden sub-word.
        rank: ``(R,)`` int64, 1 + the number of sub-words that are more probable.
        best: ``(R, k)`` int64, the most probable sub-words, descending.
        best_log_probability: ``(R, k)`` float64.
    """

    log_probability: NDArray[np.float64]
    rank: NDArray[np.int64]
    best: NDArray[np.int64]
    best_log_probability: NDArray[np.float64]

    def __getitem__(self, rows: slice) -> Predictions:
        return Predictions(
            self.log_probability[rows], self.rank[rows], self.best[rows], self.best_log_probability[rows]
        )


def predictions(logits: Tensor, tokens: Tensor, top: int, name: str = "the model") -> Predictions:
    """Probability and rank of ``tokens``, and the ``top`` best of each row.

    Args:
        logits: ``(R, V)``.
        tokens: ``(R,)`` int64.
        top: how many best sub-words are kept; no more than there are.
        name: of the model, for messages.

    Raises:
        NonFiniteError: a logit is NaN, or a row has no finite one.
    """
    count, size = logits.shape
    kept: list[tuple[Tensor, ...]] = []
    step = max(1, SLICE // max(1, size))
    for start in range(0, count, step):
        part = logits[start : start + step]
        wide = part.to(torch.promote_types(part.dtype, torch.float32)).log_softmax(dim=-1)
        own = wide.gather(1, tokens[start : start + step, None])
        if bool(wide.isnan().any()):
            raise NonFiniteError(
                f"{name} gave out NaN or infinite logits for a hidden word",
                remedy="Load the model with --dtype float32, or check its weights",
            )
        best, which = wide.topk(min(top, size), dim=-1)
        kept.append((own[:, 0], 1 + (wide > own).sum(dim=-1), which, best))
    k = min(top, size)
    if not kept:
        empty = np.zeros((0, k))
        return Predictions(empty.sum(axis=1), np.zeros(0, np.int64), np.zeros((0, k), np.int64), empty)
    log_p, rank, which, best = (torch.cat(parts).cpu() for parts in zip(*kept, strict=True))
    return Predictions(log_p.cpu().double().numpy(), rank.numpy(), which.numpy(), best.cpu().double().numpy())


def fill_words(
    tokenizer: Any, found: Predictions, places: IdArray, words: Sequence[str], hidden: Sequence[int], top: int
) -> tuple[Filled, ...]:
    """Put the predictions at the sub-words of one sentence together to words.

    Args:
        tokenizer: of ``transformers``.
        found: predictions of the hidden sub-words, in the order of the sentence.
        places: ``(R,)`` the word of each, never falling.
        words: the words of the sentence.
        hidden: the hidden words, ascending.
        top: how many fillings are kept.
    """
    out = []
    for word in hidden:
        start, end = (int(k) for k in np.searchsorted(places, [word, word + 1]))
        part = found[slice(start, end)]
        best = [
            (text_of(tokenizer, ids), math.exp(score))
            for score, ids in best_sequences(part.best, part.best_log_probability, top)
        ]
        out.append(
            Filled(word, words[word], float(part.log_probability.sum()), int(part.rank.max(initial=1)), tuple(best))
        )
    return tuple(out)


def best_sequences(
    best: NDArray[np.int64], scores: NDArray[np.float64], count: int
) -> list[tuple[float, tuple[int, ...]]]:
    """The ``count`` best sequences of independent places, exactly.

    Args:
        best: ``(s, k)`` the best ids of each of s places, descending, k at least ``count`` or all there are.
        scores: ``(s, k)`` their log-probabilities.

    Returns:
        (sum of log-probabilities, ids), descending; of equal ones the first in lexical order of places.
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
    """Sub-words as the text that they spell: words apart by one space, none at the ends."""
    pieces = readable(tokenizer, ids, target=True)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if type(getattr(backend, "model", None)).__name__ == "WordPiece":
        joined = "".join(piece[2:] if piece.startswith("##") else f" {piece}" for piece in pieces)
    else:
        joined = "".join(pieces).replace("▁", " ")
    return joined.strip(" ")


@contextlib.contextmanager
def logits_at(model: Any, batch: Tensor, rows: Tensor, name: str = "the model") -> Iterator[list[Tensor]]:
    """Let the output layer of ``model`` compute the logits at chosen places alone.

    The logits of all places of a batch under a vocabulary of 250,000 would take gigabytes.

    Args:
        model: of ``transformers``.
        batch, rows: ``(R,)`` each, the places.

    Yields:
        a list; after the pass, ``logits_of_pass(list, output)`` gives ``(R, V)``.

    Raises:
        ModelError: the model has no output layer over words.
    """
    layer = model.get_output_embeddings()
    if layer is None:
        raise ModelError(
            f"{name} predicts no words: it has no output layer",
            remedy="Choose a masked language model with its head, or offline:tiny-deen-mask",
        )
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
    """The logits ``(R, V)`` of a pass under :func:`logits_at`.

    Raises:
        ModelError: the model gave out none.
    """
    logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise ModelError(
            f"{name} predicts no words: it gives out no logits",
            remedy="Choose a masked language model with its head, or offline:tiny-deen-mask",
        )
    return logits[0] if seen else logits[batch, rows]
